/** How it goes now: rates, latency, connections, memory, threads, parts. */
import type { Component, Components, Sample } from "../api.ts";
import { Chart, type ChartSeries } from "./chart.tsx";
import { useConsole } from "./context.ts";
import * as format from "./format.ts";
import { latest, recentMean } from "./live.ts";
import { Badge, Empty, Facts, Section, Stat, type Tone } from "./widgets.tsx";

/** Figures are means of so many seconds, so that they can be read. */
const CALM_SAMPLES = 3;
/** A percentile of a quiet second is that of the last busy one, but no older than this. */
const RECENT_SAMPLES = 15;

const STATUS_CLASSES = [
  { label: "2xx", color: "--series-1" },
  { label: "3xx", color: "--series-2" },
  { label: "4xx", color: "--series-3" },
  { label: "5xx", color: "--series-4" },
];

export function Overview() {
  const { live, t } = useConsole();
  const samples = live.samples.value;
  const status = live.status.value;
  if (status === null) return <Empty>{t("loading")}</Empty>;
  const now = samples.at(-1);
  const rate = recentMean(samples, CALM_SAMPLES, (sample) => sample.requests_per_second);
  const errors = recentMean(samples, CALM_SAMPLES, (sample) => sample.errors_per_second);
  const errorShare = rate === null || errors === null ? null : rate === 0 ? 0 : errors / rate;
  const percentile = (read: (sample: Sample) => number | null) =>
    format.milliseconds(latest(samples, RECENT_SAMPLES, read));
  const { workers } = status;
  return (
    <>
      <h1>{t("nav.overview")}</h1>
      <dl class="stats">
        <Stat
          label={t("requestRate")}
          value={format.rate(rate, t("unit.perSecond"))}
          hint={t("overview.total", { n: format.number(status.requests.total) })}
        />
        <Stat label="p50" value={percentile(({ duration }) => duration.p50_ms)} hint={t("overview.p50")} />
        <Stat label="p95" value={percentile(({ duration }) => duration.p95_ms)} hint={t("overview.p95")} />
        <Stat label="p99" value={percentile(({ duration }) => duration.p99_ms)} hint={t("overview.p99")} />
        <Stat
          label={t("errorRate")}
          value={format.percent(errorShare)}
          tone={errorShare === null || errorShare < 0.01 ? undefined : errorShare < 0.05 ? "warn" : "bad"}
          hint={t("overview.errors", { n: format.number(status.requests.errors) })}
        />
        <Stat
          label={t("connections")}
          value={format.number(now?.connections ?? status.connections)}
          hint={t("overview.active", { n: format.number(now?.active_requests ?? status.requests.active) })}
        />
        <Stat
          label={t("memory")}
          value={format.bytes(now?.rss_bytes ?? status.memory.rss_bytes)}
          hint={t("overview.rss")}
        />
        <Stat
          label={t("workers")}
          value={`${now?.workers ?? workers.running} / ${workers.configured}`}
          hint={t("overview.restarts", { n: format.number(workers.restarts) })}
          tone={workers.running < workers.configured ? "bad" : undefined}
        />
      </dl>
      <Charts samples={samples} />
      <div class="columns">
        <ComponentList components={status.components} />
        <Program />
      </div>
    </>
  );
}

function Charts({ samples }: { samples: Sample[] }) {
  const { t } = useConsole();
  const times = samples.map(({ time }) => Date.parse(time) / 1000);
  const line = (label: string, color: string, read: (sample: Sample) => number | null): ChartSeries => ({
    label,
    color,
    values: samples.map(read),
  });
  return (
    <div class="charts">
      <Chart
        title={t("chart.requests")}
        times={times}
        format={format.number}
        series={STATUS_CLASSES.map(({ label, color }) =>
          line(label, color, (sample) => sample.by_class[label] ?? 0)
        )}
      />
      <Chart
        title={t("chart.latency")}
        times={times}
        format={format.milliseconds}
        series={[
          line("p50", "--series-1", ({ duration }) => duration.p50_ms),
          line("p95", "--series-3", ({ duration }) => duration.p95_ms),
          line("p99", "--series-4", ({ duration }) => duration.p99_ms),
        ]}
      />
      <Chart
        title={t("chart.connections")}
        times={times}
        format={format.number}
        series={[
          line(t("connections"), "--series-1", (sample) => sample.connections),
          line(t("inFlight"), "--series-3", (sample) => sample.active_requests),
        ]}
      />
      <Chart
        title={t("chart.memory")}
        times={times}
        format={format.bytes}
        series={[line(t("memory"), "--series-1", (sample) => sample.rss_bytes)]}
      />
    </div>
  );
}

const COMPONENT_TONES: Record<Component["state"], Tone> = {
  ok: "good",
  degraded: "warn",
  failed: "bad",
  off: "neutral",
};

function ComponentList({ components }: { components: Components }) {
  const { t } = useConsole();
  const names = ["proxy", "traffic_log", "config", "admin"] as const;
  return (
    <Section title={t("components")}>
      <ul class="rows">
        {names.map((name) => (
          <li key={name}>
            <span>{t(`component.${name}`)}</span>
            <Badge tone={COMPONENT_TONES[components[name].state]}>
              {t(`state.${components[name].state}`)}
            </Badge>
            {components[name].message !== null && <p class="hint">{components[name].message}</p>}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Program() {
  const { live, t } = useConsole();
  const status = live.status.value;
  if (status === null) return null;
  const facts: [string, string][] = [
    [t("program.version"), `${status.version} (Deno ${status.deno})`],
    [t("program.uptime"), format.duration(status.uptime_seconds)],
    [t("program.proxy"), status.listeners.proxy],
    [t("program.health"), status.listeners.health],
    [t("program.metrics"), status.listeners.metrics],
    [t("program.config"), status.config.path],
    [t("program.loaded"), `${format.dateTime(status.config.loaded_at)} (#${status.config.generation})`],
  ];
  return (
    <Section title={t("program")}>
      <Facts facts={facts} />
    </Section>
  );
}
