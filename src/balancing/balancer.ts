/** Chooses the target of each request. One per group of targets and proxy thread; see DESIGN 5 and 6. */
import type { BalancingType } from "../config/model.ts";
import type { CircuitState } from "./circuit_table.ts";
import { LeastConnections } from "./least_connections.ts";
import {
  type Candidates,
  type ExcludedSlots,
  full,
  NONE,
  type Policy,
  type PolicyContext,
} from "./policy.ts";
import { WeightedRandom } from "./random.ts";
import { Sticky } from "./sticky.ts";
import type { ActiveCounts, TargetState, TargetTable } from "./target_table.ts";
import type { BalancedTarget } from "./target.ts";
import { standings, type Unusable } from "./usability.ts";
import { type Cancellation, type NotQueued, WaitQueue } from "./wait_queue.ts";
import { Weighted } from "./weighted.ts";

export type { BalancedTarget } from "./target.ts";

export interface BalancerOptions {
  readonly targets: readonly BalancedTarget[];
  readonly type: BalancingType;
  /** Keeps each client IP on its target; comes before `type` in the choice of target. */
  readonly sticky: boolean;
  /** Turn counter in the table, the same for all threads' balancers of this group. */
  readonly rotation: number;
  readonly table: TargetTable;
  /** What this thread counts in. */
  readonly own: ActiveCounts;
  /** Share of the group that open circuits may take out, 0 to 100; null: circuits play no part. Default null. */
  readonly maxEjectedPercent?: number | null;
  /** Where requests wait for targets that are full; null: they don't. Default null. */
  readonly queue?: QueueLimits | null;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

export interface QueueLimits {
  /** Requests of the whole process that may wait. */
  readonly maxQueue: number;
  readonly timeoutMs: number;
}

/** Why there is no target: none is usable; those that are were all tried already; or they are all full. */
export type NoTarget = "no_target" | "tried" | "full";

/** One target as the balancer sees it now. */
export interface Candidate {
  readonly target: BalancedTarget;
  readonly state: TargetState;
  readonly circuit: CircuitState;
  /** Requests in flight to it, of all threads. */
  readonly active: number;
  /** Share of the traffic relative to the other usable targets, slow start included; 1 each in round robin. */
  readonly weight: number;
  /** Null: it takes requests. */
  readonly unusable: Unusable | "full" | null;
}

const NO_LIMIT = 0x7fff_ffff;
/** Weight of every target in round robin, fine enough for the shares of a slow start. */
const EQUAL_WEIGHT = 1000;

export class Balancer {
  readonly targets: readonly BalancedTarget[];
  readonly #table: TargetTable;
  readonly #own: ActiveCounts;
  readonly #weighted: boolean;
  readonly #maxEjectedPercent: number | null;
  readonly #hasLimits: boolean;
  readonly #policy: Policy;
  readonly #queue: WaitQueue | null;
  #generation: number;
  #usable: BalancedTarget[] = [];
  /** Which of `#usable` are on trial; null: none. */
  #onTrial: boolean[] | null = null;
  #candidates: Candidates | null = null;

  constructor(options: BalancerOptions) {
    const { targets, type, sticky, rotation, table, own, maxEjectedPercent = null, queue = null } = options;
    this.targets = targets;
    this.#table = table;
    this.#own = own;
    this.#weighted = type !== "roundrobin";
    this.#maxEjectedPercent = maxEjectedPercent;
    this.#hasLimits = targets.some(({ config }) => config.maxConnections !== null);
    const context = { table, own, rotation, random: options.random ?? Math.random };
    this.#policy = sticky ? new Sticky(context) : policyOf(type, context);
    this.#queue = this.#hasLimits && queue !== null && queue.maxQueue > 0
      ? new WaitQueue({
        ...queue,
        table,
        own,
        acquire: (clientIp, exclude) => this.acquire(clientIp, exclude),
      })
      : null;
    this.#generation = table.generation;
    this.#refresh();
  }

  /**
   * Chooses a usable target and counts the connection in; `release` it exactly once, however the request
   * ends.
   * @param clientIp what sticky sessions go by
   * @param exclude slots already tried for this request
   * @returns null if there is none: `whyNone` tells why
   */
  acquire(clientIp: string, exclude?: ExcludedSlots): BalancedTarget | null {
    this.#refreshIfChanged();
    if (this.#usable.length === 0) return null;
    const index = this.#policy.take(clientIp, exclude);
    if (index >= 0 && this.#onTrial === null) return this.#usable[index];
    return index === NONE ? null : this.#settle(index, clientIp, exclude);
  }

  /**
   * The same, but where all targets are full it waits for one, if the configuration has a queue: in the order
   * of this thread's calls. Only then it gives a promise, which never rejects.
   * @param cancel gives the waiting up; its `onabort` is taken while it waits
   */
  acquireOrWait(
    clientIp: string,
    exclude?: ExcludedSlots,
    cancel?: Cancellation,
  ): BalancedTarget | NoTarget | Promise<BalancedTarget | NotQueued> {
    const queue = this.#queue;
    if (queue !== null && queue.length > 0) return queue.join(clientIp, exclude, cancel);
    const target = this.acquire(clientIp, exclude);
    if (target !== null) return target;
    const why = this.whyNone(exclude);
    return why === "full" && queue !== null ? queue.join(clientIp, exclude, cancel) : why;
  }

  /** Why `acquire` with the same `exclude` gave null a moment ago. */
  whyNone(exclude?: ExcludedSlots): NoTarget {
    if (this.#usable.length === 0) return "no_target";
    return this.#usable.every(({ slot }) => exclude?.has(slot)) ? "tried" : "full";
  }

  /** Counts a connection out that this balancer's thread has acquired. */
  release(target: BalancedTarget): void {
    this.#table.decrement(target.slot, this.#own);
    // Somebody may wait for a full target, in this thread or another; without limits nobody can.
    if (this.#hasLimits && this.#table.waiting > 0) this.#table.announceRelease();
  }

  /**
   * What `acquire` would choose now, with nothing counted and no turn taken; null: nothing. `byChance`: it is
   * drawn by lot, so that the next one may be another.
   */
  peek(clientIp: string, exclude?: ExcludedSlots): { target: BalancedTarget; byChance: boolean } | null {
    this.#refreshIfChanged();
    if (this.#usable.length === 0) return null;
    const without = new Set(exclude);
    for (;;) {
      const index = this.#policy.peek(clientIp, without);
      if (index < 0) return null;
      const target = this.#usable[index];
      const isFull = this.#table.active(target.slot) >= (target.config.maxConnections ?? NO_LIMIT);
      if (!isFull) return { target, byChance: this.#policy.drawsFrom(without) };
      without.add(target.slot);
    }
  }

  /** All targets of the group as they are now, in the order of the configuration. */
  candidates(): Candidate[] {
    const table = this.#table;
    return standings(this.targets, table, this.#maxEjectedPercent, Date.now()).map(({ target, unusable }) => {
      const { slot, config } = target;
      const active = table.active(slot);
      const isFull = active >= (config.maxConnections ?? NO_LIMIT);
      return {
        target,
        state: table.state(slot),
        circuit: table.circuits.state(slot),
        active,
        weight: this.#weightOf(slot) / 1000,
        unusable: unusable ?? (isFull ? "full" : null),
      };
    });
  }

  /** Goes on where the choice is full or must take a trial, until a target is found that is neither. */
  #settle(index: number, clientIp: string, exclude: ExcludedSlots): BalancedTarget | null {
    let without = exclude;
    for (;;) {
      if (index === NONE) return null;
      const target = this.#usable[index < 0 ? full(index) : index];
      if (index >= 0) {
        if (!this.#onTrial?.[index] || this.#table.circuits.takeTrial(target.slot)) return target;
        this.release(target);
      }
      // When others have just taken the last trial, the set of usable targets is another one, perhaps with
      // this very target back in use.
      if (!this.#refreshIfChanged()) without = new Set([...(without ?? []), target.slot]);
      if (this.#usable.length === 0) return null;
      index = this.#policy.take(clientIp, without);
    }
  }

  #refreshIfChanged(): boolean {
    const generation = this.#table.generation;
    if (generation === this.#generation) return false;
    // Read before the states: a change while we look bumps it again, and the next call looks again.
    this.#generation = generation;
    this.#refresh();
    return true;
  }

  #refresh(): void {
    const inUse = standings(this.targets, this.#table, this.#maxEjectedPercent, Date.now())
      .filter(({ unusable }) => unusable === null);
    const usable = inUse.map(({ target }) => target);
    const candidates: Candidates = {
      slots: Int32Array.from(usable, (target) => target.slot),
      names: usable.map((target) => target.config.name),
      weights: Int32Array.from(usable, (target) => this.#weightOf(target.slot)),
      limits: usable.some(({ config }) => config.maxConnections !== null)
        ? Int32Array.from(usable, ({ config }) => config.maxConnections ?? NO_LIMIT)
        : null,
    };
    this.#usable = usable;
    this.#onTrial = inUse.some(({ onTrial }) => onTrial) ? inUse.map(({ onTrial }) => onTrial) : null;
    if (usable.length === 0 || (this.#candidates && sameCandidates(this.#candidates, candidates))) return;
    this.#candidates = candidates;
    this.#policy.prepare(candidates);
  }

  /**
   * Configured weights play no part in round robin, sticky or not. A slot whose target is gone may weigh 0
   * until this thread has its new configuration.
   */
  #weightOf(slot: number): number {
    const weight = this.#weighted ? this.#table.weightThousandths(slot) : EQUAL_WEIGHT;
    return Math.max(1, Math.round(weight * this.#table.circuits.rampThousandths(slot) / 1000));
  }
}

function policyOf(type: BalancingType, context: PolicyContext): Policy {
  switch (type) {
    case "roundrobin":
    case "weighted":
      return new Weighted(context);
    case "random":
      return new WeightedRandom(context);
    case "leastconnections":
      return new LeastConnections(context);
  }
}

/** Limits come with the slots: a target's does not change in the life of a balancer. */
function sameCandidates(a: Candidates, b: Candidates): boolean {
  return a.slots.length === b.slots.length &&
    a.slots.every((slot, index) => slot === b.slots[index] && a.weights[index] === b.weights[index]);
}
