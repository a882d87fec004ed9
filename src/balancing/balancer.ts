/** Chooses the target of each request. One per group of targets and proxy thread; see DESIGN 5 and 6. */
import type { BalancingType, TargetConfig } from "../config/model.ts";
import { LeastConnections } from "./least_connections.ts";
import type { Candidates, ExcludedSlots, Policy, PolicyContext } from "./policy.ts";
import { WeightedRandom } from "./random.ts";
import { RoundRobin } from "./round_robin.ts";
import { Sticky } from "./sticky.ts";
import type { ActiveCounts, TargetTable } from "./target_table.ts";
import { Weighted } from "./weighted.ts";

/** A target and its place in the target table. */
export interface BalancedTarget {
  readonly slot: number;
  readonly config: TargetConfig;
}

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
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

export class Balancer {
  readonly #targets: readonly BalancedTarget[];
  readonly #table: TargetTable;
  readonly #own: ActiveCounts;
  readonly #weighted: boolean;
  readonly #policy: Policy;
  #generation: number;
  #usable: BalancedTarget[] = [];
  #candidates: Candidates | null = null;

  constructor(options: BalancerOptions) {
    const { targets, type, sticky, rotation, table, own, random = Math.random } = options;
    this.#targets = targets;
    this.#table = table;
    this.#own = own;
    this.#weighted = type !== "roundrobin";
    const context = { table, own, rotation, random };
    this.#policy = sticky ? new Sticky(context) : policyOf(type, context);
    this.#generation = table.generation;
    this.#refresh();
  }

  /**
   * Chooses a usable target and counts the connection in; `release` it exactly once, however the request
   * ends.
   * @param clientIp what sticky sessions go by
   * @param exclude slots already tried for this request
   * @returns null if no target is usable, or all usable ones are excluded
   */
  acquire(clientIp: string, exclude?: ExcludedSlots): BalancedTarget | null {
    const generation = this.#table.generation;
    if (generation !== this.#generation) {
      // Read before the states: a change while we look bumps it again, and the next call looks again.
      this.#generation = generation;
      this.#refresh();
    }
    if (this.#usable.length === 0) return null;
    const index = this.#policy.take(clientIp, exclude);
    return index < 0 ? null : this.#usable[index];
  }

  /** Counts a connection out that this balancer's thread has acquired. */
  release(target: BalancedTarget): void {
    this.#table.decrement(target.slot, this.#own);
  }

  #refresh(): void {
    const usable = this.#targets.filter((target) => this.#table.isUsable(target.slot));
    const candidates: Candidates = {
      slots: Int32Array.from(usable, (target) => target.slot),
      names: usable.map((target) => target.config.name),
      // Weights play no part in round robin, sticky or not. A slot whose target is gone may weigh 0 until
      // this thread has its new configuration.
      weights: Int32Array.from(
        usable,
        (target) => this.#weighted ? Math.max(1, this.#table.weightThousandths(target.slot)) : 1,
      ),
    };
    this.#usable = usable;
    if (usable.length === 0 || (this.#candidates && sameCandidates(this.#candidates, candidates))) return;
    this.#candidates = candidates;
    this.#policy.prepare(candidates);
  }
}

function policyOf(type: BalancingType, context: PolicyContext): Policy {
  switch (type) {
    case "roundrobin":
      return new RoundRobin(context);
    case "weighted":
      return new Weighted(context);
    case "random":
      return new WeightedRandom(context);
    case "leastconnections":
      return new LeastConnections(context);
  }
}

function sameCandidates(a: Candidates, b: Candidates): boolean {
  return a.slots.length === b.slots.length &&
    a.slots.every((slot, index) => slot === b.slots[index] && a.weights[index] === b.weights[index]);
}
