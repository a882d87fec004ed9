/**
 * How many retries there may be, in proportion to the requests of the last ten seconds, counted in shared
 * memory for all threads together. Without it, targets that fail because they are overloaded get all requests
 * several times.
 *
 *     Int32 words   0 .. 9     requests: a window_counts.ts ring of seconds
 *                   10 .. 19   retries: the same
 */
import { countInWindow, WINDOW_BUCKETS, windowSum } from "../balancing/window_counts.ts";
import type { RetryConfig } from "../config/model.ts";

const PERIOD_MS = 1000;
const REQUESTS = 0;
const RETRIES = WINDOW_BUCKETS;

export class RetryBudget {
  static readonly BYTES = 2 * WINDOW_BUCKETS * Int32Array.BYTES_PER_ELEMENT;
  readonly #words: Int32Array;
  readonly #share: number;
  readonly #free: number;
  readonly #now: () => number;

  /**
   * @param buffer zeroed, of `RetryBudget.BYTES`, the same for all threads
   * @param now Unix time in milliseconds
   */
  constructor(buffer: SharedArrayBuffer, config: RetryConfig["budget"], now: () => number = Date.now) {
    this.#words = new Int32Array(buffer);
    this.#share = config.percent / 100;
    this.#free = config.minPerSecond * WINDOW_BUCKETS;
    this.#now = now;
  }

  /** Counts a request; once for each, not for its retries. */
  request(): void {
    countInWindow(this.#words, REQUESTS, this.#period());
  }

  /**
   * Counts a retry if there may be one. Threads that ask in the same instant may together go over by one
   * retry each.
   */
  tryRetry(): boolean {
    const period = this.#period();
    const allowed = this.#free + this.#share * windowSum(this.#words, REQUESTS, period);
    if (windowSum(this.#words, RETRIES, period) + 1 > allowed) return false;
    return countInWindow(this.#words, RETRIES, period);
  }

  #period(): number {
    return Math.floor(this.#now() / PERIOD_MS);
  }
}
