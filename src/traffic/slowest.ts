/** The slowest of many records, with room for no more than twice as many as are wanted. */

import type { TrafficRow } from "./record.ts";

export class Slowest {
  readonly #limit: number;
  #rows: TrafficRow[] = [];
  /** None below it can be among the slowest any more. */
  #leastMs = -1;

  /** @param limit at least 1 */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(row: TrafficRow): void {
    if (row.duration_ms <= this.#leastMs) return;
    this.#rows.push(row);
    if (this.#rows.length >= 2 * this.#limit) this.#cut();
  }

  /** Slowest first; of equals the one added first. */
  records(): TrafficRow[] {
    this.#cut();
    return this.#rows;
  }

  #cut(): void {
    this.#rows.sort((a, b) => b.duration_ms - a.duration_ms);
    if (this.#rows.length < this.#limit) return;
    this.#rows.length = this.#limit;
    this.#leastMs = this.#rows[this.#limit - 1].duration_ms;
  }
}
