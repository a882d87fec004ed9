/** Opens connections to targets. */
import type { TargetConfig } from "../config/model.ts";
import { HostNames } from "./host_names.ts";
import { isShortage } from "./shortage.ts";
import { UpstreamError } from "./transport.ts";

/** What the transport needs of a connection. A read resolves with null at the end of the stream. */
export type RawConnection = Pick<Deno.Conn, "read" | "write" | "close">;

/**
 * Opens a connection to a target; for https the TLS handshake has succeeded too.
 * @param signal gives the attempt up
 * @throws UpstreamError `connect_refused`, `overloaded`, `tls`
 */
export type Dial = (target: TargetConfig, signal: AbortSignal) => Promise<RawConnection>;

/** For messages: the target's name and address. */
export function describeTarget({ name, hostname, port }: TargetConfig): string {
  return `target "${name}" (${hostname.includes(":") ? `[${hostname}]` : hostname}:${port})`;
}

/**
 * Dials by the system's resolver and tries the addresses of a name in turn.
 * @param caCerts PEM certificates that are trusted beside the built-in ones
 * @param clientPair PEM certificate and key shown to targets that ask for one
 */
export function createDial(
  caCerts: string[] = [],
  clientPair: { cert: string; key: string } | null = null,
): Dial {
  const names = new HostNames();
  return async (target, signal) => {
    const { hostname, port } = target;
    let conn: Deno.TcpConn | Deno.TlsConn;
    try {
      // TLS is asked for by the name, so the runtime looks that up itself.
      conn = target.protocol === "https"
        ? await Deno.connectTls({ hostname, port, caCerts, alpnProtocols: ["http/1.1"], ...clientPair })
        : await connectToOne(await names.addresses(hostname), port, signal);
    } catch (cause) {
      const code = isShortage(cause) ? "overloaded" : "connect_refused";
      throw failed(code, "cannot connect to", target, cause);
    }
    if (!("handshake" in conn)) {
      // A request is one write: waiting for more bytes to go with it (Nagle) could only delay it.
      conn.setNoDelay(true);
      return conn;
    }
    const tls = conn;
    // Closing ends the handshake for us; the runtime keeps the socket until the peer closes it (Deno 2.9).
    const giveUp = () => tls.close();
    try {
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
      await tls.handshake();
    } catch (cause) {
      if (!signal.aborted) tls.close();
      throw failed("tls", "TLS handshake failed with", target, cause);
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
    return tls;
  };
}

/** @throws what the last address failed with */
async function connectToOne(addresses: string[], port: number, signal: AbortSignal): Promise<Deno.TcpConn> {
  const [last, ...others] = addresses.toReversed();
  for (const hostname of others.reverse()) {
    try {
      return await Deno.connect({ hostname, port, signal });
    } catch (fault) {
      if (signal.aborted || isShortage(fault)) throw fault;
    }
  }
  return await Deno.connect({ hostname: last, port, signal });
}

function failed(
  code: "connect_refused" | "overloaded" | "tls",
  what: string,
  target: TargetConfig,
  cause: unknown,
): UpstreamError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new UpstreamError(code, `${what} ${describeTarget(target)}: ${reason}`, false, false, { cause });
}
