/** What every balancing policy is: prepared for a set of usable targets, then asked for one at a time. */
import type { ActiveCounts, TargetTable } from "./target_table.ts";

/** The usable targets of a balancer in the order of the configuration, at least one. */
export interface Candidates {
  readonly slots: Int32Array;
  readonly names: readonly string[];
  /** In thousandths, each at least 1. */
  readonly weights: Int32Array;
  /** Most connections in flight to each; null: none of them has a limit. */
  readonly limits: Int32Array | null;
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

/** What `take` gives where there is no candidate: all are excluded, or (least connections) full. */
export const NONE = -1;

/** What `take` gives where the candidate at `index` was chosen but is full; its own inverse. */
export function full(index: number): number {
  return NONE - 1 - index;
}

export interface Policy {
  /** Takes over a new set of candidates. Runs when the set or a weight changed, not per request. */
  prepare(candidates: Candidates): void;
  /** Chooses a candidate and counts the connection in. @returns its index, `NONE`, or `full` of its index */
  take(clientIp: string, exclude: ExcludedSlots): number;
  /** What `take` would choose, with nothing counted and no turn taken. @returns an index or `NONE` */
  peek(clientIp: string, exclude: ExcludedSlots): number;
  /** Whether the choice beside `exclude` is by chance. */
  drawsFrom(exclude: ReadonlySet<number>): boolean;
}

/** A policy that chooses without a look at the connections in flight. */
export abstract class CountBlindPolicy implements Policy {
  protected candidates: Candidates = {
    slots: new Int32Array(0),
    names: [],
    weights: new Int32Array(0),
    limits: null,
  };

  constructor(protected readonly context: PolicyContext) {}

  prepare(candidates: Candidates): void {
    this.candidates = candidates;
  }

  take(clientIp: string, exclude: ExcludedSlots): number {
    const index = exclude === undefined || exclude.size === 0
      ? this.choose(clientIp)
      : this.chooseOther(clientIp, exclude);
    if (index < 0) return NONE;
    const { table, own } = this.context;
    const { slots, limits } = this.candidates;
    if (limits === null) table.increment(slots[index], own);
    else if (!table.incrementBelow(slots[index], limits[index], own)) return full(index);
    return index;
  }

  peek(clientIp: string, exclude: ExcludedSlots): number {
    return exclude === undefined || exclude.size === 0
      ? this.foresee(clientIp)
      : this.chooseOther(clientIp, exclude);
  }

  drawsFrom(exclude: ReadonlySet<number>): boolean {
    return exclude.size > 0;
  }

  /** Index of the candidate whose turn it is. */
  protected abstract choose(clientIp: string): number;

  /** The same without taking the turn. */
  protected abstract foresee(clientIp: string): number;

  /**
   * Index of a candidate for a retry, or `NONE` if all are excluded. At random by weight and without a turn:
   * retries would otherwise shift the turns of first attempts, whose shares would no longer be exact.
   */
  protected chooseOther(_clientIp: string, exclude: ReadonlySet<number>): number {
    const { slots, weights } = this.candidates;
    let total = 0;
    for (let index = 0; index < slots.length; index++) {
      if (!exclude.has(slots[index])) total += weights[index];
    }
    let point = this.context.random() * total;
    let last = NONE;
    for (let index = 0; index < slots.length; index++) {
      if (exclude.has(slots[index])) continue;
      last = index;
      point -= weights[index];
      if (point < 0) break;
    }
    return last;
  }
}
