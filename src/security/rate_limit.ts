/** The step that says how often a client may come: `[security.rate_limit]`. */
import type { RateLimitConfig, SecurityConfig } from "../config/model.ts";
import { redactUrl } from "../config/redact.ts";
import type { Refusal } from "../http/refusal.ts";
import { networkKey } from "./client_address.ts";
import { RateLimitStore } from "./rate_limit_store.ts";
import { TokenBuckets } from "./token_buckets.ts";
import { tooManyRequests } from "./too_many_requests.ts";

/** 229,376 buckets, 4 MiB, of which the system gives out only what is touched. */
const SETS = 32_768;
const STORE_STATE_BYTES = 8;
const STORE_WORKS = 0, STORE_DOWN = 1;

type Answer = Refusal | null | Promise<Refusal | null>;

export interface RateLimitStep {
  /** Counts the request. A refusal, or null: let it pass. Never rejects; a promise only with a store. */
  check(request: { readonly clientIp: string }): Answer;
  /** What `check` would say now. Counts nothing. */
  peek(request: { readonly clientIp: string }): Answer;
  /** Ends the connection to the store; for the last user of a configuration's generation. */
  close(): Promise<void>;
}

/**
 * Bytes of memory that the steps of all threads share; 0: none. It starts as zeros, is the same for every
 * configuration that needs any, and should outlive reloads, so that nobody's bucket is filled by one.
 */
export function rateLimitBytes(security: SecurityConfig): number {
  return settingsOf(security) === null ? 0 : TokenBuckets.bytes(SETS) + STORE_STATE_BYTES;
}

/**
 * @param shared `rateLimitBytes(security)` long
 * @param nowMs the time of day; a test's own clock otherwise
 * @returns null if the configuration asks for no such step
 */
export function rateLimitStep(
  security: SecurityConfig,
  shared: SharedArrayBuffer | null,
  log: (level: "info" | "warn", message: string, fields?: Record<string, unknown>) => void,
  nowMs?: () => number,
): RateLimitStep | null {
  const settings = settingsOf(security);
  if (settings === null) return null;
  if (shared === null) throw new TypeError("cannot limit rates without the memory that all threads share");
  const { ratePerSec, burst } = settings;
  const buckets = new TokenBuckets(shared, { ratePerSec, burst, sets: SETS }, nowMs);
  const store = settings.store === null ? null : openStore(settings, settings.store, shared, log);

  /** The process counts by itself where there is no store, and while that is down. */
  function decide({ clientIp }: { readonly clientIp: string }, takes: boolean): Answer {
    const key = networkKey(clientIp);
    const local = () => refusal(takes ? buckets.take(key) : buckets.peek(key));
    return store !== null && store.isUp ? store.ask(key, takes).then(refusal, local) : local();
  }
  return {
    check: (request) => decide(request, true),
    peek: (request) => decide(request, false),
    close: () => store === null ? Promise.resolve() : store.close(),
  };
}

function settingsOf({ enabled, rateLimit }: SecurityConfig): RateLimitConfig | null {
  return enabled ? rateLimit : null;
}

function openStore(
  { ratePerSec, burst, storeTimeoutMs }: RateLimitConfig,
  url: string,
  shared: SharedArrayBuffer,
  log: (level: "info" | "warn", message: string, fields?: Record<string, unknown>) => void,
): RateLimitStore {
  // Every thread has a connection, and notices by itself; the first to do so says it for all.
  const state = new Int32Array(shared, TokenBuckets.bytes(SETS), 1);
  const turned = (from: number, to: number) => Atomics.compareExchange(state, 0, from, to) === from;
  return new RateLimitStore({
    url,
    timeoutMs: storeTimeoutMs,
    ratePerSec,
    burst,
    onUp() {
      if (!turned(STORE_DOWN, STORE_WORKS)) return;
      log("info", "the store of the rate limit works again", { store: redactUrl(url) });
    },
    onDown(reason) {
      if (!turned(STORE_WORKS, STORE_DOWN)) return;
      log("warn", "the store of the rate limit does not work, requests are counted by this process alone", {
        store: redactUrl(url),
        error: reason,
      });
    },
  });
}

/** @param waitMs until there is a token; 0: there was one */
function refusal(waitMs: number): Refusal | null {
  return waitMs === 0 ? null : { ...tooManyRequests(waitMs), denial: "rate_limit" };
}
