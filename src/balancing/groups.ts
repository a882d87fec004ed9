/** The balancers of one proxy thread and configuration: one for all targets, one for each group of them. */
import type { TargetsConfig } from "../config/model.ts";
import { type BalancedTarget, Balancer } from "./balancer.ts";
import type { ActiveCounts, TargetTable } from "./target_table.ts";

/** Turn counters by `groupKey`: plain data, can be posted. */
export type Rotations = Readonly<Record<string, number>>;

/** Key of the group of all targets. No name holds a line break, so no other group has it. */
export const ALL_TARGETS = "\n";

/** The same for the same targets, in whatever order and however often they are named. */
export function groupKey(names: readonly string[]): string {
  return [...new Set(names)].sort().join("\n");
}

export interface BalancerSetOptions {
  readonly targets: readonly BalancedTarget[];
  readonly config: Pick<TargetsConfig, "balancing" | "circuitBreaker">;
  /** From `SlotAllocator.rotations`. */
  readonly rotations: Rotations;
  readonly table: TargetTable;
  /** What this thread counts in. */
  readonly own: ActiveCounts;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

export class BalancerSet {
  readonly all: Balancer;
  readonly #options: BalancerSetOptions;
  readonly #byKey = new Map<string, Balancer>();

  constructor(options: BalancerSetOptions) {
    this.#options = options;
    this.all = this.#build(ALL_TARGETS, options.targets);
  }

  /**
   * The balancer of a group, the same one for the same targets. Meant for when a configuration is prepared:
   * keep the result.
   * @throws TypeError if a name is no target's, there is none, or the group was given no rotation
   */
  for(names: readonly string[]): Balancer {
    const key = groupKey(names);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const wanted = new Set(names);
    const targets = this.#options.targets.filter(({ config }) => wanted.delete(config.name));
    if (wanted.size > 0) {
      throw new TypeError(`cannot balance over unknown targets: ${[...wanted].join(", ")}`);
    }
    if (targets.length === 0) throw new TypeError("cannot balance over a group without targets");
    const balancer = targets.length === this.#options.targets.length ? this.all : this.#build(key, targets);
    this.#byKey.set(key, balancer);
    return balancer;
  }

  #build(key: string, targets: readonly BalancedTarget[]): Balancer {
    const { config: { balancing, circuitBreaker }, rotations, table, own, random } = this.#options;
    const rotation = rotations[key];
    if (rotation === undefined) {
      const names = targets.map(({ config }) => config.name).join(", ");
      throw new TypeError(`cannot balance over ${names}: the group has no rotation`);
    }
    return new Balancer({
      targets,
      type: balancing.type,
      sticky: balancing.stickySessions,
      rotation,
      table,
      own,
      maxEjectedPercent: circuitBreaker.enabled ? circuitBreaker.maxEjectedPercent : null,
      queue: { maxQueue: balancing.maxQueue, timeoutMs: balancing.queueTimeoutMs },
      random,
    });
  }
}
