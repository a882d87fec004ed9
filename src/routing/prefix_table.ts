/** Finds all of many prefixes that a text begins with, in time that grows with their logarithm. */
export class PrefixTable {
  /** In the order of UTF-16 units. */
  readonly #prefixes: readonly string[];
  readonly #ranks: readonly (readonly number[])[];
  /** Index of the longest other prefix that this one begins with; -1: there is none. */
  readonly #parents: Int32Array;

  /** @param ranks what each prefix stands for, in rising order */
  constructor(ranks: ReadonlyMap<string, readonly number[]>) {
    const sorted = [...ranks].sort(([a], [b]) => a < b ? -1 : 1);
    this.#prefixes = sorted.map(([prefix]) => prefix);
    this.#ranks = sorted.map(([_prefix, ranks]) => ranks);
    this.#parents = new Int32Array(sorted.length);
    const open: number[] = [];
    this.#prefixes.forEach((prefix, index) => {
      while (open.length > 0 && !prefix.startsWith(this.#prefixes[open[open.length - 1]])) open.pop();
      this.#parents[index] = open.at(-1) ?? -1;
      open.push(index);
    });
  }

  /** Adds the ranks of every prefix of `text` to `lists`, one list for each. */
  collect(text: string, lists: (readonly number[])[]): void {
    let low = 0;
    let high = this.#prefixes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#prefixes[middle] <= text) low = middle + 1;
      else high = middle;
    }
    // What stands between a prefix and the text begins with that prefix too: all of them are on this way up.
    let index = low - 1;
    while (index >= 0 && !text.startsWith(this.#prefixes[index])) index = this.#parents[index];
    for (; index >= 0; index = this.#parents[index]) lists.push(this.#ranks[index]);
  }
}
