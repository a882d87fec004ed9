/** The targets: health, share of the traffic, latency, and what an operator may do to them. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { MAX_WEIGHT, type Sample, type Target, type TargetAction, type TrafficStats } from "../api.ts";
import { Chart } from "./chart.tsx";
import { useConsole } from "./context.ts";
import { ApiFault } from "./api_client.ts";
import * as format from "./format.ts";
import { type Column, Table } from "./table.tsx";
import { Badge, Bar, Confirm, Dialog, Empty, Section, type Tone } from "./widgets.tsx";

const SHARE_SAMPLES = 5;
const LATENCY_WINDOW = "5m";
const LATENCY_INTERVAL_MS = 10_000;
const SERIES_COLORS = 6;
const FORCE_CHOICES_SECONDS = [60, 300, 1800, 7200];

type Latencies = ReadonlyMap<string, TrafficStats["groups"][number]>;

export function Targets() {
  const { live, t } = useConsole();
  const status = live.status.value;
  const latencies = useLatencies();
  const weighing = useSignal<string | null>(null);
  const forcing = useSignal<string | null>(null);
  const draining = useSignal<string | null>(null);
  if (status === null) return <Empty>{t("loading")}</Empty>;
  const { targets, load_balancer: balancer } = status;
  const samples = live.samples.value;
  const rates = meanRates(samples);
  const sum = [...rates.values()].reduce((a, b) => a + b, 0);
  const usable = targets.filter((target) => target.usable);
  const find = (name: string | null) => targets.find((target) => target.name === name);
  const columns: Column<Target>[] = [
    {
      key: "target",
      title: t("target"),
      cell: (target) => (
        <>
          <strong>{target.name}</strong>
          <span class="sub">{target.url}</span>
        </>
      ),
    },
    { key: "health", title: t("health"), cell: (target) => <Health target={target} /> },
    {
      key: "share",
      title: t("share"),
      cell: (target) => {
        const rate = rates.get(target.name) ?? 0;
        const share = sum === 0 ? 0 : rate / sum;
        return (
          <>
            <span class="share">
              <Bar share={share} />
              <b>{format.percent(share)}</b>
            </span>
            <span class="sub">{format.rate(rate, t("unit.perSecond"))}</span>
          </>
        );
      },
    },
    {
      key: "latency",
      title: t("latency5m"),
      cell: (target) => <Latency group={latencies?.get(target.name)} />,
    },
    {
      key: "inFlight",
      title: t("inFlight"),
      numeric: true,
      cell: (target) =>
        format.number(
          samples.at(-1)?.targets.find(({ name }) => name === target.name)
            ?.active_requests ?? target.active_requests,
        ),
    },
    {
      key: "errors",
      title: t("errors"),
      numeric: true,
      cell: (target) => (
        <>
          <span class={target.errors > 0 ? "tone-bad" : ""}>{format.number(target.errors)}</span>
          <span class="sub">{t("target.answers", { n: format.number(target.requests) })}</span>
        </>
      ),
    },
    {
      key: "weight",
      title: t("weight"),
      numeric: true,
      cell: (target) => (
        <>
          {format.number(target.weight)}
          {target.weight !== target.configured_weight && (
            <span class="sub">{t("target.configured", { n: format.number(target.configured_weight) })}</span>
          )}
        </>
      ),
    },
    {
      key: "actions",
      title: t("actions"),
      cell: (target) => (
        <TargetButtons
          target={target}
          onDrain={usable.length === 1 && target.usable ? () => draining.value = target.name : null}
          onWeight={() => weighing.value = target.name}
          onForce={() => forcing.value = target.name}
        />
      ),
    },
  ];
  const weighed = find(weighing.value);
  const forced = find(forcing.value);
  return (
    <>
      <h1>{t("nav.targets")}</h1>
      <p class="lead">
        {t("targets.balancing", { type: t(`balancing.${balancer.type}`) })}
        {balancer.sticky_sessions && ` · ${t("targets.sticky")}`}
        {` · ${t("targets.usable", { n: usable.length, of: targets.length })}`}
      </p>
      <section class="card">
        <Table caption={t("nav.targets")} columns={columns} rows={targets} rowKey={({ name }) => name} />
      </section>
      <RateChart samples={samples} names={targets.map(({ name }) => name)} />
      {weighed !== undefined && <WeightDialog target={weighed} onClose={() => weighing.value = null} />}
      {forced !== undefined && <ForceDialog target={forced} onClose={() => forcing.value = null} />}
      {draining.value !== null && <DrainLast name={draining.value} onClose={() => draining.value = null} />}
    </>
  );
}

/** Percentiles of each target from the traffic log; null where there is no log to read. */
function useLatencies(): Latencies | null {
  const { api } = useConsole();
  const latencies = useSignal<Latencies | null>(null);
  useEffect(() => {
    const load = async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const { groups } = await api.trafficStats({ by: "target", since: LATENCY_WINDOW });
        latencies.value = new Map(groups.map((group) => [group.key, group]));
      } catch (error) {
        if (!(error instanceof ApiFault)) throw error;
        latencies.value = null;
      }
    };
    load();
    const timer = setInterval(load, LATENCY_INTERVAL_MS);
    return () => clearInterval(timer);
  }, []);
  return latencies.value;
}

function meanRates(samples: readonly Sample[]): Map<string, number> {
  const recent = samples.slice(-SHARE_SAMPLES);
  const rates = new Map<string, number>();
  for (const sample of recent) {
    for (const { name, requests_per_second } of sample.targets) {
      rates.set(name, (rates.get(name) ?? 0) + requests_per_second / recent.length);
    }
  }
  return rates;
}

const HEALTH_TONES: Record<Target["state"], Tone> = { healthy: "good", unhealthy: "bad", unknown: "neutral" };

function Health({ target }: { target: Target }) {
  const { t } = useConsole();
  const { health, forced } = target;
  return (
    <>
      <span class="badges">
        <Badge tone={HEALTH_TONES[target.state]}>{t(`health.${target.state}`)}</Badge>
        {target.draining && <Badge tone="warn">{t("target.draining")}</Badge>}
        {forced !== null && (
          <Badge tone="accent">
            {t("target.forcedUntil", { time: format.dateTime(forced.until).slice(11) })}
          </Badge>
        )}
      </span>
      <span class="sub">
        {health.last_check === null ? t("target.notChecked") : t("target.lastCheck", {
          time: format.dateTime(health.last_check).slice(11),
          duration: format.milliseconds(health.last_duration_ms),
        })}
      </span>
      {health.last_error !== null && health.state === "unhealthy" && (
        <span class="sub tone-bad">{health.last_error}</span>
      )}
    </>
  );
}

function Latency({ group }: { group: TrafficStats["groups"][number] | undefined }) {
  if (group === undefined) return <span class="tone-muted">{format.MISSING}</span>;
  return (
    <span class="percentiles">
      <span>
        <i>p50</i> {format.milliseconds(group.p50_ms)}
      </span>
      <span>
        <i>p95</i> {format.milliseconds(group.p95_ms)}
      </span>
      <span>
        <i>p99</i> {format.milliseconds(group.p99_ms)}
      </span>
    </span>
  );
}

function useTargetAction(): (action: TargetAction, done: string) => Promise<boolean> {
  const { api, attempt, live } = useConsole();
  return (action, done) =>
    attempt(async () => {
      const { target, note } = await api.changeTarget(action);
      live.updateTarget(target);
      return note === null ? done : `${done} ${note}`;
    });
}

function TargetButtons(
  { target, onDrain, onWeight, onForce }: {
    target: Target;
    /** Asks first; null: drained at once. */
    onDrain: (() => void) | null;
    onWeight: () => void;
    onForce: () => void;
  },
) {
  const { may, t } = useConsole();
  const act = useTargetAction();
  const { name } = target;
  const disabled = !may("editor");
  const title = disabled ? t("needs.editor") : undefined;
  const drain = () => act({ target: name, action: "drain" }, t("target.drained", { name }));
  const resume = () => act({ target: name, action: "resume" }, t("target.resumed", { name }));
  const common = { type: "button" as const, disabled, title };
  return (
    <div class="actions">
      {target.draining
        ? <button {...common} class="primary" onClick={resume}>{t("resume")}</button>
        : <button {...common} onClick={onDrain ?? drain}>{t("drain")}</button>}
      <button {...common} onClick={onWeight}>{t("weight")}</button>
      {target.forced === null ? <button {...common} onClick={onForce}>{t("force")}</button> : (
        <button
          {...common}
          onClick={() => act({ target: name, action: "unforce" }, t("target.unforced", { name }))}
        >
          {t("unforce")}
        </button>
      )}
    </div>
  );
}

function DrainLast({ name, onClose }: { name: string; onClose: () => void }) {
  const { t } = useConsole();
  const act = useTargetAction();
  return (
    <Confirm
      title={t("drain.last.title", { name })}
      text={t("drain.last.text")}
      action={t("drain")}
      onConfirm={() => act({ target: name, action: "drain" }, t("target.drained", { name }))}
      onClose={onClose}
    />
  );
}

function WeightDialog({ target, onClose }: { target: Target; onClose: () => void }) {
  const { t } = useConsole();
  const act = useTargetAction();
  const text = useSignal(String(target.weight));
  const { name } = target;
  const weight = Number(text.value);
  const valid = text.value.trim() !== "" && weight > 0 && weight <= MAX_WEIGHT;
  const set = async (value: number | null) => {
    const done = value === null ? t("target.weightReset", { name }) : t("target.weighed", { name, n: value });
    if (await act({ target: name, action: "weight", weight: value }, done)) onClose();
  };
  return (
    <Dialog title={t("weight.title", { name })} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (valid) set(weight);
        }}
      >
        <label class="field">
          <span>{t("weight.label", { n: format.number(target.configured_weight) })}</span>
          <input
            inputMode="decimal"
            value={text.value}
            aria-invalid={!valid}
            onInput={(event) => text.value = event.currentTarget.value}
          />
        </label>
        {!valid && <p class="fault">{t("weight.invalid", { n: MAX_WEIGHT.toLocaleString("en-US") })}</p>}
        <p class="hint">{t("weight.hint")}</p>
        <div class="actions dialog-actions">
          <button type="button" onClick={() => set(null)}>{t("weight.reset")}</button>
          <button type="submit" class="primary" disabled={!valid}>{t("weight.set")}</button>
        </div>
      </form>
    </Dialog>
  );
}

function ForceDialog({ target, onClose }: { target: Target; onClose: () => void }) {
  const { t } = useConsole();
  const act = useTargetAction();
  const seconds = useSignal(FORCE_CHOICES_SECONDS[1]);
  const { name } = target;
  const force = async (state: "healthy" | "unhealthy") => {
    const done = t("target.forced", {
      name,
      state: t(`health.${state}`),
      time: format.duration(seconds.value),
    });
    if (await act({ target: name, action: "force", state, seconds: seconds.value }, done)) onClose();
  };
  return (
    <Dialog title={t("force.title", { name })} onClose={onClose}>
      <p>{t("force.text")}</p>
      <label class="field">
        <span>{t("force.for")}</span>
        <select
          value={String(seconds.value)}
          onChange={(event) => seconds.value = Number(event.currentTarget.value)}
        >
          {FORCE_CHOICES_SECONDS.map((choice) => (
            <option key={choice} value={choice}>{format.duration(choice)}</option>
          ))}
        </select>
      </label>
      <div class="actions dialog-actions">
        <button type="button" onClick={() => force("unhealthy")}>{t("force.unhealthy")}</button>
        <button type="button" class="primary" onClick={() => force("healthy")}>{t("force.healthy")}</button>
      </div>
    </Dialog>
  );
}

function RateChart({ samples, names }: { samples: Sample[]; names: string[] }) {
  const { t } = useConsole();
  return (
    <Section title={t("chart.byTarget")}>
      <Chart
        title={t("unit.requestsPerSecond")}
        times={samples.map(({ time }) => Date.parse(time) / 1000)}
        format={format.number}
        series={names.map((name, index) => ({
          label: name,
          color: `--series-${index % SERIES_COLORS + 1}`,
          values: samples.map(({ targets }) =>
            targets.find((target) => target.name === name)?.requests_per_second ?? null
          ),
        }))}
      />
    </Section>
  );
}
