/** The sets of targets that rules choose between: one balancer each. */
import type { TargetConfig } from "../config/model.ts";

export interface TargetSet {
  /** Its place in `RouteTable.targetSets`. */
  readonly index: number;
  /** Names in the order of the configuration; null: all targets. */
  readonly names: readonly string[] | null;
}

/** Gives equal sets one place. The set of all targets is the first. */
export class TargetSets {
  readonly sets: TargetSet[] = [{ index: 0, names: null }];
  readonly #targets: readonly TargetConfig[];
  readonly #known = new Map<string, TargetSet>();

  constructor(targets: readonly TargetConfig[]) {
    this.#targets = targets;
  }

  get all(): TargetSet {
    return this.sets[0];
  }

  named(wanted: readonly string[]): TargetSet {
    const names = new Set(wanted);
    return this.#of(({ name }) => names.has(name));
  }

  group(wanted: string): TargetSet {
    return this.#of(({ group }) => group === wanted);
  }

  #of(isMember: (target: TargetConfig) => boolean): TargetSet {
    const names = this.#targets.filter(isMember).map(({ name }) => name);
    const key = JSON.stringify(names);
    let set = this.#known.get(key);
    if (set === undefined) {
      set = { index: this.sets.length, names };
      this.sets.push(set);
      this.#known.set(key, set);
    }
    return set;
  }
}
