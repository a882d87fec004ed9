/**
 * Token buckets by key, in memory that all proxy threads share: the limit holds for the process, whatever
 * the number of threads, and the memory is what it was at the start, whatever the number of keys.
 *
 * A bucket is one number, the time at which it will be full again (the theoretical arrival time of the generic
 * cell rate algorithm, ITU-T I.371): each request moves it one interval on, and is refused if that is further
 * than a whole burst away. Times are in ticks of 100 ns since 2026, whole numbers, so that adding is exact
 * (until 2054; then to 200 ns).
 *
 *     set 0       word 0      low half of the hash's secret (the first thread sets it; 0: not yet)
 *                 word 1      high half
 *                 word 2      number of views that have been made on the memory (wraps)
 *     set 1 ..    word 0      lock: 0 free, else a ticket of the thread that holds it
 *     128 bytes   word 1      unused
 *     each        word 2..8   low half of the key's hash, by way
 *                 word 9..15  high half, by way
 *                 float 8..14 when the bucket is full again, by way
 *                 float 15    unused
 *
 * A key belongs to one set and may take any of its seven ways. A way that nobody uses is a bucket that has long
 * been full, so zeros need no mark of their own, and a bucket that is full again is given away freely: nothing
 * is lost, a new one would be full as well. Only where all seven buckets of a set are in use at once, the one
 * that is nearest to full gives way; its key then gets back, once, the tokens that were missing there. So
 * limits are exact as long as no set has more than seven keys that are short of tokens at the same moment.
 * Beyond that, clients with few requests gain a little, those with many are still held back.
 *
 * All but the lock and the secret is read and written under the set's lock. A thread may be ended while it
 * holds one: a lock that stands unchanged for `STALE_LOCK_MS` is taken over. If its holder was only
 * very slow, that set may for once count a request too few.
 */
import { HalfSipHash } from "./half_sip_hash.ts";

const WAYS = 7;
const SET_WORDS = 32;
const SET_BYTES = SET_WORDS * Int32Array.BYTES_PER_ELEMENT;
const SECRET_LOW = 0, SECRET_HIGH = 1, VIEWS = 2;
const LOCK = 0, HASH_LOW = 2, HASH_HIGH = HASH_LOW + WAYS, FULL_AT = 8;

const TICKS_PER_MS = 10_000;
const EPOCH_MS = Date.UTC(2026, 0, 1);
/**
 * No bucket is further from full than a burst, unless somebody has set the clock back by more than this. Such a
 * bucket counts as full: else its client would be shut out until the clock has caught up.
 */
const CLOCK_SLACK_TICKS = 1000 * TICKS_PER_MS;

/** A lock is held for less than a microsecond; a thread that holds it may lose its processor for some time. */
const STALE_LOCK_MS = 1000;
const SPINS_BEFORE_SLEEP = 200;
const LOCK_SLEEP_MS = 0.05;
const FREE = 0;

export interface BucketSettings {
  /** Tokens that come back each second; a fraction is fine, 0.001 to 1,000,000. */
  ratePerSec: number;
  /** Tokens of a full bucket, at least 1. */
  burst: number;
  /** Sets of seven buckets, a power of two. All threads must say the same. */
  sets: number;
}

/** The interval between two tokens and the time a whole burst takes, in ticks. */
export function bucketTicks(
  { ratePerSec, burst }: { ratePerSec: number; burst: number },
): { interval: number; capacity: number } {
  const interval = Math.max(1, Math.round(1000 * TICKS_PER_MS / ratePerSec));
  return { interval, capacity: Math.round(burst * interval) };
}

export class TokenBuckets {
  /** Bytes that the buckets take. They start as zeros. */
  static bytes(sets: number): number {
    return (1 + sets) * SET_BYTES;
  }

  readonly #words: Int32Array;
  readonly #floats: Float64Array;
  readonly #hash: HalfSipHash;
  readonly #setMask: number;
  readonly #interval: number;
  readonly #capacity: number;
  readonly #nowMs: () => number;
  /** Upper half: this view; lower half: counts, so that a lock which changes hands is seen to change. */
  #ticket: number;

  /**
   * @param memory at least `bytes(settings.sets)`; the rest is left alone
   * @param nowMs the time of day, the same for all threads; a test's own clock otherwise
   */
  constructor(memory: SharedArrayBuffer, settings: BucketSettings, nowMs: () => number = Date.now) {
    this.#words = new Int32Array(memory, 0, TokenBuckets.bytes(settings.sets) / Int32Array.BYTES_PER_ELEMENT);
    this.#floats = new Float64Array(
      memory,
      0,
      TokenBuckets.bytes(settings.sets) / Float64Array.BYTES_PER_ELEMENT,
    );
    this.#hash = new HalfSipHash(this.#secret(SECRET_LOW), this.#secret(SECRET_HIGH));
    this.#setMask = settings.sets - 1;
    const { interval, capacity } = bucketTicks(settings);
    this.#interval = interval;
    this.#capacity = capacity;
    this.#nowMs = nowMs;
    this.#ticket = (Atomics.add(this.#words, VIEWS, 1) + 1) << 16;
  }

  /** Takes a token. @returns 0 if there was one, else the milliseconds until there will be one, above 0 */
  take(key: string): number {
    return this.#visit(key, true, 0);
  }

  /**
   * What `take` would return now. Takes nothing.
   * @param taken tokens that would have been taken before
   */
  peek(key: string, taken = 0): number {
    return this.#visit(key, false, taken);
  }

  #visit(key: string, takes: boolean, taken: number): number {
    const hash = this.#hash;
    hash.digest(key);
    const { low, high } = hash;
    const base = (1 + (low & this.#setMask)) * SET_WORDS;
    const ticket = this.#lock(base);
    const words = this.#words;
    const floats = this.#floats;
    const fullAt = base / 2 + FULL_AT;
    // Read under the lock: a time from before it could be older than what another thread has written since.
    const now = (this.#nowMs() - EPOCH_MS) * TICKS_PER_MS;

    let way = 0;
    let found = false;
    for (let i = 0; i < WAYS; i++) {
      if (words[base + HASH_LOW + i] === low && words[base + HASH_HIGH + i] === high) {
        way = i;
        found = true;
        break;
      }
      if (floats[fullAt + i] < floats[fullAt + way]) way = i;
    }
    let full = found ? floats[fullAt + way] : now;
    if (full < now || full > now + this.#capacity + CLOCK_SLACK_TICKS) full = now;
    const next = full + (taken + 1) * this.#interval;
    const short = next - now - this.#capacity;
    if (takes && short <= 0) {
      floats[fullAt + way] = next;
      words[base + HASH_LOW + way] = low;
      words[base + HASH_HIGH + way] = high;
    }
    // Not if the lock was taken over in the meantime: then it is another thread's.
    Atomics.compareExchange(words, base + LOCK, ticket, FREE);
    return short <= 0 ? 0 : short / TICKS_PER_MS;
  }

  #lock(base: number): number {
    const words = this.#words;
    const view = this.#ticket & ~0xffff;
    this.#ticket = view | ((this.#ticket + 1) & 0xffff);
    const ticket = this.#ticket === FREE ? 1 : this.#ticket;
    let holder = Atomics.compareExchange(words, base + LOCK, FREE, ticket);
    if (holder === FREE) return ticket;

    let since = performance.now();
    for (let spins = 1;; spins++) {
      const seen = Atomics.compareExchange(words, base + LOCK, FREE, ticket);
      if (seen === FREE) return ticket;
      if (seen !== holder) {
        holder = seen;
        since = performance.now();
        continue;
      }
      if (spins < SPINS_BEFORE_SLEEP) continue;
      // Its holder may be waiting for this very processor. Nobody wakes: a wake-up for every release would
      // cost all for the sake of a few.
      Atomics.wait(words, base + LOCK, holder, LOCK_SLEEP_MS);
      if (performance.now() - since < STALE_LOCK_MS) continue;
      if (Atomics.compareExchange(words, base + LOCK, holder, ticket) === holder) return ticket;
    }
  }

  /** Half of a secret that nobody outside can know, so that nobody can choose keys that meet in one set. */
  #secret(word: number): number {
    const [random] = crypto.getRandomValues(new Int32Array(1));
    const made = random === 0 ? 1 : random;
    const before = Atomics.compareExchange(this.#words, word, 0, made);
    return before === 0 ? made : before;
  }
}
