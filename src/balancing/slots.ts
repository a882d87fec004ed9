/** Hands out the target table's slots and rotations. Control thread only. */
import type { TargetConfig } from "../config/model.ts";
import type { BalancedTarget } from "./balancer.ts";
import { ALL_TARGETS, groupKey, type Rotations } from "./groups.ts";
import { MAX_ROTATIONS, MAX_TARGETS, type TargetTable } from "./target_table.ts";

export class SlotAllocator {
  readonly #table: TargetTable;
  /** Slot by identity of the targets of the current configuration. */
  #current = new Map<string, number>();
  /** Targets of earlier configurations that may still have requests in flight. */
  readonly #retired = new Map<string, number>();
  /** Slots that nobody has; the last is handed out first. */
  readonly #free = Array.from({ length: MAX_TARGETS }, (_, index) => MAX_TARGETS - 1 - index);
  #rotations = new Map<string, number>();

  constructor(table: TargetTable) {
    this.#table = table;
  }

  /**
   * Gives each target of a new configuration its slot and writes its weight. A target with the same name and
   * url as before keeps its slot, and with it its health and its active count. The slot of a target that is
   * gone becomes free in a later call, once nothing is in flight to it: by then every thread must have the
   * configuration of this call. Only when slots run out is one freed at once.
   * @returns in the order of `targets`
   * @throws RangeError if there are not enough slots, or a target is there twice; all targets then keep theirs
   */
  assign(targets: readonly TargetConfig[]): BalancedTarget[] {
    const wanted = new Map(targets.map((target) => [identity(target), target]));
    if (wanted.size < targets.length) {
      throw new RangeError(
        `cannot assign slots: of ${targets.length} targets some have the same name and url`,
      );
    }
    this.#freeRetired(wanted);
    const added = [...wanted.keys()].filter((key) => !this.#current.has(key) && !this.#retired.has(key));
    const leaving = [...this.#current].filter(([key]) => !wanted.has(key));
    const reclaimable = leaving.filter(([, slot]) => this.#table.active(slot) === 0);
    if (added.length > this.#free.length + reclaimable.length) {
      const kept = wanted.size - added.length;
      const busy = MAX_TARGETS - kept - this.#free.length - reclaimable.length;
      throw new RangeError(
        `cannot assign slots to ${targets.length} targets: at most ${MAX_TARGETS} are possible, of which ` +
          `${busy} are taken by removed targets with requests in flight`,
      );
    }

    for (const [key, slot] of leaving) this.#retired.set(key, slot);
    for (const [key, slot] of reclaimable) {
      if (added.length <= this.#free.length) break;
      this.#retired.delete(key);
      this.#release(slot);
    }
    const before = this.#current;
    this.#current = new Map();
    return targets.map((config) => {
      const key = identity(config);
      const slot = before.get(key) ?? this.#retired.get(key) ?? this.#free.pop()!;
      this.#retired.delete(key);
      this.#current.set(key, slot);
      this.#table.setWeight(slot, config.weight);
      return { slot, config };
    });
  }

  /**
   * Turn counters for the balancers of all targets together and of each of these groups.
   * @param groups names of targets; their order does not matter, and the same group may come again
   * @throws RangeError as `assignRotations`
   */
  rotations(groups: Iterable<readonly string[]>): Rotations {
    const keys = new Set([ALL_TARGETS, ...Array.from(groups, groupKey)]);
    const rotations = this.assignRotations([...keys]);
    return Object.fromEntries([...keys].map((key, index) => [key, rotations[index]]));
  }

  /**
   * Gives each group of targets that are balanced together its turn counter. A group keeps its counter as
   * long as it is named in every call; the position of a new one is any.
   * @returns in the order of `groups`
   * @throws RangeError, with nothing changed, if there are not enough
   */
  assignRotations(groups: readonly string[]): number[] {
    const wanted = new Set(groups);
    if (wanted.size > MAX_ROTATIONS) {
      throw new RangeError(
        `cannot assign rotations to ${wanted.size} groups of targets: at most ${MAX_ROTATIONS} are possible`,
      );
    }
    const kept = new Map([...this.#rotations].filter(([group]) => wanted.has(group)));
    const taken = new Set(kept.values());
    let next = 0;
    for (const group of wanted) {
      if (kept.has(group)) continue;
      while (taken.has(next)) next++;
      kept.set(group, next++);
    }
    this.#rotations = kept;
    return groups.map((group) => kept.get(group)!);
  }

  #freeRetired(wanted: ReadonlyMap<string, TargetConfig>): void {
    for (const [key, slot] of this.#retired) {
      if (wanted.has(key) || this.#table.active(slot) > 0) continue;
      this.#retired.delete(key);
      this.#release(slot);
    }
  }

  #release(slot: number): void {
    this.#table.clear(slot);
    this.#free.push(slot);
  }
}

/** A url holds no line break. */
function identity(target: TargetConfig): string {
  return `${target.url}\n${target.name}`;
}
