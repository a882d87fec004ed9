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
 */

export const TargetState = { Unknown: 0, Healthy: 1, Unhealthy: 2 } as const;
export type TargetState = typeof TargetState[keyof typeof TargetState];

export const MAX_TARGETS = 4096;
export const MAX_ROTATIONS = 256;

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

  increment(slot: number): void {
    Atomics.add(this.#words, SLOTS + slot * STRIDE + ACTIVE, 1);
  }

  /** Takes one more connection only if there are exactly `expected`; false: look again. */
  incrementIf(slot: number, expected: number): boolean {
    return Atomics.compareExchange(this.#words, SLOTS + slot * STRIDE + ACTIVE, expected, expected + 1) ===
      expected;
  }

  decrement(slot: number): void {
    Atomics.sub(this.#words, SLOTS + slot * STRIDE + ACTIVE, 1);
  }

  /** Forgets a slot so that a new target may have it. */
  clear(slot: number): void {
    const start = SLOTS + slot * STRIDE;
    for (let word = start; word < start + STRIDE; word++) Atomics.store(this.#words, word, 0);
    this.#bump();
  }
}
