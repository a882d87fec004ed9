/**
 * What only time brings to targets (control thread): open circuits come due for their trials, targets that
 * return take up their share of the traffic.
 */
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { TargetTable } from "../balancing/target_table.ts";
import type { TargetsConfig } from "../config/model.ts";
import { CircuitBreaker, type CircuitChange } from "./circuit_breaker.ts";
import { type Clock, systemClock } from "./clock.ts";

/** No open or slow-start time is kept more exactly than this. */
const TICK_MS = 100;

export interface RecoveryOptions {
  readonly table: TargetTable;
  readonly changed: (change: CircuitChange) => void;
  readonly clock?: Clock;
}

export class Recovery {
  readonly #options: Required<RecoveryOptions>;
  #targets: readonly BalancedTarget[] = [];
  /** Null while circuits are off. */
  #breaker: CircuitBreaker | null = null;
  #callOff: (() => void) | null = null;

  constructor(options: RecoveryOptions) {
    this.#options = { clock: systemClock, ...options };
  }

  /**
   * Goes by this configuration from now on; to be called when every proxy thread does. Circuits stay as they
   * are, unless they were off before: what is in the table is then of another time.
   */
  apply(
    targets: readonly BalancedTarget[],
    config: Pick<TargetsConfig, "circuitBreaker" | "slowStartMs">,
  ): void {
    const { table, changed, clock } = this.#options;
    const wasOff = this.#breaker === null;
    this.#targets = targets;
    this.#breaker = config.circuitBreaker.enabled
      ? new CircuitBreaker({ table, config: config.circuitBreaker, changed, now: () => clock.now() })
      : null;
    if (wasOff && this.#breaker !== null) { for (const { slot } of targets) table.circuits.reset(slot); }
    table.slowStartMs = config.slowStartMs;
    this.#tick();
  }

  /** Nothing changes any more. */
  stop(): void {
    this.#callOff?.();
    this.#callOff = null;
  }

  #tick(): void {
    this.stop();
    const { table, clock } = this.#options;
    this.#breaker?.tick(this.#targets);
    table.circuits.advanceRamps(this.#targets.map(({ slot }) => slot), clock.now());
    if (this.#breaker !== null || table.slowStartMs > 0) {
      this.#callOff = clock.after(TICK_MS, () => this.#tick());
    }
  }
}
