/**
 * How many calls of one plugin may run at once in the whole process. Each running call holds a slot in memory that
 * all proxy threads share, an Int32 each:
 *
 *     0            free
 *     otherwise    held; the time, in milliseconds modulo 2^32, when it falls free by itself
 *
 * A bare counter would be one cell less to read, but a thread that dies in the middle of a call would keep it up
 * for ever: what it held falls free when no call can be running any more.
 */
export class CallSlots {
  readonly #slots: Int32Array;
  readonly #leaseMs: number;
  readonly #nowMs: () => number;

  /**
   * @param shared of `CallSlots.bytes(limit)`; all zeros at first
   * @param leaseMs longer than any call takes; below 2^31
   * @param nowMs a clock that all threads share
   */
  constructor(shared: SharedArrayBuffer, leaseMs: number, nowMs: () => number = Date.now) {
    this.#slots = new Int32Array(shared);
    this.#leaseMs = leaseMs;
    this.#nowMs = nowMs;
  }

  static bytes(limit: number): number {
    return limit * Int32Array.BYTES_PER_ELEMENT;
  }

  /** @returns what ends the hold, to be called once; null if all slots are held */
  take(): (() => void) | null {
    const now = this.#nowMs() | 0;
    // 0 means free: the one millisecond in 50 days that would look like it is moved on.
    const until = (now + this.#leaseMs | 0) || 1;
    const slots = this.#slots;
    for (let i = 0; i < slots.length; i++) {
      const held = Atomics.load(slots, i);
      const leftMs = held - now | 0;
      // More than a lease is left where the clock was set back: waiting for it could take for ever.
      if (held !== 0 && leftMs > 0 && leftMs <= this.#leaseMs + 1) continue;
      if (Atomics.compareExchange(slots, i, held, until) === held) {
        // Whoever took it over after the lease has put another value there.
        return () => void Atomics.compareExchange(slots, i, until, 0);
      }
    }
    return null;
  }
}
