/**
 * Many durations in little memory: exact below 256 µs, then 128 steps for each doubling, so that a percentile
 * is at most 0.4 % off. (HdrHistogram's layout with 7 bits.)
 */

const STEP_BITS = 7;
const EXACT = 2 << STEP_BITS;

export class Distribution {
  #counts = new Uint32Array(EXACT);
  #total = 0;
  /** Nothing is counted above it. */
  #highest = -1;

  /** `durationUs` is a whole number; what is below 0 counts as 0. */
  addMicroseconds(durationUs: number): void {
    const index = indexOf(durationUs);
    if (index > this.#highest) this.#reach(index);
    this.#counts[index]++;
    this.#total++;
  }

  /** How often each duration was added, for `addCounts` of another one. */
  get counts(): Uint32Array {
    return this.#counts.subarray(0, this.#highest + 1);
  }

  /** Adds what another one has counted. */
  addCounts(counts: Uint32Array): void {
    if (counts.length - 1 > this.#highest) this.#reach(counts.length - 1);
    for (let index = 0; index < counts.length; index++) {
      this.#counts[index] += counts[index];
      this.#total += counts[index];
    }
  }

  /**
   * The smallest duration, in milliseconds, that at least `share` (0 to 1) of all do not exceed, by nearest
   * rank as in SQL's `percentile_disc`; null if there are none.
   */
  percentileMs(share: number): number | null {
    if (this.#total === 0) return null;
    let rank = Math.max(Math.ceil(share * this.#total), 1);
    let index = -1;
    while (rank > 0) rank -= this.#counts[++index];
    return middleOf(index) / 1000;
  }

  #reach(index: number): void {
    this.#highest = index;
    if (index < this.#counts.length) return;
    const grown = new Uint32Array((index | 0xff) + 1);
    grown.set(this.#counts);
    this.#counts = grown;
  }
}

function indexOf(durationUs: number): number {
  if (durationUs < EXACT) return Math.max(durationUs, 0);
  // Integers of 32 bits, which are 36 minutes, take a tenth of what powers and logarithms do.
  if (durationUs <= 0x7fff_ffff) {
    const shift = 31 - Math.clz32(durationUs) - STEP_BITS;
    return (shift << STEP_BITS) + (durationUs >> shift);
  }
  const shift = Math.floor(Math.log2(durationUs)) - STEP_BITS;
  return (shift << STEP_BITS) + Math.floor(durationUs / 2 ** shift);
}

/** The middle of what the index stands for, in microseconds. */
function middleOf(index: number): number {
  if (index < EXACT) return index;
  const shift = (index >> STEP_BITS) - 1;
  return ((index & ((1 << STEP_BITS) - 1)) + (1 << STEP_BITS) + 0.5) * 2 ** shift;
}
