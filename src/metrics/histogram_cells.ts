/**
 * One histogram of one thread, in that thread's block:
 *
 *     +0 .. +n-1   observations in the bucket up to bound 0 .. n-1 (each counted once, not cumulative)
 *     +n           observations above the last bound
 *     +n+1         sum of all observations
 *
 * There is no cell for the count: the exporter adds the buckets up, so that `_count` and the `+Inf` bucket
 * agree even when it reads between two stores.
 */
export class HistogramCells {
  readonly #cells: Float64Array;
  #bounds = new Float64Array(0);
  #offset = 0;

  /** @param cells the thread's whole block */
  constructor(cells: Float64Array, offset: number, bounds: readonly number[]) {
    this.#cells = cells;
    this.place(offset, bounds);
  }

  /** How many cells a histogram takes. */
  static size(bounds: number): number {
    return bounds + 2;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Counts on at another place under other bounds; who holds this object need not know. */
  place(offset: number, bounds: readonly number[]): void {
    this.#offset = offset;
    this.#bounds = Float64Array.from(bounds);
  }

  /**
   * Counts one value, in the family's unit. A negative one (a clock set back) counts as 0, and what is not a
   * finite number is left out: either would spoil the sum for ever.
   */
  observe(value: number): void {
    if (!(value < Infinity)) return;
    if (value < 0) value = 0;
    const bounds = this.#bounds;
    const cells = this.#cells;
    const offset = this.#offset;
    let bucket = 0;
    // From below: a proxy's times are in the first few buckets, and 13 bounds take no longer than a bisection.
    while (bucket < bounds.length && value > bounds[bucket]) bucket++;
    cells[offset + bucket] += 1;
    cells[offset + bounds.length + 1] += value;
  }
}
