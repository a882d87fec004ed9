/** What is known of one target's health, and when a check's result changes it. */
import { TargetState } from "../balancing/target_table.ts";
import type { HealthCheckConfig, TargetConfig } from "../config/model.ts";

export type HealthState = "unknown" | "healthy" | "unhealthy";

export interface CheckResult {
  readonly ok: boolean;
  /** What was seen, for the log: `status 503 from /health`, `connection refused` … */
  readonly detail: string;
  /** The check could not be made for want of descriptors of our own: it says nothing of the target. */
  readonly inconclusive?: true;
}

/** Times are Unix milliseconds. */
export interface TargetHealth {
  readonly name: string;
  readonly url: string;
  readonly state: HealthState;
  /** When the target came into this state. */
  readonly since: number;
  /** When the last finished check began; null: none has finished. */
  readonly lastCheckAt: number | null;
  readonly lastDurationMs: number | null;
  /** Why the last check failed; null if it succeeded. */
  readonly lastError: string | null;
  readonly consecutiveSuccesses: number;
  readonly consecutiveFailures: number;
}

export type Thresholds = Pick<HealthCheckConfig, "healthyThreshold" | "unhealthyThreshold">;

export function newTargetHealth({ name, url }: TargetConfig, now: number): TargetHealth {
  return {
    name,
    url,
    state: "unknown",
    since: now,
    lastCheckAt: null,
    lastDurationMs: null,
    lastError: null,
    consecutiveSuccesses: 0,
    consecutiveFailures: 0,
  };
}

/**
 * The health after one more check. Only consecutive results count. An unknown target, which is in use, is
 * healthy at its first success; it takes as many failures to lose its traffic as a healthy one.
 * @param now when the check finished
 */
export function afterCheck(
  health: TargetHealth,
  result: CheckResult,
  now: number,
  durationMs: number,
  thresholds: Thresholds,
): TargetHealth {
  const consecutiveSuccesses = result.ok ? health.consecutiveSuccesses + 1 : 0;
  const consecutiveFailures = result.ok ? 0 : health.consecutiveFailures + 1;
  const neededSuccesses = health.state === "unknown" ? 1 : thresholds.healthyThreshold;
  let state = health.state;
  if (consecutiveSuccesses >= neededSuccesses) state = "healthy";
  if (consecutiveFailures >= thresholds.unhealthyThreshold) state = "unhealthy";
  return {
    ...health,
    state,
    since: state === health.state ? health.since : now,
    lastCheckAt: Math.round(now - durationMs),
    lastDurationMs: durationMs,
    lastError: result.ok ? null : result.detail,
    consecutiveSuccesses,
    consecutiveFailures,
  };
}

export function tableState(state: HealthState): TargetState {
  switch (state) {
    case "unknown":
      return TargetState.Unknown;
    case "healthy":
      return TargetState.Healthy;
    case "unhealthy":
      return TargetState.Unhealthy;
  }
}
