/**
 * The keys of `jwks_url` in one thread: fetched at the start, again in the background, and once more when a token
 * names a key that is not among them. While they cannot be fetched, the last ones are used for a while.
 */
import { FETCH_LIMITS, fetchKeys, type FetchLimits, type RemoteKey } from "./jwks_fetch.ts";

export interface RemoteKeysSettings {
  url: string;
  /** Keys are fetched again after this time. */
  cacheMs: number;
  /** Keys that cannot be fetched again are used for this much longer. */
  staleMs: number;
}

export type AuthLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields?: Record<string, unknown>,
) => void;

export interface RemoteKeysContext {
  log: AuthLog;
  /** A clock that only goes forward, in milliseconds. */
  nowMs?: () => number;
  limits?: FetchLimits;
}

/** A token with an unknown `kid` makes us ask again no sooner: anybody can send one. */
const COOLDOWN_MS = 30_000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

export class RemoteKeys {
  readonly #settings: RemoteKeysSettings;
  readonly #log: AuthLog;
  readonly #nowMs: () => number;
  readonly #limits: FetchLimits;
  readonly #closed = new AbortController();
  #keys: readonly RemoteKey[] = [];
  #print = "";
  #version = 0;
  #fetchedMs = -Infinity;
  #startedMs = -Infinity;
  #failures = 0;
  #running: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(settings: RemoteKeysSettings, context: RemoteKeysContext) {
    this.#settings = settings;
    this.#log = context.log;
    this.#nowMs = context.nowMs ?? (() => performance.now());
    this.#limits = context.limits ?? FETCH_LIMITS;
    this.#refresh();
  }

  /** Changes with the keys: what was verified under another version must be verified again. */
  get version(): number {
    this.#dropStale();
    return this.#version;
  }

  /** The keys as they are known now; none before the first fetch and after too many failed ones. */
  get keys(): readonly RemoteKey[] {
    this.#dropStale();
    return this.#keys;
  }

  /** Whether the last fetch failed, so that newer keys may be there than are known. */
  get isBehind(): boolean {
    return this.#failures > 0;
  }

  /** Resolves when a fetch that is under way has ended, however it did; in the time of one fetch at most. */
  settled(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** A key is asked for that is not there: fetches again unless that was done a moment ago. */
  async lookAgain(): Promise<void> {
    if (this.#running === null && this.#nowMs() - this.#startedMs >= COOLDOWN_MS) this.#refresh();
    await this.settled();
  }

  /** Ends timer and fetch. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closed.abort();
    await this.settled();
  }

  #refresh(): void {
    clearTimeout(this.#timer);
    this.#startedMs = this.#nowMs();
    this.#running = this.#fetch().finally(() => {
      this.#running = null;
      if (!this.#closed.signal.aborted) this.#schedule();
    });
  }

  async #fetch(): Promise<void> {
    try {
      const keys = await fetchKeys(this.#settings.url, this.#closed.signal, this.#limits);
      this.#fetchedMs = this.#nowMs();
      this.#take(keys);
      if (this.#failures > 0) this.#log("info", "the keys of jwks_url can be fetched again", this.#place());
      this.#failures = 0;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#failures++;
      // Once for each time that it goes down; whoever is refused says so in the record.
      if (this.#failures === 1) {
        this.#log("warn", "cannot fetch the keys of jwks_url", {
          ...this.#place(),
          error: reasonOf(error),
          keys_in_use: this.keys.length,
        });
      }
    }
  }

  #take(keys: readonly RemoteKey[]): void {
    const print = JSON.stringify(keys);
    if (print === this.#print) return;
    this.#keys = keys;
    this.#print = print;
    this.#version++;
  }

  #dropStale(): void {
    const { cacheMs, staleMs } = this.#settings;
    if (this.#keys.length === 0 || this.#nowMs() - this.#fetchedMs <= cacheMs + staleMs) return;
    this.#take([]);
    this.#log(
      "warn",
      "the keys of jwks_url are too old to be used, tokens cannot be verified",
      this.#place(),
    );
  }

  #schedule(): void {
    const failures = this.#failures;
    const waitMs = failures === 0
      ? this.#settings.cacheMs
      : Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10), LONGEST_RETRY_MS, this.#settings.cacheMs);
    // Up to a tenth earlier, so that the threads of many instances do not all ask at once.
    const timer = setTimeout(() => this.#refresh(), waitMs * (1 - Math.random() / 10));
    Deno.unrefTimer(timer);
    this.#timer = timer;
  }

  /** Without the query, in which some signers want a secret. */
  #place(): Record<string, unknown> {
    const { origin, pathname } = new URL(this.#settings.url);
    return { url: origin + pathname };
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The runtime's own errors quote the address with its query.
  const reason = error.cause instanceof Error && error.name === "TypeError"
    ? error.cause.message
    : error.message;
  return reason.replace(/ for url \(.*?\)(?=: |$)/, "");
}

/** The key sets in use in one thread; those that two generations of the configuration share are kept. */
export class RemoteKeySets {
  readonly #context: RemoteKeysContext;
  readonly #open = new Map<string, { keys: RemoteKeys; users: number }>();

  constructor(context: RemoteKeysContext) {
    this.#context = context;
  }

  /** To be given back by `release`. */
  acquire(settings: RemoteKeysSettings): RemoteKeys {
    const name = nameOf(settings);
    let entry = this.#open.get(name);
    if (entry === undefined) {
      entry = { keys: new RemoteKeys(settings, this.#context), users: 0 };
      this.#open.set(name, entry);
    }
    entry.users++;
    return entry.keys;
  }

  async release(settings: RemoteKeysSettings): Promise<void> {
    const name = nameOf(settings);
    const entry = this.#open.get(name);
    if (entry === undefined || --entry.users > 0) return;
    this.#open.delete(name);
    await entry.keys.close();
  }
}

function nameOf({ url, cacheMs, staleMs }: RemoteKeysSettings): string {
  return JSON.stringify([url, cacheMs, staleMs]);
}
