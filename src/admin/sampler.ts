/** What happens each second, for those who watch; nobody watching, nothing is sampled. */
import { FAMILIES, type HistogramSeries } from "../metrics/mod.ts";
import type { AdminEvents, Sample, Target } from "./api.ts";
import { count, grouped, histograms, scalars } from "./metric_sums.ts";
import type { AdminSource } from "./source.ts";
import { configState, connections, quantiles, targets } from "./status.ts";

const EVERY_MS = 1_000;

interface Reading {
  atMs: number;
  requests: number;
  errors: number;
  byStatus: Record<string, number>;
  durations: HistogramSeries | undefined;
  targets: Target[];
  config: string;
}

export type SendEvent = <Name extends keyof AdminEvents>(event: Name, data: AdminEvents[Name]) => void;

export class Sampler {
  readonly #source: AdminSource;
  readonly #send: SendEvent;
  #timer: ReturnType<typeof setInterval> | undefined;
  #last: Reading | null = null;
  #newest: Sample | null = null;

  constructor(source: AdminSource, send: SendEvent) {
    this.#source = source;
    this.#send = send;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.sample(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#last = null;
    this.#newest = null;
  }

  /** To who has just begun to watch: the last sample; an extra one would cut the second of all others short. */
  greet(send: (sample: Sample) => void): void {
    if (this.#newest === null) this.sample();
    else send(this.#newest);
  }

  /** Sends what has happened since the last sample, and what has changed. */
  sample(): void {
    const metrics = this.#source.metrics();
    const requests = scalars(metrics, FAMILIES.requests);
    const now: Reading = {
      atMs: performance.now(),
      requests: count(requests),
      errors: count(requests.filter(({ labels }) => Number(labels[2]) >= 500)),
      byStatus: grouped(requests, 2),
      durations: histograms(metrics, FAMILIES.requestDuration)[0],
      targets: targets(this.#source, metrics),
      config: JSON.stringify(configState(this.#source)),
    };
    const last = this.#last ?? now;
    this.#last = now;
    const intervalMs = now.atMs - last.atMs;
    const perSecond = (before: number, after: number) =>
      intervalMs === 0 ? 0 : Math.round(Math.max(0, after - before) * 1e6 / intervalMs) / 1000;
    const before = new Map(last.targets.map((target) => [target.name, target]));
    const byClass: Record<string, number> = {};
    for (const [status, total] of Object.entries(now.byStatus)) {
      const name = `${status[0]}xx`;
      byClass[name] = (byClass[name] ?? 0) + perSecond(last.byStatus[status] ?? 0, total);
    }
    const sample: Sample = {
      time: new Date().toISOString(),
      interval_ms: Math.round(intervalMs),
      requests_per_second: perSecond(last.requests, now.requests),
      errors_per_second: perSecond(last.errors, now.errors),
      duration: quantiles(since(last.durations, now.durations), 1000),
      by_class: byClass,
      active_requests: count(scalars(metrics, FAMILIES.activeRequests)),
      connections: connections(metrics),
      rss_bytes: Deno.memoryUsage().rss,
      workers: this.#source.workers().running,
      queued_bytes: this.#source.queuedBytes(),
      targets: now.targets.map((target) => ({
        name: target.name,
        usable: target.usable,
        requests_per_second: perSecond(before.get(target.name)?.requests ?? 0, target.requests),
        errors_per_second: perSecond(before.get(target.name)?.errors ?? 0, target.errors),
        active_requests: target.active_requests,
      })),
    };
    this.#newest = sample;
    this.#send("sample", sample);
    for (const target of now.targets) {
      const old = before.get(target.name);
      if (old === undefined || essence(old) !== essence(target)) this.#send("target", target);
    }
    if (last.config !== now.config) this.#send("config", configState(this.#source));
  }
}

/** What of a target is worth an event when it changes; counts are in every sample. */
function essence(target: Target): string {
  const { url, state, usable, draining, forced, configured_weight, weight, health } = target;
  return JSON.stringify([url, state, usable, draining, forced, configured_weight, weight, health.state]);
}

/** The observations between two readings; all of them where the bounds have changed meanwhile. */
function since(
  before: HistogramSeries | undefined,
  after: HistogramSeries | undefined,
): HistogramSeries | undefined {
  if (before === undefined || after === undefined || after.count < before.count) return after;
  if (before.bounds.join() !== after.bounds.join()) return after;
  return {
    ...after,
    counts: after.counts.map((value, bucket) => Math.max(0, value - before.counts[bucket])),
    count: after.count - before.count,
    sum: after.sum - before.sum,
  };
}
