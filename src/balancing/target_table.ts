/**
 * What all threads know of each target, in shared memory: state, active connections, effective weight; the
 * turn counters of the balancing policies; and who waits for a target that is full. The control thread writes
 * state and weight; proxy threads count connections and take turns, atomically.
 *
 *     Int32 words   0            generation: bumped after every change of a state, weight or circuit
 *                   1            slow start in milliseconds, 0: none (control thread writes, all read)
 *                   2 ..         turn counter of each rotation (wraps)
 *                   then         requests that wait for a full target (proxy threads add and subtract)
 *                                releases while somebody waited (proxy threads add, waiters sleep on it)
 *                   then         per target slot, STRIDE words each:
 *                     +0 state   TargetState (control thread writes, all read)
 *                     +1 active  requests in flight to it (proxy threads add and subtract)
 *                     +2 weight  in thousandths (control thread writes, all read)
 *                     +3 flags   bit 0: draining (control thread writes, all read)
 *                   then         per target slot its circuit and slow start: see circuit_table.ts
 *
 * Beside it every proxy thread has an `ActiveCounts` of its own: the part of each `active` word, and of the
 * count of waiting requests, that this thread has counted in, so that the control thread can take it back
 * when the thread dies.
 */
import { CIRCUIT_WORDS, CircuitTable } from "./circuit_table.ts";

export const TargetState = { Unknown: 0, Healthy: 1, Unhealthy: 2 } as const;
export type TargetState = typeof TargetState[keyof typeof TargetState];

export const MAX_TARGETS = 4096;
/** Groups of targets that are balanced together. */
export const MAX_ROTATIONS = 4096;

/**
 * One Int32 word per slot and one for waiting requests, in shared memory; one proxy thread writes, the control
 * thread reads after its end.
 */
export type ActiveCounts = Int32Array<SharedArrayBuffer>;

const OWN_WAITING = MAX_TARGETS;
export const ACTIVE_COUNTS_BYTES = (MAX_TARGETS + 1) * Int32Array.BYTES_PER_ELEMENT;

export function newActiveCounts(): ActiveCounts {
  return new Int32Array(new SharedArrayBuffer(ACTIVE_COUNTS_BYTES));
}

const GENERATION = 0;
const SLOW_START_MS = 1;
const ROTATIONS = 2;
const WAITING = ROTATIONS + MAX_ROTATIONS;
const RELEASES = WAITING + 1;
const SLOTS = RELEASES + 1;
const STRIDE = 4;
const STATE = 0, ACTIVE = 1, WEIGHT = 2, FLAGS = 3;
const DRAINING = 1;
const CIRCUITS = SLOTS + MAX_TARGETS * STRIDE;

export class TargetTable {
  static readonly BYTES = (CIRCUITS + MAX_TARGETS * CIRCUIT_WORDS) * Int32Array.BYTES_PER_ELEMENT;
  readonly circuits: CircuitTable;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #now: () => number;

  /** @param now Unix time in milliseconds */
  constructor(
    readonly buffer: SharedArrayBuffer = new SharedArrayBuffer(TargetTable.BYTES),
    now: () => number = Date.now,
  ) {
    this.#words = new Int32Array(buffer);
    this.#now = now;
    this.circuits = new CircuitTable(
      this.#words.subarray(CIRCUITS),
      () => this.#bump(),
      () => this.slowStartMs,
    );
  }

  /** Changes whenever the set of usable targets or a weight may have changed. */
  get generation(): number {
    return Atomics.load(this.#words, GENERATION);
  }

  #bump(): void {
    Atomics.add(this.#words, GENERATION, 1);
  }

  /** Over how long a target that returns takes up its share of the traffic; 0: it has it at once. */
  get slowStartMs(): number {
    return Atomics.load(this.#words, SLOW_START_MS);
  }

  set slowStartMs(milliseconds: number) {
    Atomics.store(this.#words, SLOW_START_MS, milliseconds);
  }

  /** The next turn of a rotation, from 0 upwards; every caller in every thread gets a turn of its own. */
  nextTurn(rotation: number): number {
    return Atomics.add(this.#words, ROTATIONS + rotation, 1) >>> 0;
  }

  /** The turn that `nextTurn` would give now. */
  peekTurn(rotation: number): number {
    return Atomics.load(this.#words, ROTATIONS + rotation) >>> 0;
  }

  state(slot: number): TargetState {
    return Atomics.load(this.#words, SLOTS + slot * STRIDE + STATE) as TargetState;
  }

  /** A target that was unhealthy and no longer is begins slowly. */
  setState(slot: number, state: TargetState): void {
    const before = this.state(slot);
    if (before === state) return;
    if (before === TargetState.Unhealthy) this.circuits.beginRamp(slot, this.#now());
    Atomics.store(this.#words, SLOTS + slot * STRIDE + STATE, state);
    this.#bump();
  }

  isDraining(slot: number): boolean {
    return (Atomics.load(this.#words, SLOTS + slot * STRIDE + FLAGS) & DRAINING) !== 0;
  }

  /** A target that was drained and is no longer begins slowly. */
  setDraining(slot: number, draining: boolean): void {
    const index = SLOTS + slot * STRIDE + FLAGS;
    if (draining) Atomics.or(this.#words, index, DRAINING);
    else {
      if (this.isDraining(slot)) this.circuits.beginRamp(slot, this.#now());
      Atomics.and(this.#words, index, ~DRAINING);
    }
    this.#bump();
  }

  /**
   * A target may be used unless it is known to be unhealthy or an operator drains it. Circuits and backup
   * targets depend on the other targets too: see `usability.ts`.
   */
  isUsable(slot: number): boolean {
    return this.state(slot) !== TargetState.Unhealthy && !this.isDraining(slot);
  }

  /** As configured, or as an operator has set it. */
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

  // What follows changes a shared count and the thread's own in one straight line: V8 stops a thread only
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

  /** Counts one more connection in only if there are fewer than `limit`, whatever other threads do. */
  incrementBelow(slot: number, limit: number, own: ActiveCounts): boolean {
    for (;;) {
      const active = this.active(slot);
      if (active >= limit) return false;
      if (this.incrementIf(slot, active, own)) return true;
    }
  }

  /** Counts one connection out; exactly once for each that the same thread has counted in. */
  decrement(slot: number, own: ActiveCounts): void {
    Atomics.sub(this.#words, SLOTS + slot * STRIDE + ACTIVE, 1);
    own[slot]--;
  }

  /** Requests of all threads that wait for a target that is full. */
  get waiting(): number {
    return Atomics.load(this.#words, WAITING);
  }

  /** Counts a waiting request in only if there are fewer than `limit`. */
  beginWaiting(limit: number, own: ActiveCounts): boolean {
    for (;;) {
      const waiting = this.waiting;
      if (waiting >= limit) return false;
      if (this.#beginWaitingIf(waiting, own)) return true;
    }
  }

  #beginWaitingIf(expected: number, own: ActiveCounts): boolean {
    if (Atomics.compareExchange(this.#words, WAITING, expected, expected + 1) !== expected) return false;
    own[OWN_WAITING]++;
    return true;
  }

  endWaiting(own: ActiveCounts): void {
    Atomics.sub(this.#words, WAITING, 1);
    own[OWN_WAITING]--;
  }

  /** What `released` wants of a thread that has just looked for room and found none. */
  get releases(): number {
    return Atomics.load(this.#words, RELEASES);
  }

  /** Tells every thread with waiting requests that there is room. */
  announceRelease(): void {
    Atomics.add(this.#words, RELEASES, 1);
    Atomics.notify(this.#words, RELEASES);
  }

  /** Resolves after the next release since `releases` was read, at the latest after `timeoutMs`. */
  async released(seen: number, timeoutMs: number): Promise<void> {
    await Atomics.waitAsync(this.#words, RELEASES, seen, timeoutMs).value;
  }

  /** Counts out all that a thread still held. Only once that thread has ended: it must not count any more. */
  takeBack(counts: ActiveCounts): void {
    for (let slot = 0; slot < MAX_TARGETS; slot++) {
      const held = Atomics.exchange(counts, slot, 0);
      if (held !== 0) Atomics.sub(this.#words, SLOTS + slot * STRIDE + ACTIVE, held);
    }
    Atomics.sub(this.#words, WAITING, Atomics.exchange(counts, OWN_WAITING, 0));
    if (this.waiting > 0) this.announceRelease();
  }

  /** Forgets a slot so that a new target may have it. */
  clear(slot: number): void {
    const start = SLOTS + slot * STRIDE;
    for (let word = start; word < start + STRIDE; word++) Atomics.store(this.#words, word, 0);
    this.circuits.clear(slot);
    this.#bump();
  }
}
