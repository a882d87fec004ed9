/**
 * What all threads know of each target, in shared memory: state, active connections, effective weight; and
 * the turn counters of the balancing policies. The control thread writes state and weight; proxy threads
 * count connections and take turns, atomically.
 *
 *     Int32 words   0            generation: bumped after every change of a state or weight
 *                   1            reserved
 *                   2 .. 257     turn counter of rotation 0..255 (wraps)
 *                   258 ..       per target slot, STRIDE words each:
 *                     +0 state   TargetState (control thread writes, all read)
 *                     +1 active  requests in flight to it (proxy threads add and subtract)
 *                     +2 weight  in thousandths (control thread writes, all read)
 *                     +3 flags   bit 0: draining (control thread writes, all read)
 *
 * Beside it every proxy thread has an `ActiveCounts` of its own: the part of each `active` word that this
 * thread has counted in, so that the control thread can take it back when the thread dies.
 */

export const TargetState = { Unknown: 0, Healthy: 1, Unhealthy: 2 } as const;
export type TargetState = typeof TargetState[keyof typeof TargetState];

export const MAX_TARGETS = 4096;
export const MAX_ROTATIONS = 256;

/** One Int32 word per slot in shared memory; one proxy thread writes, the control thread reads after its end. */
export type ActiveCounts = Int32Array<SharedArrayBuffer>;

export function newActiveCounts(): ActiveCounts {
  return new Int32Array(new SharedArrayBuffer(MAX_TARGETS * Int32Array.BYTES_PER_ELEMENT));
}

const GENERATION = 0;
const ROTATIONS = 2;
const SLOTS = ROTATIONS + MAX_ROTATIONS;
const STRIDE = 4;
const STATE = 0, ACTIVE = 1, WEIGHT = 2, FLAGS = 3;
const DRAINING = 1;

export class TargetTable {
  static readonly BYTES = (SLOTS + MAX_TARGETS * STRIDE) * Int32Array.BYTES_PER_ELEMENT;
  readonly #words: Int32Array;

  constructor(readonly buffer: SharedArrayBuffer = new SharedArrayBuffer(TargetTable.BYTES)) {
    this.#words = new Int32Array(buffer);
  }

  /** Changes whenever the set of usable targets or a weight may have changed. */
  get generation(): number {
    return Atomics.load(this.#words, GENERATION);
  }

  #bump(): void {
    Atomics.add(this.#words, GENERATION, 1);
  }

  /** The next turn of a rotation, from 0 upwards; every caller in every thread gets a turn of its own. */
  nextTurn(rotation: number): number {
    return Atomics.add(this.#words, ROTATIONS + rotation, 1) >>> 0;
  }

  state(slot: number): TargetState {
    return Atomics.load(this.#words, SLOTS + slot * STRIDE + STATE) as TargetState;
  }

  setState(slot: number, state: TargetState): void {
    if (Atomics.exchange(this.#words, SLOTS + slot * STRIDE + STATE, state) !== state) this.#bump();
  }

  isDraining(slot: number): boolean {
    return (Atomics.load(this.#words, SLOTS + slot * STRIDE + FLAGS) & DRAINING) !== 0;
  }

  setDraining(slot: number, draining: boolean): void {
    const index = SLOTS + slot * STRIDE + FLAGS;
    if (draining) Atomics.or(this.#words, index, DRAINING);
    else Atomics.and(this.#words, index, ~DRAINING);
    this.#bump();
  }

  /** A target is used unless it is known to be unhealthy or an operator drains it. */
  isUsable(slot: number): boolean {
    return this.state(slot) !== TargetState.Unhealthy && !this.isDraining(slot);
  }

  weightThousandths(slot: number): number {
    return Atomics.load(this.#words, SLOTS + slot * STRIDE + WEIGHT);
  }

  /** @param weight above 0, up to 1,000,000; kept to a thousandth, at least one */
  setWeight(slot: number, weight: number): void {
    const thousandths = Math.max(1, Math.round(weight * 1000));
    if (Atomics.exchange(this.#words, SLOTS + slot * STRIDE + WEIGHT, thousandths) !== thousandths) {
      this.#bump();
    }
  }

  active(slot: number): number {
    return Atomics.load(this.#words, SLOTS + slot * STRIDE + ACTIVE);
  }

  /**
   * The same from a plain read, which may be a moment old: for a look that `incrementIf` checks. An atomic
   * read costs three times as much, and least connections looks at every target.
   */
  activeHint(slot: number): number {
    return this.#words[SLOTS + slot * STRIDE + ACTIVE];
  }

  // The next three change the shared count and the thread's own in one straight line: V8 stops a thread only
  // where a function or a turn of a loop begins, so that a thread cannot die between the two. The thread's own
  // word has a single writer and needs no atomic operation.

  /** Counts one more connection in, for the thread that owns `own`. */
  increment(slot: number, own: ActiveCounts): void {
    Atomics.add(this.#words, SLOTS + slot * STRIDE + ACTIVE, 1);
    own[slot]++;
  }

  /** Counts one more connection in only if there are exactly `expected`; false: look again. */
  incrementIf(slot: number, expected: number, own: ActiveCounts): boolean {
    const index = SLOTS + slot * STRIDE + ACTIVE;
    if (Atomics.compareExchange(this.#words, index, expected, expected + 1) !== expected) return false;
    own[slot]++;
    return true;
  }

  /** Counts one connection out; exactly once for each that the same thread has counted in. */
  decrement(slot: number, own: ActiveCounts): void {
    Atomics.sub(this.#words, SLOTS + slot * STRIDE + ACTIVE, 1);
    own[slot]--;
  }

  /** Counts out all that a thread still held. Only once that thread has ended: it must not count any more. */
  takeBack(counts: ActiveCounts): void {
    for (let slot = 0; slot < MAX_TARGETS; slot++) {
      const held = Atomics.exchange(counts, slot, 0);
      if (held !== 0) Atomics.sub(this.#words, SLOTS + slot * STRIDE + ACTIVE, held);
    }
  }

  /** Forgets a slot so that a new target may have it. */
  clear(slot: number): void {
    const start = SLOTS + slot * STRIDE;
    for (let word = start; word < start + STRIDE; word++) Atomics.store(this.#words, word, 0);
    this.#bump();
  }
}
