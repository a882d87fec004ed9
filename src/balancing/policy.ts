/** What every balancing policy is: prepared for a set of usable targets, then asked for one at a time. */
import type { ActiveCounts, TargetTable } from "./target_table.ts";

/** The usable targets of a balancer in the order of the configuration, at least one. */
export interface Candidates {
  readonly slots: Int32Array;
  readonly names: readonly string[];
  /** In thousandths, each at least 1. */
  readonly weights: Int32Array;
}

/** Slots that must not be chosen: the ones that this request has already tried. */
export type ExcludedSlots = ReadonlySet<number> | undefined;

/** What a policy works with; one per balancer, never shared between threads but for the table's memory. */
export interface PolicyContext {
  readonly table: TargetTable;
  readonly own: ActiveCounts;
  /** Turn counter of this balancer in the table. */
  readonly rotation: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

export interface Policy {
  /** Takes over a new set of candidates. Runs when the set or a weight changed, not per request. */
  prepare(candidates: Candidates): void;
  /** Chooses a candidate and counts the connection in. @returns its index, or -1 if all are excluded */
  take(clientIp: string, exclude: ExcludedSlots): number;
}

/** A policy that chooses without a look at the connections in flight. */
export abstract class CountBlindPolicy implements Policy {
  protected candidates: Candidates = { slots: new Int32Array(0), names: [], weights: new Int32Array(0) };

  constructor(protected readonly context: PolicyContext) {}

  prepare(candidates: Candidates): void {
    this.candidates = candidates;
  }

  take(clientIp: string, exclude: ExcludedSlots): number {
    const index = exclude === undefined || exclude.size === 0
      ? this.choose(clientIp)
      : this.chooseOther(clientIp, exclude);
    if (index >= 0) this.context.table.increment(this.candidates.slots[index], this.context.own);
    return index;
  }

  /** Index of the candidate whose turn it is. */
  protected abstract choose(clientIp: string): number;

  /**
   * Index of a candidate for a retry, or -1 if all are excluded. At random by weight and without a turn:
   * retries would otherwise shift the turns of first attempts, whose shares would no longer be exact.
   */
  protected chooseOther(_clientIp: string, exclude: ReadonlySet<number>): number {
    const { slots, weights } = this.candidates;
    let total = 0;
    for (let index = 0; index < slots.length; index++) {
      if (!exclude.has(slots[index])) total += weights[index];
    }
    let point = this.context.random() * total;
    let last = -1;
    for (let index = 0; index < slots.length; index++) {
      if (exclude.has(slots[index])) continue;
      last = index;
      point -= weights[index];
      if (point < 0) break;
    }
    return last;
  }
}
