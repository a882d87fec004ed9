/** Timers that a test turns by hand, in the place of the global ones until it is disposed of. */

interface Timer {
  atMs: number;
  callback: () => void;
}

export class FakeTime implements Disposable {
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;
  readonly #timers = new Map<number, Timer>();
  #nowMs = 0;
  #lastId = 0;

  constructor() {
    globalThis.setTimeout = ((callback: () => void, delayMs: number) => {
      const id = ++this.#lastId;
      this.#timers.set(id, { atMs: this.#nowMs + delayMs, callback });
      return id;
    }) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((id: number) => this.#timers.delete(id)) as unknown as typeof clearTimeout;
  }

  /** Lets time pass, and what is due in it happen in order. */
  tick(milliseconds: number): void {
    const until = this.#nowMs + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, { atMs }]) => atMs <= until)
        .sort(([, a], [, b]) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      const [id, { atMs, callback }] = due;
      this.#timers.delete(id);
      this.#nowMs = atMs;
      callback();
    }
    this.#nowMs = until;
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
  }
}
