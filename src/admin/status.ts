/** The state of the whole program in the shapes of the admin API, out of metrics, targets and configuration. */
import { circuitName } from "../balancing/circuit_table.ts";
import { TargetState, type TargetTable } from "../balancing/target_table.ts";
import type { BalancedTarget } from "../balancing/balancer.ts";
import { redactUrl } from "../config/redact.ts";
import type { Config } from "../config/model.ts";
import { FAMILIES, type FamilySnapshot, type HistogramSeries, quantile } from "../metrics/mod.ts";
import type { ConfigState, DurationQuantiles, LoadBalancer, PluginStatus, Status, Target } from "./api.ts";
import { checksOf, overallStatus } from "./health_app.ts";
import { count, grouped, histograms, scalars } from "./metric_sums.ts";
import type { AdminSource } from "./source.ts";

export function status(source: AdminSource): Status {
  const { health } = source;
  const config = source.config();
  const metrics = source.metrics();
  const requests = scalars(metrics, FAMILIES.requests);
  const { hostname, port } = config.server.bind;
  const { bindHostname, metricsPort, healthCheckPort } = config.monitoring;
  return {
    status: overallStatus(health),
    version: health.version,
    deno: Deno.version.deno,
    time: new Date().toISOString(),
    started_at: source.startedAt.toISOString(),
    uptime_seconds: Math.round(health.uptimeMs()) / 1000,
    serving: health.isServing(),
    listeners: {
      proxy: address(hostname, port),
      metrics: address(bindHostname, metricsPort),
      health: address(bindHostname, healthCheckPort),
    },
    components: health.components(),
    config: configState(source),
    workers: { ...source.workers(), restarts: count(scalars(metrics, FAMILIES.workerRestarts)) },
    memory: { rss_bytes: Deno.memoryUsage().rss },
    connections: connections(metrics),
    requests: {
      total: count(requests),
      active: count(scalars(metrics, FAMILIES.activeRequests)),
      errors: count(requests.filter(({ labels }) => Number(labels[2]) >= 500)),
      by_status: grouped(requests, 2),
      by_method: grouped(requests, 1),
      by_domain: grouped(requests, 0),
      duration: quantiles(histograms(metrics, FAMILIES.requestDuration)[0], 1000),
    },
    load_balancer: loadBalancer(config),
    targets: targets(source, metrics),
    traffic_log: {
      enabled: config.logging.enabled,
      type: config.logging.type,
      writes: grouped(scalars(metrics, FAMILIES.logWrites), 0),
      write_errors: grouped(scalars(metrics, FAMILIES.logWriteErrors), 0),
      dropped: count(scalars(metrics, FAMILIES.logDropped)),
      queued_bytes: source.queuedBytes(),
    },
    plugins: plugins(config, metrics),
    security: { denied: grouped(scalars(metrics, FAMILIES.securityDenied), 0) },
  };
}

export function configState({ health }: AdminSource): ConfigState {
  const { path, generation, loadedAt, lastError } = health.config();
  return { path, generation, loaded_at: loadedAt.toISOString(), last_error: lastError };
}

export function loadBalancer({ targets }: Config): LoadBalancer {
  return { type: targets.balancing.type, sticky_sessions: targets.balancing.stickySessions };
}

export function connections(metrics: readonly FamilySnapshot[]): number | null {
  return scalars(metrics, FAMILIES.activeConnections)[0]?.value ?? null;
}

/** In the order of the configuration. */
export function targets(source: AdminSource, metrics: readonly FamilySnapshot[]): Target[] {
  const { overrides } = source;
  const reports = new Map(source.health.targets().map((report) => [report.name, report]));
  const requests = Map.groupBy(scalars(metrics, FAMILIES.targetRequests), ({ labels }) => labels[0]);
  const errors = Map.groupBy(scalars(metrics, FAMILIES.targetErrors), ({ labels }) => labels[0]);
  return source.targets().map((target) => {
    const { config, slot } = target;
    const forced = overrides.forced(target);
    const answered = requests.get(config.name) ?? [];
    const failed = errors.get(config.name) ?? [];
    return {
      name: config.name,
      url: redactUrl(config.url),
      state: stateOf(overrides.table, target),
      usable: reports.get(config.name)?.usable ?? overrides.table.isUsable(slot),
      draining: overrides.table.isDraining(slot),
      circuit: circuitName(overrides.table.circuits.state(slot)),
      backup: config.backup,
      forced: forced === null ? null : { state: forced.state, until: new Date(forced.untilMs).toISOString() },
      configured_weight: config.weight,
      weight: overrides.table.weightThousandths(slot) / 1000,
      slow_start: overrides.table.circuits.rampThousandths(slot) / 1000,
      active_requests: overrides.table.active(slot),
      max_connections: config.maxConnections,
      requests: count(answered),
      errors: count(failed),
      requests_by_status: grouped(answered, 1),
      errors_by_kind: grouped(failed, 1),
      health: checksOf(reports.get(config.name)?.health ?? null),
    };
  });
}

function stateOf(table: TargetTable, { slot }: BalancedTarget): Target["state"] {
  const state = table.state(slot);
  return state === TargetState.Unknown ? "unknown" : state === TargetState.Healthy ? "healthy" : "unhealthy";
}

function plugins(config: Config, metrics: readonly FamilySnapshot[]): PluginStatus[] {
  const invocations = scalars(metrics, FAMILIES.pluginInvocations);
  const shortCircuits = scalars(metrics, FAMILIES.pluginShortCircuits);
  const errors = scalars(metrics, FAMILIES.pluginErrors);
  const durations = histograms(metrics, FAMILIES.pluginDuration);
  return config.plugins.plugins.map((plugin) => {
    const own = ({ labels }: { labels: readonly string[] }) => labels[0] === plugin.name;
    return {
      name: plugin.name,
      type: plugin.type,
      enabled: config.plugins.enabled && plugin.enabled,
      stage: plugin.stage,
      error_strategy: plugin.errorStrategy,
      invocations: count(invocations.filter(own)),
      short_circuits: count(shortCircuits.filter(own)),
      errors: count(errors.filter(own)),
      errors_by_kind: grouped(errors.filter(own), 2),
      duration: quantiles(summed(durations.filter(own)), 1),
    };
  });
}

/** Several series of one family, which have the same bounds, as one. */
function summed(series: readonly HistogramSeries[]): HistogramSeries | undefined {
  if (series.length < 2) return series[0];
  const [first, ...rest] = series;
  const sum = { ...first, counts: [...first.counts] };
  for (const { counts, count, sum: total } of rest) {
    counts.forEach((value, bucket) => sum.counts[bucket] += value);
    sum.count += count;
    sum.sum += total;
  }
  return sum;
}

/** @param toMs what makes milliseconds of the family's unit */
export function quantiles(series: HistogramSeries | undefined, toMs: number): DurationQuantiles {
  const at = (q: number) => {
    const value = series === undefined ? null : quantile(series, q);
    return value === null ? null : Math.round(value * toMs * 1000) / 1000;
  };
  return { count: series?.count ?? 0, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) };
}

function address(hostname: string, port: number): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
