/**
 * What operators have decided about targets: drained, weighted otherwise, taken for healthy or unhealthy for
 * a while. It stands between the health checks and the target table, so that a check that runs meanwhile does
 * not undo it. Control thread only.
 */
import type { BalancedTarget } from "../balancing/balancer.ts";
import { TargetState, type TargetTable } from "../balancing/target_table.ts";

export interface ForcedState {
  state: "healthy" | "unhealthy";
  untilMs: number;
}

interface Override {
  slot: number;
  configuredWeight: number;
  weight: number | null;
  forced: (ForcedState & { timer: ReturnType<typeof setTimeout> }) | null;
}

export class TargetOverrides {
  readonly table: TargetTable;
  /** By name and url, which together are what a target is. */
  #overrides = new Map<string, Override>();
  /** What the checks say, by slot, for the time after a forced state. */
  readonly #checked = new Map<number, TargetState>();

  constructor(table: TargetTable) {
    this.table = table;
  }

  /** For the health checks, in the place of the table's own method. */
  setState(slot: number, state: TargetState): void {
    this.#checked.set(slot, state);
    if (this.#forcedAt(slot) === null) this.table.setState(slot, state);
  }

  /**
   * To be called whenever slots have been assigned, which gives every target its configured weight: those that
   * were weighted otherwise get their weight back, unless the configuration has another one for them now.
   */
  weigh(targets: readonly BalancedTarget[]): void {
    for (const { slot, config } of targets) {
      const override = this.#overrides.get(keyOf(config));
      if (override?.configuredWeight !== config.weight || override.weight === null) continue;
      this.table.setWeight(slot, override.weight);
    }
  }

  /** Goes by these targets from now on. Those that are gone are forgotten. */
  apply(targets: readonly BalancedTarget[]): void {
    this.weigh(targets);
    const before = this.#overrides;
    this.#overrides = new Map();
    for (const { slot, config } of targets) {
      const key = keyOf(config);
      const old = before.get(key);
      before.delete(key);
      this.#overrides.set(key, {
        slot,
        configuredWeight: config.weight,
        weight: old?.configuredWeight === config.weight ? old.weight : null,
        forced: old?.forced ?? null,
      });
    }
    for (const { slot, forced } of before.values()) {
      clearTimeout(forced?.timer);
      this.#checked.delete(slot);
      // The slot may come back with its target while requests are in flight to it.
      this.table.setDraining(slot, false);
    }
  }

  setDraining(target: BalancedTarget, draining: boolean): void {
    this.table.setDraining(target.slot, draining);
  }

  /** @param weight null: the configuration's */
  setWeight(target: BalancedTarget, weight: number | null): void {
    this.#of(target).weight = weight;
    this.table.setWeight(target.slot, weight ?? target.config.weight);
  }

  /** @param durationMs how long the checks' findings do not count */
  force(target: BalancedTarget, state: ForcedState["state"], durationMs: number): void {
    const override = this.#of(target);
    clearTimeout(override.forced?.timer);
    if (override.forced === null) this.#checked.set(override.slot, this.table.state(override.slot));
    const timer = setTimeout(() => this.unforce(target), durationMs);
    override.forced = { state, untilMs: Date.now() + durationMs, timer };
    const forced = state === "healthy" ? TargetState.Healthy : TargetState.Unhealthy;
    this.table.setState(override.slot, forced);
  }

  unforce(target: BalancedTarget): void {
    const override = this.#overrides.get(keyOf(target.config));
    if (override?.forced === null || override === undefined) return;
    clearTimeout(override.forced.timer);
    override.forced = null;
    this.table.setState(override.slot, this.#checked.get(override.slot) ?? TargetState.Unknown);
  }

  /** Null where the checks decide. */
  forced(target: BalancedTarget): ForcedState | null {
    return this.#overrides.get(keyOf(target.config))?.forced ?? null;
  }

  /** Ends what is to happen later. */
  close(): void {
    for (const { forced } of this.#overrides.values()) clearTimeout(forced?.timer);
  }

  #of(target: BalancedTarget): Override {
    const override = this.#overrides.get(keyOf(target.config));
    if (override === undefined) throw new TypeError(`no target ${target.config.name} in the configuration`);
    return override;
  }

  #forcedAt(slot: number): ForcedState | null {
    for (const override of this.#overrides.values()) if (override.slot === slot) return override.forced;
    return null;
  }
}

function keyOf(config: BalancedTarget["config"]): string {
  return `${config.url}\n${config.name}`;
}
