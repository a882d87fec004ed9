/**
 * The part of the target table that says how far a target is trusted with requests: its circuit, what the
 * circuit goes by, and its slow start. Any thread may change a circuit; of several that try at the same
 * moment one does.
 *
 *     Int32 words of a slot
 *       +0  state       CircuitState, or CHANGING while one thread writes the words below
 *       +1  since       when it came into this state
 *       +2  opened at   when it was last opened
 *       +3  open ms     for how long it was last opened
 *       +4  openings    how often in a row, without having been closed for long in between
 *       +5  failures    in a row
 *       +6  trials      requests that a half-open target may still get
 *       +7  passed      trials that went well
 *       +8  granted at  when trials were last granted
 *       +9  ramp        share of the weight in thousandths while the target begins slowly; 0: all of it
 *       +10 ramp since
 *       +11 ..          window_counts.ts rings: calls, failed calls, slow calls
 *
 * Times are `Date.now()`, the only clock that all threads have in common, modulo 2^32 ms. It may be set: what
 * seems to have begun in the future counts as long past, so that a clock set back closes no target out.
 */
import { countInWindow, WINDOW_BUCKETS, windowSum } from "./window_counts.ts";

export const CircuitState = { Closed: 0, Open: 1, HalfOpen: 2 } as const;
export type CircuitState = typeof CircuitState[keyof typeof CircuitState];

export type CircuitName = "closed" | "open" | "half_open";

/** As metrics, logs and the admin API write it. */
export function circuitName(state: CircuitState): CircuitName {
  switch (state) {
    case CircuitState.Closed:
      return "closed";
    case CircuitState.Open:
      return "open";
    case CircuitState.HalfOpen:
      return "half_open";
  }
}

/** What a circuit's window counts. */
export const WindowKind = { Calls: 0, Failures: 1, Slow: 2 } as const;
export type WindowKind = typeof WindowKind[keyof typeof WindowKind];

const CHANGING = 3;
const STATE = 0, SINCE = 1, OPENED_AT = 2, OPEN_MS = 3, OPENINGS = 4, FAILURES = 5;
const TRIALS = 6, PASSED = 7, GRANTED_AT = 8, RAMP = 9, RAMP_SINCE = 10, WINDOW = 11;

/** Three cache lines, so that the reports of two targets don't slow each other. */
export const CIRCUIT_WORDS = 48;

const FULL_RAMP = 1000;
/** Steps of a slow start: every one makes each balancer compute its order anew. */
const RAMP_STEPS = 10;
const FIRST_RAMP = FULL_RAMP / RAMP_STEPS;

export class CircuitTable {
  readonly #words: Int32Array;
  readonly #bump: () => void;
  readonly #slowStartMs: () => number;

  /**
   * @param words zeroed, `CIRCUIT_WORDS` for each slot
   * @param bump called after every change that balancers must see
   */
  constructor(words: Int32Array, bump: () => void, slowStartMs: () => number) {
    this.#words = words;
    this.#bump = bump;
    this.#slowStartMs = slowStartMs;
  }

  /** A circuit that another thread is just changing counts as open: that lasts for nanoseconds. */
  state(slot: number): CircuitState {
    const state = Atomics.load(this.#words, slot * CIRCUIT_WORDS + STATE);
    return state === CHANGING ? CircuitState.Open : state as CircuitState;
  }

  /** Milliseconds since the circuit came into its state; Infinity if the clock was set back since. */
  elapsedMs(slot: number, nowMs: number): number {
    return this.#elapsed(slot, SINCE, nowMs);
  }

  /** The same since the circuit was last opened. */
  sinceOpenedMs(slot: number, nowMs: number): number {
    return this.#elapsed(slot, OPENED_AT, nowMs);
  }

  /** The same since a half-open circuit was last granted trials. */
  sinceGrantedMs(slot: number, nowMs: number): number {
    return this.#elapsed(slot, GRANTED_AT, nowMs);
  }

  openMs(slot: number): number {
    return this.#load(slot, OPEN_MS);
  }

  openings(slot: number): number {
    return this.#load(slot, OPENINGS);
  }

  // ---- what a closed circuit goes by ----

  /** @returns failures in a row, with this one */
  addFailure(slot: number): number {
    return Atomics.add(this.#words, slot * CIRCUIT_WORDS + FAILURES, 1) + 1;
  }

  endFailures(slot: number): void {
    if (this.#load(slot, FAILURES) !== 0) this.#store(slot, FAILURES, 0);
  }

  failures(slot: number): number {
    return this.#load(slot, FAILURES);
  }

  /** @returns false if this part of the window is full: count nothing else of the call then */
  count(slot: number, kind: WindowKind, period: number): boolean {
    return countInWindow(this.#words, ringOf(slot, kind), period);
  }

  sum(slot: number, kind: WindowKind, period: number): number {
    return windowSum(this.#words, ringOf(slot, kind), period);
  }

  // ---- changes ----
  // Whoever moves the state word to CHANGING writes the other words and then the new state, in one straight
  // line: see target_table.ts for why a thread cannot die in it.

  /** @returns false if the circuit is not in state `from` any more */
  open(slot: number, from: CircuitState, openMs: number, openings: number, nowMs: number): boolean {
    const words = this.#words;
    const at = slot * CIRCUIT_WORDS;
    if (Atomics.compareExchange(words, at + STATE, from, CHANGING) !== from) return false;
    words[at + SINCE] = nowMs;
    words[at + OPENED_AT] = nowMs;
    words[at + OPEN_MS] = openMs;
    words[at + OPENINGS] = openings;
    words[at + RAMP] = 0;
    Atomics.store(words, at + STATE, CircuitState.Open);
    this.#bump();
    return true;
  }

  /** @returns false if the circuit is not open any more */
  halfOpen(slot: number, trials: number, nowMs: number): boolean {
    const words = this.#words;
    const at = slot * CIRCUIT_WORDS;
    if (Atomics.compareExchange(words, at + STATE, CircuitState.Open, CHANGING) !== CircuitState.Open) {
      return false;
    }
    words[at + SINCE] = nowMs;
    words[at + TRIALS] = trials;
    words[at + PASSED] = 0;
    words[at + GRANTED_AT] = nowMs;
    Atomics.store(words, at + STATE, CircuitState.HalfOpen);
    this.#bump();
    return true;
  }

  /** The target begins slowly, with nothing held against it. @returns false if the circuit is not half-open any more */
  close(slot: number, nowMs: number): boolean {
    const words = this.#words;
    const at = slot * CIRCUIT_WORDS;
    const ramp = this.#slowStartMs() > 0 ? FIRST_RAMP : 0;
    if (
      Atomics.compareExchange(words, at + STATE, CircuitState.HalfOpen, CHANGING) !== CircuitState.HalfOpen
    ) {
      return false;
    }
    words[at + SINCE] = nowMs;
    words[at + FAILURES] = 0;
    words[at + RAMP_SINCE] = nowMs;
    words[at + RAMP] = ramp;
    Atomics.store(words, at + STATE, CircuitState.Closed);
    this.#forgetWindow(slot);
    this.#bump();
    return true;
  }

  /** Closes a circuit and forgets what was held against the target; its slow start goes on. */
  reset(slot: number): void {
    const at = slot * CIRCUIT_WORDS;
    for (let word = 0; word < RAMP; word++) Atomics.store(this.#words, at + word, 0);
    this.#forgetWindow(slot);
    this.#bump();
  }

  clear(slot: number): void {
    const at = slot * CIRCUIT_WORDS;
    for (let word = 0; word < CIRCUIT_WORDS; word++) {
      // Only what was used is written: the pages of targets that are not there take no memory.
      if (this.#words[at + word] !== 0) Atomics.store(this.#words, at + word, 0);
    }
  }

  // ---- trials of a half-open circuit ----

  trials(slot: number): number {
    return this.#load(slot, TRIALS);
  }

  /** @returns false if all are taken. With the last one the target leaves the balancers' choice. */
  takeTrial(slot: number): boolean {
    const index = slot * CIRCUIT_WORDS + TRIALS;
    for (;;) {
      const trials = Atomics.load(this.#words, index);
      if (trials <= 0) return false;
      if (Atomics.compareExchange(this.#words, index, trials, trials - 1) !== trials) continue;
      if (trials === 1) this.#bump();
      return true;
    }
  }

  /** Gives back a trial that showed nothing. */
  returnTrial(slot: number, most: number): void {
    const index = slot * CIRCUIT_WORDS + TRIALS;
    for (;;) {
      const trials = Atomics.load(this.#words, index);
      if (trials >= most) return;
      if (Atomics.compareExchange(this.#words, index, trials, trials + 1) !== trials) continue;
      if (trials === 0) this.#bump();
      return;
    }
  }

  /** Lets a half-open target have so many requests again. */
  grantTrials(slot: number, trials: number, nowMs: number): void {
    this.#store(slot, GRANTED_AT, nowMs);
    this.#store(slot, TRIALS, trials);
    this.#bump();
  }

  /** @returns trials that went well, with this one */
  passTrial(slot: number): number {
    return Atomics.add(this.#words, slot * CIRCUIT_WORDS + PASSED, 1) + 1;
  }

  // ---- slow start ----

  /** Share of its weight that the target has now: 1 to 1000. */
  rampThousandths(slot: number): number {
    return this.#load(slot, RAMP) || FULL_RAMP;
  }

  /** The caller bumps the generation. */
  beginRamp(slot: number, nowMs: number): void {
    if (this.#slowStartMs() === 0) return;
    this.#store(slot, RAMP_SINCE, nowMs);
    this.#store(slot, RAMP, FIRST_RAMP);
  }

  /** Raises the shares of targets that began slowly to what they are by now. Control thread only. */
  advanceRamps(slots: Iterable<number>, nowMs: number): void {
    const slowStartMs = this.#slowStartMs();
    let changed = false;
    for (const slot of slots) {
      const ramp = this.#load(slot, RAMP);
      if (ramp === 0) continue;
      const elapsedMs = this.#elapsed(slot, RAMP_SINCE, nowMs);
      const step = slowStartMs === 0 ? RAMP_STEPS : Math.floor(elapsedMs / slowStartMs * RAMP_STEPS) + 1;
      const share = step >= RAMP_STEPS ? 0 : step * FIRST_RAMP;
      if (share === ramp) continue;
      // Another thread may have opened the circuit or closed it, and so begun a new ramp, since we looked.
      Atomics.compareExchange(this.#words, slot * CIRCUIT_WORDS + RAMP, ramp, share);
      changed = true;
    }
    if (changed) this.#bump();
  }

  #forgetWindow(slot: number): void {
    const start = ringOf(slot, WindowKind.Calls);
    const end = ringOf(slot, WindowKind.Slow) + WINDOW_BUCKETS;
    for (let index = start; index < end; index++) Atomics.store(this.#words, index, 0);
  }

  #load(slot: number, word: number): number {
    return Atomics.load(this.#words, slot * CIRCUIT_WORDS + word);
  }

  #store(slot: number, word: number, value: number): void {
    Atomics.store(this.#words, slot * CIRCUIT_WORDS + word, value);
  }

  #elapsed(slot: number, word: number, nowMs: number): number {
    const elapsedMs = (nowMs - this.#load(slot, word)) | 0;
    return elapsedMs < 0 ? Infinity : elapsedMs;
  }
}

function ringOf(slot: number, kind: WindowKind): number {
  return slot * CIRCUIT_WORDS + WINDOW + kind * WINDOW_BUCKETS;
}
