/**
 * One listening address of a proxy thread, for plain HTTP or for TLS. All threads listen on the same port
 * (SO_REUSEPORT). Connections are accepted here and served one by one, because only so can each be given up
 * on its own; on a runtime that has no way to, `Deno.serve` takes the place of both, without time-outs.
 */
import type { SocketAddress } from "../config/model.ts";
import { connectionRelease } from "../websocket/mod.ts";
import { AcceptLoop } from "./accept_loop.ts";
import type { ClientConnection, ConnectionTable, TrackedConnection } from "./connections.ts";
import { type ServeConnection, serveConnection } from "./http_runtime.ts";
import type { CertificateKeys } from "./tls_keys.ts";
import { listenTls } from "./tls_socket.ts";

/** Answers one request. Never rejects, and calls `connection.requestEnded` exactly once. */
export type RequestHandler = (request: Request, connection: ClientConnection) => Promise<Response>;

export interface ListenerOptions {
  address: SocketAddress;
  /** Null for plain HTTP. */
  keys: CertificateKeys | null;
  handler: RequestHandler;
  connections: ConnectionTable;
  /** Connections could not be accepted. */
  acceptFailed: () => void;
  log: (level: "info" | "warn" | "error", message: string, fields?: Record<string, unknown>) => void;
  /** How connections are served; null: by `Deno.serve`. Default: what the runtime has. */
  serve?: ServeConnection | null;
  /** Names that clients ask a TLS socket for before it is replaced. Default 10,000. */
  maxNames?: number;
}

const IPV4_MAPPED = "::ffff:";
/** The runtime remembers each name for as long as the socket is open; a new one has forgotten them. */
const MAX_NAMES = 10_000;

export class Listener {
  /** The address listened on, with the port that was given for 0. */
  readonly address: SocketAddress;
  readonly #options: ListenerOptions;
  readonly #serve: ServeConnection | null;
  #keys: CertificateKeys | null;
  #loop: AcceptLoop<Deno.TcpConn | Deno.TlsConn> | null = null;
  #server: Deno.HttpServer<Deno.NetAddr> | null = null;

  /** @throws Deno.errors.AddrInUse and the like if the address cannot be bound, Error for bad keys */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#keys = options.keys;
    this.#serve = options.serve === undefined ? serveConnection() : options.serve;
    const { hostname, port } = options.address;
    this.address = { hostname, port };
    if (this.#serve === null) {
      options.log("warn", "time-outs and limits of client connections are off: this runtime has no way to", {
        deno: Deno.version.deno,
      });
      this.#server = this.#serveWithoutTimeouts();
      this.address.port = this.#server.addr.port;
    } else {
      this.#open(this.#serve);
    }
  }

  #open(serve: ServeConnection): void {
    const socket = this.#keys === null
      ? Deno.listen({ ...this.address, reusePort: true })
      : this.#listenTls(this.#keys);
    this.address.port = socket.addr.port;
    // Until then the old socket's connections see what it had.
    this.#loop?.drain(0);
    const { log, acceptFailed } = this.#options;
    const reason = (fault: unknown) => fault instanceof Error ? fault.message : String(fault);
    this.#loop = new AcceptLoop<Deno.TcpConn | Deno.TlsConn>(socket, {
      onConnection: (connection) => this.#take(connection, serve),
      onFailure: (fault, first) => {
        acceptFailed();
        if (!first) return;
        log("error", "connections cannot be accepted, trying again", {
          port: this.address.port,
          reason: reason(fault),
        });
      },
      onRecovery: () => log("info", "connections are accepted again", { port: this.address.port }),
    });
  }

  #listenTls(keys: CertificateKeys): Deno.TlsListener {
    const { maxNames = MAX_NAMES } = this.#options;
    let names = 0;
    return listenTls(this.address, keys, () => {
      if (++names % maxNames === 0) this.#forgetNames();
    });
  }

  #forgetNames(): void {
    try {
      if (this.#keys !== null) this.renew(this.#keys);
    } catch (fault) {
      this.#options.log("warn", "the TLS socket could not be replaced, it goes on", {
        reason: String(fault),
      });
    }
  }

  /**
   * Uses other certificates for connections that come from now on; those that are open stay as they are. On a
   * runtime without time-outs it takes a restart.
   * @throws Error if the runtime cannot use them; the old ones stay then
   */
  renew(keys: CertificateKeys): void {
    const old = this.#keys;
    this.#keys = keys;
    if (this.#serve === null || this.#loop === null) return;
    try {
      this.#open(this.#serve);
    } catch (fault) {
      this.#keys = old;
      throw fault;
    }
  }

  #take(socket: Deno.TcpConn | Deno.TlsConn, serve: ServeConnection): void {
    const peerIp = unmapped(socket.remoteAddr.hostname);
    const scheme = this.#keys === null ? "http" : "https";
    const origin = { listener: this, peerIp, scheme, port: this.address.port } as const;
    const close = () => closeQuietly(socket);
    const connection = this.#options.connections.admit(origin, close);
    if (connection === null) {
      close();
    } else if ("handshake" in socket) {
      this.#handshake(socket, connection, serve);
    } else {
      // Nagle's wait for more to send could only delay the last bytes of an answer.
      socket.setNoDelay(true);
      this.#serveOn(socket, connection, serve);
    }
  }

  async #handshake(
    socket: Deno.TlsConn,
    connection: TrackedConnection,
    serve: ServeConnection,
  ): Promise<void> {
    try {
      connection.agreedHttp2 = (await socket.handshake()).alpnProtocol === "h2";
    } catch (_fault) {
      // What clients send instead of TLS, and that they leave, is no fault of ours, and too much to log.
      closeQuietly(socket);
      connection.gone();
      return;
    }
    if (connection.givenUp) {
      closeQuietly(socket);
      connection.gone();
    } else {
      this.#serveOn(socket, connection, serve);
    }
  }

  #serveOn(socket: Deno.TcpConn | Deno.TlsConn, connection: TrackedConnection, serve: ServeConnection): void {
    const { handler } = this.#options;
    let abort = () => closeQuietly(socket);
    const signal = {
      addEventListener(_type: "abort", listener: () => void) {
        abort = listener;
      },
    };
    const respond = (request: Request) => {
      if (connection.refusesMore()) return behindTheEnd();
      connection.requestBegan();
      return handler(request, connection);
    };
    const server = serve(socket, signal, respond, failed, nothing);
    connection.served(server, () => quietly(abort), connectionRelease());
    const gone = () => connection.gone();
    // It rejects where the client did not end the connection in order: that is how clients are.
    server.finished.then(gone, gone);
  }

  #serveWithoutTimeouts(): Deno.HttpServer<Deno.NetAddr> {
    const { hostname, port } = this.address;
    const { handler } = this.#options;
    const options = { hostname, port, reusePort: true, onListen: nothing, onError: failed };
    const scheme = this.#keys === null ? "http" : "https";
    const handle = (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => {
      const peerIp = unmapped(info.remoteAddr.hostname);
      return handler(request, {
        peerIp,
        scheme,
        port: this.address.port,
        agreedHttp2: false,
        requestEnded: nothing,
        noMoreRequests: nothing,
        endsWithAnswer: () => false,
        upgraded: nothing,
      });
    };
    if (this.#keys === null) return Deno.serve(options, handle);
    if (this.#keys.byDomain.length > 0) {
      throw new Error("cannot choose certificates by name on this runtime, leave out tls.certificates");
    }
    return Deno.serve({ ...options, ...this.#keys.default }, handle);
  }

  /**
   * Each connection ends with its next answer, or when it stays idle for `idleMs`. New ones are accepted for `forMs` more,
   * and as long as any wait; resolves when none are any more.
   */
  async retire(forMs: number, idleMs: number): Promise<void> {
    const loop = this.#loop;
    this.#options.connections.drain(this, idleMs);
    await loop?.drain(forMs);
    this.#loop = null;
  }

  /** Retires the listener; resolves when every request in flight has been answered. */
  async drain(idleMs: number): Promise<void> {
    await this.retire(0, idleMs);
    await Promise.all([this.#options.connections.drain(this, idleMs), this.#server?.shutdown()]);
  }
}

function unmapped(ip: string): string {
  return ip.startsWith(IPV4_MAPPED) ? ip.slice(IPV4_MAPPED.length) : ip;
}

/** A body stream that breaks ends here after the handler has recorded it: the connection is cut. */
function failed(): Response {
  return new Response(null, { status: 500 });
}

/** To a request behind an answer with `connection: close`: the runtime still sends it, then the connection ends. */
function behindTheEnd(): Response {
  return new Response(null, { status: 400, headers: { connection: "close" } });
}

function nothing(): void {}

function closeQuietly(socket: Deno.Conn): void {
  quietly(() => socket.close());
}

/** The socket may be closed already without our knowing. */
function quietly(close: () => void): void {
  try {
    close();
  } catch (fault) {
    if (!(fault instanceof Deno.errors.BadResource) && !(fault instanceof Deno.errors.Interrupted)) {
      throw fault;
    }
  }
}
