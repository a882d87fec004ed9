/** What load balancers, orchestrators and people ask on the health port: `/health`, `/ready`, `/live`. */
import { Hono } from "hono";
import type { CircuitName } from "../balancing/circuit_table.ts";
import type { TargetHealth } from "../health/checker.ts";
import type { Components, OverallStatus, Target } from "./api.ts";

export interface TargetReport {
  name: string;
  url: string;
  /** Null while no check has been started for it. */
  health: TargetHealth | null;
  /** Whether requests may go to it; to a backup target, if they had to. */
  usable: boolean;
  draining: boolean;
  circuit: CircuitName;
  /** Used only when no other target is. */
  backup: boolean;
  activeConnections: number;
  /** Null: no limit. */
  maxConnections: number | null;
  weight: number;
}

/** The state of the whole program, read when it is asked for. */
export interface HealthSource {
  version: string;
  uptimeMs(): number;
  /** All listeners are up and the program is not shutting down. */
  isServing(): boolean;
  /** It is shutting down: what is in flight ends, nothing new is wanted. */
  isDraining(): boolean;
  components(): Components;
  targets(): TargetReport[];
  /** Of the TLS listener; `domain` is `*` for the one that all other names get. */
  certificates(): readonly { domain: string; notAfterMs: number }[];
  config(): { path: string; generation: number; loadedAt: Date; lastError: string | null };
}

export function overallStatus(source: HealthSource): OverallStatus {
  const targets = source.targets();
  const usable = targets.filter((target) => target.usable).length;
  if (!source.isServing() || usable === 0) return "unhealthy";
  return usable < targets.length ? "degraded" : "healthy";
}

export function healthApp(source: HealthSource): Hono {
  const app = new Hono();
  app.get("/health", (c) => {
    const status = overallStatus(source);
    const config = source.config();
    return c.json({
      status,
      version: source.version,
      uptime_seconds: Math.round(source.uptimeMs() / 1000),
      serving: source.isServing(),
      config: {
        path: config.path,
        generation: config.generation,
        loaded_at: config.loadedAt.toISOString(),
        last_error: config.lastError,
      },
      components: source.components(),
      targets: source.targets().map(targetJson),
      certificates: source.certificates().map(({ domain, notAfterMs }) => ({
        domain,
        not_after: new Date(notAfterMs).toISOString(),
      })),
    }, status === "unhealthy" ? 503 : 200);
  });
  app.get("/ready", (c) => {
    const usable = source.targets().some((target) => target.usable);
    if (source.isServing() && usable) return c.json({ status: "ready" });
    const reason = source.isDraining() ? "draining" : source.isServing() ? "no usable target" : "not serving";
    return c.json({ status: "not ready", reason }, 503);
  });
  app.get("/live", (c) => c.json({ status: "alive" }));
  app.notFound((c) => c.text("Not found: this port answers /health, /ready and /live\n", 404));
  return app;
}

function targetJson(target: TargetReport) {
  const { state, ...lastChecks } = checksOf(target.health);
  return {
    name: target.name,
    url: target.url,
    state,
    healthy: state !== "unhealthy",
    usable: target.usable,
    draining: target.draining,
    circuit: target.circuit,
    backup: target.backup,
    active_connections: target.activeConnections,
    max_connections: target.maxConnections,
    ...lastChecks,
  };
}

/** What the active checks of a target have found, as JSON has it. */
export function checksOf(health: TargetHealth | null): Target["health"] {
  return {
    state: health?.state ?? "unknown",
    since: isoOrNull(health?.since),
    last_check: isoOrNull(health?.lastCheckAt),
    last_duration_ms: health?.lastDurationMs ?? null,
    last_error: health?.lastError ?? null,
    consecutive_successes: health?.consecutiveSuccesses ?? 0,
    consecutive_failures: health?.consecutiveFailures ?? 0,
  };
}

function isoOrNull(timeMs: number | null | undefined): string | null {
  return timeMs === null || timeMs === undefined ? null : new Date(timeMs).toISOString();
}
