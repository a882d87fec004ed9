/** Counters of plugins, of what security refused, of the traffic log; and who changed what. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { AuditEntry, PluginStatus, Status } from "../api.ts";
import { useConsole } from "./context.ts";
import * as format from "./format.ts";
import { Table } from "./table.tsx";
import { Badge, Bar, Empty, Section } from "./widgets.tsx";

const AUDIT_ENTRIES = 100;

export function Plugins() {
  const { live, may, t } = useConsole();
  const status = live.status.value;
  if (status === null) return <Empty>{t("loading")}</Empty>;
  const before = live.previousStatus.value;
  return (
    <>
      <h1>{t("nav.plugins")}</h1>
      <PluginTable status={status} before={before} />
      <Denied status={status} before={before} />
      <TrafficLog status={status} before={before} />
      {may("admin") && <Audit />}
    </>
  );
}

interface Readings {
  status: Status;
  /** Null before the second reading: there is no rate then. */
  before: Status | null;
}

/** Counted a second between the two readings; null if that cannot be said. */
function rateOf({ status, before }: Readings, read: (status: Status) => number): number | null {
  if (before === null || before.started_at !== status.started_at) return null;
  const elapsedSeconds = (Date.parse(status.time) - Date.parse(before.time)) / 1000;
  return elapsedSeconds <= 0 ? null : (read(status) - read(before)) / elapsedSeconds;
}

function PluginTable(readings: Readings) {
  const { t } = useConsole();
  const { plugins } = readings.status;
  const invocations = (name: string) => (status: Status) =>
    status.plugins.find((plugin) => plugin.name === name)?.invocations ?? 0;
  const kinds = (plugin: PluginStatus) =>
    Object.entries(plugin.errors_by_kind).map(([kind, count]) => `${kind} ${format.number(count)}`).join(
      ", ",
    );
  return (
    <Section title={t("plugins")}>
      {plugins.length === 0 ? <Empty>{t("plugins.none")}</Empty> : (
        <Table
          caption={t("plugins")}
          rows={plugins}
          rowKey={({ name }) => name}
          columns={[
            {
              key: "name",
              title: t("plugin"),
              cell: (plugin) => (
                <>
                  <strong>{plugin.name}</strong>
                  <span class="sub">{plugin.type} · {t(`stage.${plugin.stage}`)}</span>
                </>
              ),
            },
            {
              key: "state",
              title: t("plugin.state"),
              cell: ({ enabled }) => (
                <Badge tone={enabled ? "good" : "neutral"}>{t(enabled ? "plugin.on" : "plugin.off")}</Badge>
              ),
            },
            {
              key: "calls",
              title: t("plugin.calls"),
              numeric: true,
              cell: (plugin) => (
                <>
                  {format.number(plugin.invocations)}
                  <span class="sub">
                    {format.rate(rateOf(readings, invocations(plugin.name)), t("unit.perSecond"))}
                  </span>
                </>
              ),
            },
            {
              key: "short",
              title: t("plugin.shortCircuits"),
              numeric: true,
              cell: (plugin) => format.number(plugin.short_circuits),
            },
            {
              key: "errors",
              title: t("errors"),
              numeric: true,
              cell: (plugin) => (
                <>
                  <span class={plugin.errors > 0 ? "tone-bad" : ""}>{format.number(plugin.errors)}</span>
                  <span class="sub">{kinds(plugin)}</span>
                </>
              ),
            },
            {
              key: "p50",
              title: "p50",
              numeric: true,
              cell: ({ duration }) => format.milliseconds(duration.p50_ms),
            },
            {
              key: "p99",
              title: "p99",
              numeric: true,
              cell: ({ duration }) => format.milliseconds(duration.p99_ms),
            },
          ]}
        />
      )}
    </Section>
  );
}

function Denied(readings: Readings) {
  const { t } = useConsole();
  const kinds = Object.entries(readings.status.security.denied).sort(([, a], [, b]) => b - a);
  const most = kinds[0]?.[1] ?? 0;
  return (
    <Section title={t("security")}>
      {kinds.length === 0 ? <Empty>{t("security.none")}</Empty> : (
        <Table
          caption={t("security")}
          rows={kinds}
          rowKey={([kind]) => kind}
          columns={[
            { key: "kind", title: t("security.kind"), cell: ([kind]) => <code>{kind}</code> },
            {
              key: "share",
              title: t("share"),
              cell: ([, count]) => <Bar share={most === 0 ? 0 : count / most} tone="warn" />,
            },
            { key: "count", title: t("count"), numeric: true, cell: ([, count]) => format.number(count) },
            {
              key: "rate",
              title: t("rate"),
              numeric: true,
              cell: ([kind]) => {
                const rate = rateOf(readings, ({ security }) => security.denied[kind] ?? 0);
                return format.rate(rate, t("unit.perSecond"));
              },
            },
          ]}
        />
      )}
    </Section>
  );
}

function TrafficLog(readings: Readings) {
  const { t } = useConsole();
  const { traffic_log: log } = readings.status;
  const sinks = [...new Set([...Object.keys(log.writes), ...Object.keys(log.write_errors)])].sort();
  return (
    <Section title={t("component.traffic_log")}>
      {!log.enabled ? <Empty>{t("log.off")}</Empty> : (
        <>
          <dl class="stats stats-small">
            <div class="stat">
              <dt>{t("log.queued")}</dt>
              <dd>{format.bytes(log.queued_bytes)}</dd>
            </div>
            <div class="stat">
              <dt>{t("log.dropped")}</dt>
              <dd class={log.dropped > 0 ? "tone-bad" : ""}>{format.number(log.dropped)}</dd>
            </div>
          </dl>
          {sinks.length > 0 && (
            <Table
              caption={t("component.traffic_log")}
              rows={sinks}
              rowKey={(sink) => sink}
              columns={[
                { key: "sink", title: t("log.sink"), cell: (sink) => <code>{sink}</code> },
                {
                  key: "writes",
                  title: t("log.writes"),
                  numeric: true,
                  cell: (sink) => format.number(log.writes[sink] ?? 0),
                },
                {
                  key: "rate",
                  title: t("rate"),
                  numeric: true,
                  cell: (sink) => {
                    const rate = rateOf(readings, (status) => status.traffic_log.writes[sink] ?? 0);
                    return format.rate(rate, t("unit.perSecond"));
                  },
                },
                {
                  key: "errors",
                  title: t("errors"),
                  numeric: true,
                  cell: (sink) => format.number(log.write_errors[sink] ?? 0),
                },
              ]}
            />
          )}
        </>
      )}
    </Section>
  );
}

function Audit() {
  const { api, attempt, live, t } = useConsole();
  const entries = useSignal<AuditEntry[]>([]);
  useEffect(() => {
    attempt(async () => {
      entries.value = (await api.audit(AUDIT_ENTRIES)).entries;
    });
  }, [live.status.value?.config.generation]);
  return (
    <Section title={t("audit")}>
      {entries.value.length === 0 ? <Empty>{t("audit.none")}</Empty> : (
        <Table
          dense
          caption={t("audit")}
          rows={entries.value.map((entry, index) => ({ ...entry, index }))}
          rowKey={({ index }) => String(index)}
          columns={[
            { key: "time", title: t("record.time"), cell: ({ time }) => format.dateTime(time) },
            { key: "who", title: t("audit.who"), cell: ({ who }) => who },
            { key: "from", title: t("audit.from"), cell: ({ from }) => from },
            {
              key: "action",
              title: t("audit.action"),
              cell: ({ action, subject }) => (
                <>
                  <code>{action}</code> {subject}
                </>
              ),
            },
            {
              key: "result",
              title: t("audit.result"),
              cell: ({ result, detail }) => (
                <>
                  <Badge tone={result === "ok" ? "good" : "bad"}>{result}</Badge>
                  {detail !== null && <span class="sub">{detail}</span>}
                </>
              ),
            },
          ]}
        />
      )}
    </Section>
  );
}
