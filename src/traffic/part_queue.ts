/**
 * Parts of one piece of work for several threads: each takes the next one when it is free, so a thread that gets
 * little of a busy processor takes few. Every thread builds its own `PartQueue` over the same buffer.
 *
 *     Int32 0      number of the next part            threads add
 *     Int32 1 + n  what helper n does, see below      the helper and who waits for it, by compare-exchange
 */

const NEXT = 0;
const HELPERS = 1;

/** A helper's states. It goes to one of the other two, once. */
const STARTING = 0;
const WORKING = 1;
/** All parts were taken before it had started: nothing is to be waited for. */
const LATE = 2;

export class PartQueue {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #parts: number;

  private constructor(buffer: SharedArrayBuffer, parts: number) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
    this.#parts = parts;
  }

  static make(parts: number, helpers: number): PartQueue {
    return new PartQueue(new SharedArrayBuffer(4 * (HELPERS + helpers)), parts);
  }

  /** Another thread's view of the same queue. */
  static over(buffer: SharedArrayBuffer, parts: number): PartQueue {
    return new PartQueue(buffer, parts);
  }

  /** The numbers of the parts that the caller is to do, lowest first; each is given to one thread only. */
  *mine(): Generator<number> {
    for (;;) {
      const part = Atomics.add(this.#cells, NEXT, 1);
      if (part >= this.#parts) return;
      yield part;
    }
  }

  /** Called by helper `number` before it takes a part: false if it is not waited for any more. */
  begin(number: number): boolean {
    return Atomics.compareExchange(this.#cells, HELPERS + number, STARTING, WORKING) === STARTING;
  }

  /** Called when all parts are taken: false if helper `number` has none of them. */
  isWaitedFor(number: number): boolean {
    return Atomics.compareExchange(this.#cells, HELPERS + number, STARTING, LATE) === WORKING;
  }
}
