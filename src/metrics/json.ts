/** The body of `/metrics/json`: the sums of `/metrics` in the shape a console or a script wants. */
import type { CircuitName } from "../balancing/circuit_table.ts";
import { FAMILIES, type HistogramFamily, type ScalarFamily } from "./families.ts";
import type { FamilySnapshot, HistogramSeries, ScalarSeries } from "./registry.ts";
import type { TargetStatus } from "./targets.ts";

/** What the counters do not know. */
export interface RuntimeStatus {
  uptimeSeconds: number;
  targets: readonly TargetStatus[];
  loadBalancer: { type: string; stickySessions: boolean };
  workers: { configured: number; running: number };
}

export interface DurationJson {
  unit: "seconds";
  count: number;
  sum: number;
  /** Quantiles, estimated within their bucket as Prometheus does; null before the first request. */
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface TargetJson {
  name: string;
  url: string;
  healthy: boolean;
  draining: boolean;
  circuit: CircuitName;
  weight: number;
  active_connections: number;
  requests: number;
  requests_by_status: Record<string, number>;
  errors: number;
  errors_by_kind: Record<string, number>;
}

export interface MetricsJson {
  requests: {
    total: number;
    active: number;
    by_status: Record<string, number>;
    by_method: Record<string, number>;
    by_domain: Record<string, number>;
    /** Answers with a status of 500 and above. */
    errors: number;
    duration: DurationJson;
  };
  targets: TargetJson[];
  load_balancer: { type: string; sticky_sessions: boolean };
  workers: { configured: number; running: number; restarts: number };
  log: { writes: Record<string, number>; write_errors: Record<string, number>; dropped: number };
  uptime_seconds: number;
}

export function metricsJson(snapshots: readonly FamilySnapshot[], status: RuntimeStatus): MetricsJson {
  const requests = scalars(snapshots, FAMILIES.requests);
  const byStatus = sumBy(requests, 2);
  return {
    requests: {
      total: total(requests),
      active: total(scalars(snapshots, FAMILIES.activeRequests)),
      by_status: byStatus,
      by_method: sumBy(requests, 1),
      by_domain: sumBy(requests, 0),
      errors: total(requests.filter(({ labels }) => Number(labels[2]) >= 500)),
      duration: duration(histogram(snapshots, FAMILIES.requestDuration)),
    },
    targets: status.targets.map((target) => targetJson(snapshots, target)),
    load_balancer: { type: status.loadBalancer.type, sticky_sessions: status.loadBalancer.stickySessions },
    workers: { ...status.workers, restarts: total(scalars(snapshots, FAMILIES.workerRestarts)) },
    log: {
      writes: sumBy(scalars(snapshots, FAMILIES.logWrites), 0),
      write_errors: sumBy(scalars(snapshots, FAMILIES.logWriteErrors), 0),
      dropped: total(scalars(snapshots, FAMILIES.logDropped)),
    },
    uptime_seconds: status.uptimeSeconds,
  };
}

/**
 * The q-quantile of a histogram, taken to be spread evenly within its bucket; the highest bound if it lies
 * above that; null if nothing was observed.
 * @param q 0 to 1
 */
export function quantile({ bounds, counts, count }: HistogramSeries, q: number): number | null {
  if (count === 0) return null;
  const rank = q * count;
  let below = 0;
  for (let bucket = 0; bucket < bounds.length; bucket++) {
    if (counts[bucket] > 0 && below + counts[bucket] >= rank) {
      const from = bucket === 0 ? 0 : bounds[bucket - 1];
      return from + (bounds[bucket] - from) * ((rank - below) / counts[bucket]);
    }
    below += counts[bucket];
  }
  return bounds[bounds.length - 1];
}

function targetJson(snapshots: readonly FamilySnapshot[], target: TargetStatus): TargetJson {
  const isTargets = ({ labels }: ScalarSeries) => labels[0] === target.name;
  const requests = scalars(snapshots, FAMILIES.targetRequests).filter(isTargets);
  const errors = scalars(snapshots, FAMILIES.targetErrors).filter(isTargets);
  return {
    name: target.name,
    url: target.url,
    healthy: target.healthy,
    draining: target.draining,
    circuit: target.circuit,
    weight: target.weight,
    active_connections: target.activeConnections,
    requests: total(requests),
    requests_by_status: sumBy(requests, 1),
    errors: total(errors),
    errors_by_kind: sumBy(errors, 1),
  };
}

function duration(series: HistogramSeries | undefined): DurationJson {
  if (series === undefined) return { unit: "seconds", count: 0, sum: 0, p50: null, p95: null, p99: null };
  return {
    unit: "seconds",
    count: series.count,
    sum: series.sum,
    p50: quantile(series, 0.5),
    p95: quantile(series, 0.95),
    p99: quantile(series, 0.99),
  };
}

function scalars(snapshots: readonly FamilySnapshot[], family: ScalarFamily): ScalarSeries[] {
  const found = snapshots.find((snapshot) => snapshot.family.name === family.name);
  return found?.kind === "scalar" ? found.series : [];
}

function histogram(
  snapshots: readonly FamilySnapshot[],
  family: HistogramFamily,
): HistogramSeries | undefined {
  const found = snapshots.find((snapshot) => snapshot.family.name === family.name);
  return found?.kind === "histogram" ? found.series[0] : undefined;
}

function total(series: readonly ScalarSeries[]): number {
  return series.reduce((sum, { value }) => sum + value, 0);
}

function sumBy(series: readonly ScalarSeries[], label: number): Record<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, value } of series) sums.set(labels[label], (sums.get(labels[label]) ?? 0) + value);
  return Object.fromEntries(sums);
}
