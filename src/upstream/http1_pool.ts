/**
 * The direct HTTP/1.1 transport: connections to each origin, reused last in, first out, so that those that
 * are not needed any more are left to expire.
 */
import type { TargetConfig } from "../config/model.ts";
import {
  type ConnectionOwner,
  type EncodedRequest,
  encodeRequest,
  Exchange,
  Http1Connection,
  newOutput,
} from "./http1_connection.ts";
import { createDial, describeTarget, type Dial, type RawConnection } from "./http1_dial.ts";
import { type Transport, UpstreamError, type UpstreamRequest, type UpstreamResponse } from "./transport.ts";

/** Deadlines are looked at so often while there are exchanges; a timer a request would cost more than them. */
const SWEEP_MS = 100;
/** Idle connections are looked at so often when there are no exchanges. */
const IDLE_SWEEP_MS = 1000;
/**
 * A connection is given up so long before the upstream closes it by its own word, so that a request is not
 * on its way to it when it does.
 */
const KEEP_ALIVE_MARGIN_MS = 1000;

/** Connections to one origin that are being opened at once: below the 128 that many systems queue unaccepted. */
const MAX_DIALLING = 100;

export interface Http1PoolOptions {
  /** Idle connections kept to each origin; 0: none. */
  poolMaxIdlePerHost: number;
  /** An idle connection is closed after this time, within a second; sooner if the upstream says so. */
  poolIdleTimeoutMs: number;
  /** PEM certificates that are trusted beside the built-in ones. */
  caCerts?: string[];
  /** PEM certificate and key shown to targets that ask for one. */
  clientPair?: { cert: string; key: string } | null;
  /** How connections are opened; by default over the network. */
  dial?: Dial;
}

/** Connections to one origin. */
export interface OriginStats {
  idle: number;
  active: number;
  connecting: number;
}

/** A request that waits for a connection: for one being opened, or one that another request gives back. */
interface Waiting {
  readonly exchange: Exchange;
  readonly encoded: EncodedRequest;
  /** Infinity if there is none. */
  readonly deadlineMs: number;
  /** Whether a connection that has served before will not do. */
  readonly freshOnly: boolean;
}

/** A connection being opened, for whichever request waits first when it is open. */
interface Dialling {
  readonly deadlineMs: number;
  readonly attempt: AbortController;
}

/** The connections to one protocol, host and port. */
class Origin implements ConnectionOwner {
  /** Newest last. */
  readonly idle: Http1Connection[] = [];
  readonly open = new Set<Http1Connection>();
  /** In the order they came. */
  readonly waiting = new Set<Waiting>();
  readonly dialling = new Set<Dialling>();
  /** Why the last dial failed, if for want of something of our own: nothing is dialled before the next sweep. */
  shortage: UpstreamError | null = null;

  /** @param target one of those that share it */
  constructor(readonly pool: Http1Pool, readonly target: TargetConfig) {}

  get nowMs(): number {
    return this.pool.exchangeClockMs;
  }

  release(connection: Http1Connection): boolean {
    for (const waiting of this.waiting) {
      if (waiting.freshOnly) continue;
      this.pool.startWaiting(this, waiting, connection);
      return true;
    }
    if (!this.pool.keepsIdle(this.idle.length)) return false;
    connection.expiresAtMs = this.pool.expiry(connection.keepAliveMs);
    this.idle.push(connection);
    return true;
  }

  closed(connection: Http1Connection): void {
    this.open.delete(connection);
    const index = this.idle.lastIndexOf(connection);
    if (index !== -1) this.idle.splice(index, 1);
    this.pool.connectionEnded();
  }

  resend(exchange: Exchange): void {
    this.pool.sendOnFresh(this, exchange);
  }

  takeIdle(): Http1Connection | undefined {
    for (;;) {
      const connection = this.idle.pop();
      if (connection === undefined || connection.expiresAtMs > this.pool.nowMs) return connection;
      connection.close();
    }
  }

  sweep(slackMs: number): void {
    const expired = this.idle.filter(({ expiresAtMs }) => expiresAtMs <= this.pool.nowMs);
    for (const connection of expired) connection.close();
    const { nowMs } = this;
    for (const connection of this.open) connection.sweep(nowMs, slackMs);
    for (const waiting of this.waiting) if (waiting.deadlineMs <= nowMs) this.pool.timedOut(this, waiting);
    for (const dialling of this.dialling) {
      if (dialling.deadlineMs <= nowMs) this.pool.stopDialling(this, dialling);
    }
  }

  get activeCount(): number {
    return this.open.size - this.idle.length;
  }

  get isEmpty(): boolean {
    return this.open.size === 0 && this.dialling.size === 0 && this.waiting.size === 0;
  }
}

/**
 * Connections to all targets of one configuration. Time-outs are exact to about 100 ms.
 * Idle connections keep the program running until they expire or `close` is called.
 */
export class Http1Pool implements Transport {
  readonly readsBodyEarly = false;
  /** The time as of the last sweep, or of the first request after a pause. */
  nowMs = performance.now();
  /**
   * What time-outs are measured by. It runs with the time, but at most two intervals a sweep: when this
   * thread itself was held up, answers may be waiting unread, and no upstream is to blame.
   */
  exchangeClockMs = 0;
  readonly #options: Http1PoolOptions;
  readonly #dial: Dial;
  readonly #origins = new Map<string, Origin>();
  /** Finds the origin by a string that is at hand, without building one a request. */
  readonly #originByUrl = new Map<string, Origin>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the timer runs at `SWEEP_MS`, so that `nowMs` is fresh. */
  #isBusy = false;
  #closed = false;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
    this.#dial = options.dial ?? createDial(options.caCerts, options.clientPair);
  }

  /**
   * A request that broke on a reused connection before a byte of the answer is sent once more on a fresh one
   * if that can do no harm: nothing had been sent, or the method is idempotent and there is no body, or it
   * has not been touched.
   */
  send(request: UpstreamRequest): Promise<UpstreamResponse> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(request, resolve, reject);
      if (request.abort.aborted) {
        exchange.fail(new UpstreamError("client_gone", "the request was given up before it was sent", false));
        return;
      }
      if (!this.#isBusy) this.#beBusy();
      const origin = this.#originByUrl.get(request.target.url) ?? this.#addOrigin(request.target);
      const connection = origin.takeIdle();
      if (connection === undefined) {
        this.#wait(origin, exchange, false);
        return;
      }
      let encoded: EncodedRequest;
      try {
        encoded = encodeRequest(request, connection.output);
      } catch (error) {
        origin.idle.push(connection);
        reject(error);
        return;
      }
      connection.output = encoded.output;
      connection.start(exchange, encoded.headBytes);
    });
  }

  /** Connections by origin, e.g. `http://10.0.0.1:8080`. Origins without any may be missing. */
  stats(): Map<string, OriginStats> {
    const stats = new Map<string, OriginStats>();
    for (const [name, { idle, activeCount, dialling }] of this.#origins) {
      stats.set(name, { idle: idle.length, active: activeCount, connecting: dialling.size });
    }
    return stats;
  }

  /** Requests that are sent after it are served, but no connection is kept. */
  close(): void {
    this.#closed = true;
    for (const { idle } of this.#origins.values()) for (const connection of [...idle]) connection.close();
    this.connectionEnded();
  }

  // ---- for origins ----

  /** Whether an origin that has so many idle connections may keep another one. */
  keepsIdle(idleCount: number): boolean {
    return !this.#closed && idleCount < this.#options.poolMaxIdlePerHost;
  }

  /** After `close` the timer stops with the last connection; before, the sweep sees to it. */
  connectionEnded(): void {
    if (!this.#closed) return;
    this.#removeEmptyOrigins();
    if (this.#origins.size > 0) return;
    this.#stopTimer();
    this.#isBusy = false;
  }

  /** Until when a connection may be used that has just become idle. */
  expiry(keepAliveMs: number | null): number {
    const ours = this.#options.poolIdleTimeoutMs;
    const idleMs = keepAliveMs === null ? ours : Math.min(ours, keepAliveMs - KEEP_ALIVE_MARGIN_MS);
    return this.nowMs + idleMs;
  }

  /** Sends the request on a fresh connection. */
  sendOnFresh(origin: Origin, exchange: Exchange): void {
    this.#wait(origin, exchange, true);
  }

  /**
   * Lets the request wait for a connection. One is opened for it, but it takes whichever is there first: a
   * crowd of clients then opens as many as it needs at once rather than one each, which an upstream's queue of
   * unaccepted connections might not hold (Linux then drops the attempt, to be repeated a second later).
   */
  #wait(origin: Origin, exchange: Exchange, freshOnly: boolean): void {
    const { connectTimeoutMs, abort } = exchange.request;
    let encoded: EncodedRequest;
    try {
      // Before the dial: a request that cannot be written opens no connection.
      encoded = encodeRequest(exchange.request, null);
    } catch (error) {
      exchange.reject(error as Error);
      return;
    }
    const waiting: Waiting = { exchange, encoded, deadlineMs: this.#deadline(connectTimeoutMs), freshOnly };
    origin.waiting.add(waiting);
    abort.onabort = (reason) => this.#giveUp(origin, waiting, unsent(reason, exchange.request));
    this.#dialAsNeeded(origin);
  }

  #deadline(connectTimeoutMs: number): number {
    return connectTimeoutMs === 0 ? Infinity : this.exchangeClockMs + SWEEP_MS + connectTimeoutMs;
  }

  /** Opens as many connections as requests wait, within the bound. */
  #dialAsNeeded(origin: Origin): void {
    if (origin.shortage !== null) return;
    const wanted = Math.min(origin.waiting.size, MAX_DIALLING);
    for (const { exchange } of origin.waiting) {
      if (origin.dialling.size >= wanted) return;
      this.#startDial(origin, exchange.request.connectTimeoutMs);
    }
  }

  #startDial(origin: Origin, connectTimeoutMs: number): void {
    const attempt = new AbortController();
    const dialling: Dialling = { deadlineMs: this.#deadline(connectTimeoutMs), attempt };
    origin.dialling.add(dialling);
    this.#dial(origin.target, attempt.signal).then(
      (raw) => {
        if (origin.dialling.delete(dialling)) this.#opened(origin, raw);
        else raw.close();
      },
      (error) => {
        if (origin.dialling.delete(dialling)) this.#notOpened(origin, error);
      },
    );
  }

  #opened(origin: Origin, raw: RawConnection): void {
    const isEncrypted = origin.target.protocol === "https";
    const [first] = origin.waiting;
    const output = first?.encoded.output ?? newOutput();
    const connection = new Http1Connection(raw, isEncrypted, origin, output);
    origin.open.add(connection);
    if (first !== undefined) {
      this.startWaiting(origin, first, connection);
    } else if (origin.release(connection)) {
      connection.park();
    } else {
      connection.close();
    }
    // Where more requests wait than may be dialled for at once, one of the others has its turn now.
    this.#dialAsNeeded(origin);
  }

  /**
   * The failure of a dial is that of the request which has waited longest, unless others are still under way.
   * Where it was for want of descriptors, and other requests have connections, all wait for these instead.
   */
  #notOpened(origin: Origin, error: UpstreamError): void {
    if (error.code === "overloaded" && origin.activeCount > 0) {
      origin.shortage = error;
      this.connectionEnded();
      return;
    }
    const [first] = origin.waiting;
    if (first !== undefined && origin.waiting.size > origin.dialling.size) {
      origin.waiting.delete(first);
      first.exchange.fail(error);
    }
    this.#dialAsNeeded(origin);
    this.connectionEnded();
  }

  /** The connection, idle or new, carries the request from now on. */
  startWaiting(origin: Origin, waiting: Waiting, connection: Http1Connection): void {
    origin.waiting.delete(waiting);
    connection.output = waiting.encoded.output;
    connection.start(waiting.exchange, waiting.encoded.headBytes);
  }

  timedOut(origin: Origin, waiting: Waiting): void {
    const { target, connectTimeoutMs } = waiting.exchange.request;
    const message = `${describeTarget(target)} accepted no connection within ${connectTimeoutMs} ms`;
    this.#giveUp(
      origin,
      waiting,
      origin.shortage ?? new UpstreamError("connect_timeout", message, false),
    );
  }

  stopDialling(origin: Origin, dialling: Dialling): void {
    origin.dialling.delete(dialling);
    dialling.attempt.abort();
    this.#dialAsNeeded(origin);
  }

  #giveUp(origin: Origin, waiting: Waiting, error: UpstreamError): void {
    origin.waiting.delete(waiting);
    const [oldest] = origin.dialling;
    if (origin.dialling.size > origin.waiting.size) this.stopDialling(origin, oldest);
    waiting.exchange.fail(error);
    this.connectionEnded();
  }

  // ---- time ----

  #sweep = (): void => {
    const beforeMs = this.nowMs;
    this.nowMs = performance.now();
    this.exchangeClockMs += Math.min(this.nowMs - beforeMs, 2 * SWEEP_MS);
    let active = 0;
    for (const origin of this.#origins.values()) {
      origin.sweep(SWEEP_MS);
      origin.shortage = null;
      this.#dialAsNeeded(origin);
      active += origin.activeCount + origin.dialling.size + origin.waiting.size;
    }
    this.#removeEmptyOrigins();
    this.#isBusy = active > 0;
    if (this.#origins.size === 0) this.#timer = undefined;
    else this.#startTimer(this.#isBusy ? SWEEP_MS : IDLE_SWEEP_MS);
  };

  #beBusy(): void {
    this.#isBusy = true;
    this.nowMs = performance.now();
    this.#stopTimer();
    this.#startTimer(SWEEP_MS);
  }

  #startTimer(delayMs: number): void {
    const timer = setTimeout(this.#sweep, delayMs);
    if (!this.#isBusy) Deno.unrefTimer(timer);
    this.#timer = timer;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  // ---- origins ----

  #addOrigin(target: TargetConfig): Origin {
    const hostname = target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname;
    const name = `${target.protocol}://${hostname}:${target.port}`;
    let origin = this.#origins.get(name);
    if (origin === undefined) this.#origins.set(name, origin = new Origin(this, target));
    this.#originByUrl.set(target.url, origin);
    return origin;
  }

  /** Targets come and go with reloads: what is not used any more is forgotten. */
  #removeEmptyOrigins(): void {
    const before = this.#origins.size;
    for (const [name, origin] of this.#origins) if (origin.isEmpty) this.#origins.delete(name);
    if (this.#origins.size < before) this.#originByUrl.clear();
  }
}

/** Why a request was given up for which there was no connection yet. */
function unsent(reason: Error, { target }: UpstreamRequest): UpstreamError {
  const options = { cause: reason };
  if (reason instanceof UpstreamError) {
    return new UpstreamError(reason.code, reason.message, false, false, options);
  }
  const message = `connecting to ${describeTarget(target)} was given up: ${reason.message}`;
  return new UpstreamError("client_gone", message, false, false, options);
}
