/**
 * The client connections of one proxy thread: how many there may be, and how long each may wait. One sweep a
 * tick looks at those whose time may be up; a request costs two additions and no timer.
 *
 *     handshake → header → (request in flight ⇄ idle) → closed
 */
import type { DenialKind } from "../http/refusal.ts";
import { type ConnectionCounts, type OwnConnections, UNCOUNTED } from "./connection_counts.ts";
import { type ConnectionServer, SHUTDOWN_TELLS_CLIENTS } from "./http_runtime.ts";

/** What the handler of requests sees of the connection that a request came on. */
export interface ClientConnection {
  /** IPv4-mapped addresses as IPv4. */
  readonly peerIp: string;
  readonly scheme: "http" | "https";
  /** Of the listener. */
  readonly port: number;
  /** Whether the TLS handshake ended in HTTP/2. Without TLS clients speak it unasked, and nobody is told. */
  readonly agreedHttp2: boolean;
  /**
   * A request of this connection has ended: its answer is whole, or broken off. Exactly once for each.
   * @param bodyRead false if the client may still be sending the request's body: the connection is closed
   *   soon, whatever the runtime would go on reading (Deno 2.9 reads to the end of a body it refused)
   */
  requestEnded(bodyRead?: boolean): void;
  /** The answer under way is one of HTTP/1.1 and says `connection: close`: nothing behind it is a request. */
  noMoreRequests(): void;
  /**
   * Asked when an answer is given: whether the connection ends with it, which it has to say. An HTTP/1.1 client
   * would send its next request otherwise, and lose it.
   */
  endsWithAnswer(): boolean;
  /** It has become a WebSocket: what is sent on it is no HTTP any more. `requestEnded` comes when that ends. */
  upgraded(): void;
}

export interface ConnectionLimits {
  headerTimeoutMs: number;
  keepAliveTimeoutMs: number;
  /** 0: no limit. */
  maxConnections: number;
  /** 0: no limit. */
  maxConnectionsPerIp: number;
}

export interface ConnectionTableOptions {
  limits: ConnectionLimits;
  counts: ConnectionCounts;
  own: OwnConnections;
  /** Number of this thread, for the counts. */
  thread: number;
  /** A connection was refused or given up. */
  denied: (kind: DenialKind) => void;
  log: (level: "info" | "warn" | "error", message: string, fields?: Record<string, unknown>) => void;
  /** Default: as this runtime does. */
  shutdownTellsClients?: boolean;
  /** Default: `performance.now`. */
  nowMs?: () => number;
}

/** A connection is closed within this time after it should be. */
const GRAIN_MS = 50;
/** After an answer that came before the end of the request's body. */
const LINGER_MS = 2_000;
/** Where it is not known when the last answer is written, it has this long. */
const WRITE_OUT_MS = 500;
/** Refused connections are told of once in this time. */
const QUIET_MS = 60_000;

export class ConnectionTable {
  limits: ConnectionLimits;
  readonly shutdownTellsClients: boolean;
  readonly #options: ConnectionTableOptions;
  readonly #nowMs: () => number;
  /** Connections by the tick in which to look at them; each is in exactly one. */
  readonly #due = new Map<number, Set<TrackedConnection>>();
  /** Listeners whose connections are to end, with how long each may be idle until then. */
  readonly #draining = new WeakMap<object, number>();
  #clockMs: number;
  #sweptTick: number;
  #refused = 0;
  #refusedToldMs = -Infinity;

  constructor(options: ConnectionTableOptions) {
    this.#options = options;
    this.limits = options.limits;
    this.shutdownTellsClients = options.shutdownTellsClients ?? SHUTDOWN_TELLS_CLIENTS;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#clockMs = this.#nowMs();
    this.#sweptTick = Math.floor(this.#clockMs / GRAIN_MS);
  }

  /** The time of the last sweep: near enough for time-outs, and free. */
  get clockMs(): number {
    return this.#clockMs;
  }

  /**
   * Takes a new connection in.
   * @param close ends it at once; called at most once, and not after it has been `served`
   * @returns null if there are too many: close it
   */
  admit(origin: ConnectionOrigin, close: () => void): TrackedConnection | null {
    const { counts, own, thread } = this.#options;
    const { maxConnections, maxConnectionsPerIp } = this.limits;
    if (!counts.enter(maxConnections, own)) {
      this.#refuse(`server has security.ddos.max_connections (${maxConnections}) clients`);
      return null;
    }
    const slot = maxConnectionsPerIp === 0
      ? UNCOUNTED
      : counts.enterAddress(origin.peerIp, maxConnectionsPerIp, own, thread);
    if (slot === null) {
      counts.leave(own);
      this.#refuse(
        `a client has security.ddos.max_connections_per_ip (${maxConnectionsPerIp}) connections`,
        origin.peerIp,
      );
      return null;
    }
    this.#clockMs = this.#nowMs();
    const connection = new TrackedConnection(this, origin, slot, close);
    this.schedule(connection, this.#clockMs + this.limits.headerTimeoutMs);
    const idleMs = this.#draining.get(origin.listener);
    if (idleMs !== undefined) connection.drain(idleMs);
    return connection;
  }

  #refuse(why: string, ip?: string): void {
    const { denied, log } = this.#options;
    denied("too_many_connections");
    this.#refused++;
    const now = this.#nowMs();
    if (now - this.#refusedToldMs < QUIET_MS) return;
    log("warn", `connections are refused: ${why}`, {
      refused: this.#refused,
      ...(ip === undefined ? {} : { client_ip: ip }),
    });
    this.#refused = 0;
    this.#refusedToldMs = now;
  }

  /** Looks at `connection` at that time, and not before. */
  schedule(connection: TrackedConnection, atMs: number): void {
    connection.due?.delete(connection);
    const tick = Math.max(Math.ceil(atMs / GRAIN_MS), this.#sweptTick + 1);
    let due = this.#due.get(tick);
    if (due === undefined) this.#due.set(tick, due = new Set());
    due.add(connection);
    connection.due = due;
  }

  /** Closes what has waited too long; run it every 50 ms or so. */
  sweep(): void {
    this.#clockMs = this.#nowMs();
    const tick = Math.floor(this.#clockMs / GRAIN_MS);
    if (this.#due.size <= tick - this.#sweptTick) {
      for (const key of [...this.#due.keys()]) if (key <= tick) this.#sweepTick(key);
    } else {
      for (let key = this.#sweptTick + 1; key <= tick; key++) this.#sweepTick(key);
    }
    this.#sweptTick = tick;
  }

  #sweepTick(tick: number): void {
    const due = this.#due.get(tick);
    if (due === undefined) return;
    this.#due.delete(tick);
    for (const connection of due) {
      connection.due = null;
      connection.look(this.#clockMs);
    }
  }

  /**
   * Connections of a listener, also those still to come, close as soon as nothing is in flight on them.
   * Resolves when those that are open now are gone.
   * @param idleMs for how long an idle connection may have one more request; another call may shorten it
   */
  async drain(listener: object, idleMs: number): Promise<void> {
    this.#draining.set(listener, idleMs);
    const ends: Promise<void>[] = [];
    for (const due of [...this.#due.values()]) {
      for (const connection of [...due]) {
        if (connection.origin.listener === listener) ends.push(connection.drain(idleMs));
      }
    }
    await Promise.all(ends);
  }

  slowClient(): void {
    this.#options.denied("slow_client");
  }

  /** The connection is gone. */
  forget(connection: TrackedConnection): void {
    const { counts, own, thread } = this.#options;
    connection.due?.delete(connection);
    connection.due = null;
    counts.leave(own);
    counts.leaveAddress(connection.slot, own, thread);
  }
}

/** Where a connection came in. */
export interface ConnectionOrigin {
  listener: object;
  peerIp: string;
  scheme: "http" | "https";
  port: number;
}

type State = "handshake" | "header" | "idle" | "closing" | "gone";

export class TrackedConnection implements ClientConnection {
  /** The set of the table that it lies in; the table's alone. */
  due: Set<TrackedConnection> | null = null;
  readonly peerIp: string;
  readonly scheme: "http" | "https";
  readonly port: number;
  agreedHttp2 = false;
  #state: State = "handshake";
  #inFlight = 0;
  /** End of the last request. */
  #idleSinceMs = 0;
  #lingers = false;
  #isOver = false;
  /** Null: it is to go on. */
  #drainIdleMs: number | null = null;
  /** The client knows that the connection ends with the answer that it has, or gets. */
  #isLast = false;
  #server: ConnectionServer | null = null;
  #close: () => void;
  #release: (() => void) | null = null;
  #gone: PromiseWithResolvers<void> | null = null;

  constructor(
    readonly table: ConnectionTable,
    readonly origin: ConnectionOrigin,
    readonly slot: number,
    close: () => void,
  ) {
    this.peerIp = origin.peerIp;
    this.scheme = origin.scheme;
    this.port = origin.port;
    this.#close = close;
  }

  /** Whether the handshake has taken too long: the connection is of no use any more. */
  get givenUp(): boolean {
    return this.#state === "closing" || this.#state === "gone";
  }

  /**
   * HTTP is spoken on it from now on.
   * @param abort ends it at once
   * @param release takes the server away from under its own end; null where the runtime cannot
   */
  served(server: ConnectionServer, abort: () => void, release: (() => void) | null): void {
    this.#server = server;
    this.#release = release;
    this.#close = abort;
    this.#state = "header";
    const { headerTimeoutMs } = this.table.limits;
    this.table.schedule(this, this.table.clockMs + Math.min(this.#drainIdleMs ?? Infinity, headerTimeoutMs));
  }

  noMoreRequests(): void {
    this.#isOver = true;
  }

  /**
   * Whether a request must not be taken: it came behind one that was refused, perhaps because nobody can tell
   * where it ends. The connection is ended then; the runtime has sent the answer before it reads on.
   */
  refusesMore(): boolean {
    if (!this.#isOver || this.agreedHttp2) return false;
    if (this.#state !== "closing" && this.#state !== "gone") this.#abort();
    return true;
  }

  requestBegan(): void {
    this.#inFlight++;
  }

  endsWithAnswer(): boolean {
    if (this.#drainIdleMs === null) return false;
    this.#isLast = true;
    if (this.table.shutdownTellsClients) {
      this.#shutDown();
      return false;
    }
    this.#endSoon();
    return true;
  }

  requestEnded(bodyRead = true): void {
    this.#inFlight--;
    this.#idleSinceMs = this.table.clockMs;
    if (this.#state === "header" || (this.#state === "idle" && this.#drainIdleMs !== null)) {
      this.#state = "idle";
      this.table.schedule(this, this.#deadlineMs());
    }
    if (!bodyRead && !this.#lingers) {
      this.#lingers = true;
      this.table.schedule(this, this.#deadlineMs());
    }
    if (this.#isLast) this.#endSoon();
    if (this.#state === "gone" && this.#inFlight === 0) this.#leaveTable();
  }

  #deadlineMs(): number {
    if (this.#lingers) return this.#idleSinceMs + LINGER_MS;
    const { keepAliveTimeoutMs } = this.table.limits;
    return this.#idleSinceMs + Math.min(this.#drainIdleMs ?? Infinity, keepAliveTimeoutMs);
  }

  /** Its time may be up. */
  look(nowMs: number): void {
    const { table } = this;
    switch (this.#state) {
      case "handshake":
        if (this.#drainIdleMs !== null) {
          this.#close();
          this.gone();
          break;
        }
        // The runtime holds a socket in its handshake until the client closes it, whatever is done here: it
        // stays counted, and is closed when the handshake ends.
        this.#state = "closing";
        table.slowClient();
        table.schedule(this, Infinity);
        break;
      case "header":
        if (this.#inFlight > 0) table.schedule(this, nowMs + table.limits.keepAliveTimeoutMs);
        else {
          if (this.#drainIdleMs === null) table.slowClient();
          this.#abort();
        }
        break;
      case "idle":
        if (this.#isLast && this.#inFlight === 0 && !this.#lingers) this.#shutDown();
        else if (this.#inFlight > 0) table.schedule(this, nowMs + table.limits.keepAliveTimeoutMs);
        else if (nowMs < this.#deadlineMs()) table.schedule(this, this.#deadlineMs());
        else this.#abort();
        break;
      case "closing":
        table.schedule(this, Infinity);
        break;
      case "gone":
        if (this.#inFlight === 0) this.#forget();
        else table.schedule(this, Infinity);
        break;
    }
  }

  /** Closes it when nothing is in flight any more; resolves when it is gone. */
  drain(idleMs: number): Promise<void> {
    this.#gone ??= Promise.withResolvers();
    this.#drainIdleMs = idleMs;
    // Else it is looked at when the request ends.
    const isQuiet = this.#inFlight === 0;
    if (isQuiet && this.#state === "idle") {
      this.table.schedule(this, this.#deadlineMs());
    } else if (isQuiet && (this.#state === "header" || this.#state === "handshake")) {
      this.table.schedule(this, this.table.clockMs + idleMs);
    } else if (this.#server === null) {
      this.#close();
      this.gone();
    }
    return this.#gone.promise;
  }

  /** In the next sweep: by then the runtime has the answer. */
  #endSoon(): void {
    if (this.#state === "idle" && this.#inFlight === 0 && !this.#lingers) this.table.schedule(this, 0);
  }

  /**
   * Ends the connection when the last answer is written. Where clients are not told by it, it comes after the
   * answer: with a request in flight it would cut the body, and call itself finished too early.
   */
  #shutDown(): void {
    if (this.#server === null || this.#state === "closing" || this.#state === "gone") return;
    this.#state = "closing";
    this.table.schedule(this, Infinity);
    // How the connection ends is told by `finished`.
    this.#server.shutdown().catch(() => {});
  }

  #abort(): void {
    this.#state = "closing";
    this.table.schedule(this, Infinity);
    this.#close();
  }

  upgraded(): void {
    this.gone();
    this.#release?.();
  }

  /** The socket is closed, or belongs to somebody else now (an upgrade). */
  gone(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    if (this.#inFlight === 0) this.#leaveTable();
  }

  #leaveTable(): void {
    const { table } = this;
    if (this.#isLast && table.shutdownTellsClients) table.schedule(this, table.clockMs + WRITE_OUT_MS);
    else this.#forget();
  }

  #forget(): void {
    this.table.forget(this);
    this.#gone?.resolve();
  }
}
