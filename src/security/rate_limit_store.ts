/**
 * Token buckets in Redis or Valkey, so that several instances of Dispa share one limit. One connection for each
 * proxy thread; the client library is loaded only when a store is configured.
 */
import type { Redis, RedisOptions } from "ioredis";
import { bucketTicks } from "./token_buckets.ts";

/**
 * The same algorithm, and the same ticks, as in `token_buckets.ts`; the clock is the server's. A bucket that is
 * full again needs no memory: its key expires.
 */
const SCRIPT = `
local interval, capacity, takes = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 10000000 + time[2] * 10
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now or full > now + capacity + 10000000 then full = now end
local short = full + interval - now - capacity
if short > 0 then return math.ceil(short / 10000) end
if takes then
  local expires = math.ceil((full + interval - now) / 10000)
  redis.call('SET', KEYS[1], string.format('%.0f', full + interval), 'PX', expires)
end
return 0
`;

const KEY_PREFIX = "dispa:rate_limit:";
const PROBE_KEY = "probe";
const CONNECT_TIMEOUT_MS = 2000;
/** A server that hangs does not close its side. */
const DISCONNECT_TIMEOUT_MS = 250;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;
/** A connection that lasted this long was a good one: after it the pauses begin anew. */
const GOOD_CONNECTION_MS = 30_000;

export interface StoreOptions {
  /** `redis://` or `rediss://`, as `parseRedisUrl` takes it. */
  url: string;
  /** Longest wait for an answer; after it the store counts as down until it answers again. */
  timeoutMs: number;
  ratePerSec: number;
  burst: number;
  /** Called when the store has become usable, and each time an attempt to use it has failed. */
  onUp(): void;
  onDown(reason: string): void;
}

interface Session {
  client: Redis;
  scriptHash: string;
  /** Ends the session: the connection is given up and a new one made. */
  fail(fault: unknown): void;
}

export class RateLimitStore {
  readonly #options: StoreOptions;
  readonly #interval: number;
  readonly #capacity: number;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #session: Session | null = null;

  /** Connects in the background. */
  constructor(options: StoreOptions) {
    this.#options = options;
    const { interval, capacity } = bucketTicks(options);
    this.#interval = interval;
    this.#capacity = capacity;
    this.#ended = this.#keepConnected();
  }

  /** Whether it is worth asking. */
  get isUp(): boolean {
    return this.#session !== null;
  }

  /**
   * Takes a token, or only looks. Answers or rejects within `timeoutMs`.
   * @returns 0 if there was one, else the milliseconds until there will be one
   * @throws Error if the store is down, or went down over this: whether a token was taken is then unknown
   */
  async ask(key: string, takes: boolean): Promise<number> {
    const session = this.#session;
    if (session === null) throw new Error("the store of the rate limit is down");
    try {
      return await this.#run(session.client, session.scriptHash, key, takes);
    } catch (fault) {
      session.fail(fault);
      throw fault;
    }
  }

  /** Closes the connection. Idempotent. */
  close(): Promise<void> {
    this.#closing.abort();
    return this.#ended;
  }

  async #run(client: Redis, scriptHash: string, key: string, takes: boolean): Promise<number> {
    const args = [KEY_PREFIX + key, this.#interval, this.#capacity, takes ? 1 : 0];
    try {
      return Number(await client.evalsha(scriptHash, 1, ...args));
    } catch (fault) {
      // The server has been told to forget its scripts (SCRIPT FLUSH).
      if (!(fault instanceof Error) || !fault.message.startsWith("NOSCRIPT")) throw fault;
      return Number(await client.eval(SCRIPT, 1, ...args));
    }
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing;
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const startedMs = performance.now();
      const fault = await this.#connectOnce(signal).catch((fault: unknown) => fault);
      if (signal.aborted) break;
      this.#options.onDown(fault instanceof Error ? fault.message : String(fault));
      if (performance.now() - startedMs >= GOOD_CONNECTION_MS) pauseMs = FIRST_PAUSE_MS;
      // Not all threads and instances at the same moment.
      await pause(pauseMs * (0.5 + Math.random()), signal);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }

  /** One connection from its beginning to its end. @returns, or throws, why it ended */
  async #connectOnce(signal: AbortSignal): Promise<unknown> {
    const { Redis } = await import("ioredis");
    if (signal.aborted) return signal.reason;
    const client = new Redis(this.#clientOptions());
    const disconnect = () => client.disconnect();
    signal.addEventListener("abort", disconnect);
    const end = Promise.withResolvers<unknown>();
    const closed = Promise.withResolvers<void>();
    // The first reason is the telling one: what follows is only that the connection is closed.
    client.on("error", end.resolve);
    client.on("end", () => {
      end.resolve(new Error("the connection was closed"));
      closed.resolve();
    });
    try {
      await client.connect();
      const scriptHash = String(await client.script("LOAD", SCRIPT));
      // Finds out whether the server can do what will be asked of it: it may be read-only or full.
      await this.#run(client, scriptHash, PROBE_KEY, true);
      this.#session = { client, scriptHash, fail: end.resolve };
      this.#options.onUp();
    } catch (fault) {
      end.resolve(fault);
    }
    try {
      return await end.promise;
    } finally {
      this.#session = null;
      signal.removeEventListener("abort", disconnect);
      if (client.status !== "end") client.disconnect();
      await closed.promise;
    }
  }

  #clientOptions(): RedisOptions {
    const url = new URL(this.#options.url);
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 6379 : Number(url.port),
      username: url.username === "" ? undefined : decodeURIComponent(url.username),
      password: url.password === "" ? undefined : decodeURIComponent(url.password),
      db: Number(url.pathname.slice(1)),
      tls: url.protocol === "rediss:" ? {} : undefined,
      connectionName: "dispa",
      lazyConnect: true,
      connectTimeout: CONNECT_TIMEOUT_MS,
      disconnectTimeout: DISCONNECT_TIMEOUT_MS,
      commandTimeout: this.#options.timeoutMs,
      // Connections are made again above, and nothing is sent twice: a request that waits is better counted here.
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      enableReadyCheck: false,
    };
  }
}

/** Resolves after the time, or as soon as the signal is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
