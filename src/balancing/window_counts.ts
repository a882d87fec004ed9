/**
 * Counts of the recent past in shared memory, exact for any number of threads and without a lock. A window is
 * a ring of `WINDOW_BUCKETS` words; the bucket of a period of time has the period's number in its upper bits,
 * so that whoever counts first in a new period replaces what is left of an old one in the same step:
 *
 *     31 ........ 20 19 ................. 0
 *     period & 4095   count (stays at its most)
 *
 * A clock that is set forward or back only makes the window forget: no period of the other time matches. A
 * window that nothing is counted in for 20,480 periods may show a bucket of that time once.
 */
export const WINDOW_BUCKETS = 10;

const COUNT_BITS = 20;
export const MAX_BUCKET_COUNT = 2 ** COUNT_BITS - 1;

/**
 * Counts one more in a period.
 * @param start first word of the ring
 * @param period number of the present period: the time divided by the length of a bucket
 * @returns false if the bucket is full: then leave what belongs to it uncounted too, so that ratios stay right
 */
export function countInWindow(words: Int32Array, start: number, period: number): boolean {
  const index = start + period % WINDOW_BUCKETS;
  const tag = period << COUNT_BITS;
  for (;;) {
    const seen = Atomics.load(words, index);
    const isCurrent = (seen & ~MAX_BUCKET_COUNT) === tag;
    if (isCurrent && (seen & MAX_BUCKET_COUNT) === MAX_BUCKET_COUNT) return false;
    if (Atomics.compareExchange(words, index, seen, isCurrent ? seen + 1 : tag | 1) === seen) return true;
  }
}

/** What was counted in the present period and the `WINDOW_BUCKETS - 1` before it. */
export function windowSum(words: Int32Array, start: number, period: number): number {
  let sum = 0;
  for (let back = 0; back < WINDOW_BUCKETS; back++) {
    const past = period - back;
    const word = Atomics.load(words, start + past % WINDOW_BUCKETS);
    if ((word & ~MAX_BUCKET_COUNT) === past << COUNT_BITS) sum += word & MAX_BUCKET_COUNT;
  }
  return sum;
}
