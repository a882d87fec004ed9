/** A small HTTP server for one of the Hono apps, on the control thread. */
import type { SocketAddress } from "../config/model.ts";
import { AcceptLoop } from "../proxy/accept_loop.ts";
import { type ConnectionServer, type ServeConnection, serveConnection } from "../proxy/http_runtime.ts";
import type { Log } from "./log.ts";

/** What a Hono app is to a server. */
export interface App {
  fetch(
    request: Request,
    bindings: { info: { remoteAddr: Deno.NetAddr } },
  ): Response | Promise<Response>;
}

/** Stops accepting connections and lets answers in flight end. */
type Shutdown = () => Promise<void>;

export class AppServer {
  readonly #shutdown: Shutdown;

  /**
   * The port is shared, so that another process may take it over before this one has ended.
   * @throws Deno.errors.AddrInUse and the like if the address cannot be bound
   */
  constructor(
    readonly address: SocketAddress,
    app: App,
    log: Log,
    serve: ServeConnection | null = serveConnection(),
  ) {
    this.#shutdown = serve === null ? serveByRuntime(address, app) : acceptAndServe(address, app, log, serve);
  }

  /** Waits for answers in flight, but not longer than `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, timeoutMs);
    await Promise.race([this.#shutdown(), timeout.promise]);
    clearTimeout(timer);
  }
}

/**
 * With an accept loop of our own: `Deno.serve` ends for good when it cannot accept a connection, as happens
 * while descriptors are short (Deno 2.6 and 2.9).
 */
function acceptAndServe(
  { hostname, port }: SocketAddress,
  app: App,
  log: Log,
  serve: ServeConnection,
): Shutdown {
  const servers = new Set<ConnectionServer>();
  const serveOn = (connection: Deno.TcpConn) => {
    connection.setNoDelay(true);
    const info = { remoteAddr: connection.remoteAddr };
    const handler = (request: Request) => app.fetch(request, { info });
    const server = serve(connection, NEVER_ABORTED, handler, failed, () => {});
    servers.add(server);
    const gone = () => servers.delete(server);
    // It rejects where the client did not end the connection in order: that is how clients are.
    server.finished.then(gone, gone);
  };
  const loop = new AcceptLoop(Deno.listen({ hostname, port, reusePort: true }), {
    onConnection: serveOn,
    onFailure: (fault, first) => {
      const reason = fault instanceof Error ? fault.message : String(fault);
      if (first) log("error", "connections cannot be accepted, trying again", { port, reason });
    },
    onRecovery: () => log("info", "connections are accepted again", { port }),
  });
  return async () => {
    loop.close();
    await loop.ended;
    await Promise.all(Array.from(servers, (server) => server.shutdown()));
  };
}

function serveByRuntime({ hostname, port }: SocketAddress, app: App): Shutdown {
  const server = Deno.serve(
    { hostname, port, reusePort: true, onListen: () => {} },
    (request, info) => app.fetch(request, { info }),
  );
  return () => server.shutdown();
}

const NEVER_ABORTED = { addEventListener() {} };

/** A body that breaks off after its header; what an app throws it has answered itself. */
function failed(): Response {
  return new Response(null, { status: 500 });
}
