/**
 * Circuits of targets: closed → open when requests to a target fail, or are slow → half-open after a while,
 * for a few requests → closed if these go well, else open again, for longer. The state is in the target
 * table, exact for all threads; balancers see it there with the next request.
 */
import type { BalancedTarget } from "../balancing/balancer.ts";
import { type CircuitName, CircuitState, type CircuitTable, WindowKind } from "../balancing/circuit_table.ts";
import type { TargetTable } from "../balancing/target_table.ts";
import { WINDOW_BUCKETS } from "../balancing/window_counts.ts";
import type { CircuitBreakerConfig } from "../config/model.ts";

/** How a request to a target ended. `cancelled`: it says nothing of the target (the client left). */
export type Outcome = "success" | "failure" | "cancelled";

export interface CircuitChange {
  readonly target: string;
  readonly from: CircuitName;
  readonly to: CircuitName;
  readonly reason: string;
}

export interface CircuitBreakerOptions {
  readonly table: TargetTable;
  readonly config: CircuitBreakerConfig;
  /** After each change that this thread made; the table has it already. */
  readonly changed: (change: CircuitChange) => void;
  /** Unix time in milliseconds; default Date.now. */
  readonly now?: () => number;
}

/** Errors of the way to a target that say nothing of the target. */
const NOT_THE_TARGETS = new Set(["client_gone", "bad_request", "overloaded", "shutting_down"]);

export class CircuitBreaker {
  readonly #circuits: CircuitTable;
  readonly #config: CircuitBreakerConfig;
  readonly #changed: CircuitBreakerOptions["changed"];
  readonly #now: () => number;
  readonly #periodMs: number;
  readonly #countsShares: boolean;
  readonly #failureStatuses: ReadonlySet<number>;

  constructor({ table, config, changed, now = Date.now }: CircuitBreakerOptions) {
    this.#circuits = table.circuits;
    this.#config = config;
    this.#changed = changed;
    this.#now = now;
    this.#periodMs = config.windowMs / WINDOW_BUCKETS;
    this.#countsShares = config.failureRatio > 0 || config.slowCallMs !== null;
    this.#failureStatuses = new Set(config.failureStatuses);
  }

  outcomeOfStatus(status: number): Outcome {
    return this.#failureStatuses.has(status) ? "failure" : "success";
  }

  /** @param code of an `UpstreamError` */
  outcomeOfError(code: string): Outcome {
    return NOT_THE_TARGETS.has(code) ? "cancelled" : "failure";
  }

  /**
   * Takes note of how a request to a target ended, once for each that a balancer gave the target to; once
   * more if the answer's body broke off afterwards.
   * @param durationMs from when the target was acquired to the response header or the failure
   */
  report(target: BalancedTarget, outcome: Outcome, durationMs: number): void {
    switch (this.#circuits.state(target.slot)) {
      case CircuitState.Closed:
        if (outcome !== "cancelled") this.#count(target, outcome === "failure", durationMs);
        return;
      case CircuitState.HalfOpen:
        this.#judgeTrial(target, outcome, durationMs);
        return;
      case CircuitState.Open:
        // It began before the circuit opened, or while too many others were open to leave this one out.
        return;
    }
  }

  /** Lets time pass for these targets: open circuits come due for their trials. Run it a few times a second. */
  tick(targets: Iterable<BalancedTarget>): void {
    const circuits = this.#circuits;
    const { halfOpenRequests } = this.#config;
    const nowMs = this.#now();
    for (const target of targets) {
      const { slot } = target;
      const state = circuits.state(slot);
      if (state === CircuitState.Closed) continue;
      const openMs = circuits.openMs(slot);
      if (state === CircuitState.Open) {
        if (circuits.elapsedMs(slot, nowMs) < openMs) continue;
        if (!circuits.halfOpen(slot, halfOpenRequests, nowMs)) continue;
        this.#tell(target, "open", "half_open", `it was open for ${openMs / 1000} s`);
      } else if (circuits.sinceGrantedMs(slot, nowMs) >= openMs) {
        // Trials can stay without a verdict: the thread died, the answer never comes.
        circuits.grantTrials(slot, halfOpenRequests, nowMs);
      }
    }
  }

  #count(target: BalancedTarget, failed: boolean, durationMs: number): void {
    const circuits = this.#circuits;
    const { slot } = target;
    const { slowCallMs, consecutiveFailures } = this.#config;
    const slow = slowCallMs !== null && durationMs >= slowCallMs;
    const nowMs = this.#now();
    const period = Math.floor(nowMs / this.#periodMs);
    if (this.#countsShares && circuits.count(slot, WindowKind.Calls, period)) {
      if (failed) circuits.count(slot, WindowKind.Failures, period);
      if (slow) circuits.count(slot, WindowKind.Slow, period);
    }
    if (failed) {
      const failures = circuits.addFailure(slot);
      if (consecutiveFailures > 0 && failures >= consecutiveFailures) {
        this.#open(target, CircuitState.Closed, `${failures} requests failed in a row`, nowMs);
        return;
      }
    } else circuits.endFailures(slot);
    if (!this.#countsShares || !(failed || slow)) return;
    const reason = this.#tooLarge(slot, period);
    if (reason !== null) this.#open(target, CircuitState.Closed, reason, nowMs);
  }

  /** Which of the shares in the window is too large; null: none. */
  #tooLarge(slot: number, period: number): string | null {
    const { minRequests, failureRatio, slowCallMs, slowCallRatio, windowMs } = this.#config;
    const calls = this.#circuits.sum(slot, WindowKind.Calls, period);
    if (calls < minRequests) return null;
    const failures = this.#circuits.sum(slot, WindowKind.Failures, period);
    const within = `of ${calls} requests within ${windowMs / 1000} s`;
    if (failureRatio > 0 && failures >= failureRatio * calls) return `${failures} ${within} failed`;
    if (slowCallMs === null) return null;
    const slow = this.#circuits.sum(slot, WindowKind.Slow, period);
    return slow >= slowCallRatio * calls
      ? `${slow} ${within} took ${slowCallMs / 1000} s or longer for the response header`
      : null;
  }

  #judgeTrial(target: BalancedTarget, outcome: Outcome, durationMs: number): void {
    const circuits = this.#circuits;
    const { slot } = target;
    const { slowCallMs, halfOpenRequests } = this.#config;
    const nowMs = this.#now();
    // What began before the circuit opened is no trial; while it was open nothing began.
    const halfOpenMs = circuits.elapsedMs(slot, nowMs);
    if (durationMs > halfOpenMs + circuits.openMs(slot) / 2) return;
    if (outcome === "cancelled") {
      circuits.returnTrial(slot, halfOpenRequests);
    } else if (outcome === "failure") {
      this.#open(target, CircuitState.HalfOpen, "a trial request failed", nowMs);
    } else if (slowCallMs !== null && durationMs >= slowCallMs) {
      const seconds = Math.round(durationMs) / 1000;
      this.#open(target, CircuitState.HalfOpen, `a trial request took ${seconds} s`, nowMs);
    } else if (circuits.passTrial(slot) >= halfOpenRequests) {
      if (circuits.close(slot, nowMs)) {
        this.#tell(target, "half_open", "closed", `${halfOpenRequests} trial requests went well`);
      }
    }
  }

  #open(target: BalancedTarget, from: CircuitState, reason: string, nowMs: number): void {
    const circuits = this.#circuits;
    const { slot } = target;
    const { openMs: firstMs, maxOpenMs } = this.#config;
    const before = circuits.openings(slot);
    // A target that stayed well for longer than it was last out begins anew.
    const isRelapse = from === CircuitState.HalfOpen ||
      before > 0 && circuits.elapsedMs(slot, nowMs) <= circuits.openMs(slot);
    const openings = isRelapse ? before + 1 : 1;
    const openMs = Math.min(maxOpenMs, firstMs * 2 ** Math.min(openings - 1, 30));
    if (!circuits.open(slot, from, openMs, openings, nowMs)) return;
    const name = from === CircuitState.HalfOpen ? "half_open" : "closed";
    this.#tell(target, name, "open", `${reason}; next trial in ${openMs / 1000} s`);
  }

  #tell(target: BalancedTarget, from: CircuitName, to: CircuitName, reason: string): void {
    this.#changed({ target: target.config.name, from, to, reason });
  }
}

/** A change as a line of the log. */
export function circuitLine({ target, from, to, reason }: CircuitChange) {
  return {
    level: to === "open" ? "warn" : "info",
    message: `circuit of target "${target}" is ${to.replace("_", "-")}: ${reason}`,
    fields: { target, from, to, reason },
  } as const;
}
