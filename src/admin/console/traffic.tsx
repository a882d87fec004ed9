/** The traffic log: as it grows, or searched; any record can be opened. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { TrafficQuery, TrafficRecord } from "../api.ts";
import { type Console, faultText, useConsole } from "./context.ts";
import * as format from "./format.ts";
import type { MessageKey } from "./i18n.ts";
import { statusTone } from "./status_tone.ts";
import { type Column, Table } from "./table.tsx";
import { TrafficDetail } from "./traffic_detail.tsx";
import { Badge, Empty, Fault, Tabs } from "./widgets.tsx";

/** Rows kept of the live tail: what a person can look through. */
const MAX_LIVE_ROWS = 300;

/** Both of the live tail and of the search. */
const FILTERS = [
  "status",
  "host",
  "path",
  "target",
  "client_ip",
  "min_duration",
  "request_id",
] as const;
type Filter = typeof FILTERS[number];

const EXAMPLES: Record<Filter, string> = {
  status: "5xx",
  host: "example.com",
  path: "/api/",
  target: "backend1",
  client_ip: "10.0.0.1",
  min_duration: "100",
  request_id: "018f…",
};

/** Questions that are asked most, one press away. */
const PRESETS: { title: MessageKey; query: TrafficQuery }[] = [
  { title: "preset.slowest", query: { since: "1m", order: "slowest", limit: "50" } },
  { title: "preset.errors", query: { since: "1h", status: "5xx", limit: "100" } },
  { title: "preset.refused", query: { since: "1h", status: "4xx", limit: "100" } },
];

/** The place's query makes a search a link that can be kept: `traffic?since=1m&order=slowest`. */
function queryOf(place: string): TrafficQuery {
  return Object.fromEntries(new URLSearchParams(place.split("?")[1] ?? ""));
}

export function Traffic() {
  const { place, t } = useConsole();
  const mode = place.value.includes("?") ? "search" : "live";
  const query = useSignal<TrafficQuery>(queryOf(place.peek()));
  const opened = useSignal<TrafficRecord | null>(null);
  return (
    <>
      <h1>{t("nav.traffic")}</h1>
      <Tabs
        label={t("nav.traffic")}
        tabs={[{ key: "live", title: t("traffic.live") }, { key: "search", title: t("traffic.search") }]}
        current={mode}
        onSelect={(key) => {
          if (key === "live") location.hash = "/traffic";
          else location.hash = `/traffic?${new URLSearchParams(withDefaults(query.value))}`;
        }}
      />
      {mode === "live"
        ? <LiveTail query={query} opened={opened} />
        : <Search query={query} opened={opened} />}
      {opened.value !== null && <TrafficDetail record={opened.value} onClose={() => opened.value = null} />}
    </>
  );
}

function withDefaults(query: TrafficQuery): Record<string, string> {
  const given = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]?.trim()));
  return { since: "15m", ...Object.fromEntries(given) };
}

interface ListProps {
  query: Signal<TrafficQuery>;
  opened: Signal<TrafficRecord | null>;
}

function LiveTail({ query, opened }: ListProps) {
  const { api, t } = useConsole();
  const records = useSignal<TrafficRecord[]>([]);
  const skipped = useSignal(0);
  const paused = useSignal(false);
  /** While somebody points at a row or has the focus in one, rows do not move: new ones wait here. */
  const waiting = useSignal<TrafficRecord[]>([]);
  const held = useRef(false);
  const add = (newest: TrafficRecord[], to: Signal<TrafficRecord[]>) =>
    to.value = [...newest, ...to.value].slice(0, MAX_LIVE_ROWS);
  const hold = () => {
    held.current = true;
  };
  const release = () => {
    held.current = false;
    add(waiting.value, records);
    waiting.value = [];
  };
  const linked = useSignal(false);
  const ended = useSignal(false);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.value[name]]));
  const key = JSON.stringify(filters);
  useEffect(() => {
    records.value = [];
    waiting.value = [];
    skipped.value = 0;
    ended.value = false;
  }, [key]);
  useEffect(() => {
    if (paused.value) return;
    const source = api.liveTraffic(filters, {
      on: {
        records: (event) => {
          add(event.records.toReversed(), held.current ? waiting : records);
          skipped.value += event.skipped;
        },
        lost: () => skipped.value++,
      },
      onOpen: () => {
        linked.value = true;
        ended.value = false;
      },
      onError: (closed) => {
        linked.value = false;
        ended.value = closed;
      },
    });
    return () => source.close();
  }, [key, paused.value]);
  return (
    <>
      <FilterForm
        query={query}
        onSubmit={(next) => query.value = next}
        submit={t("filter.apply")}
      />
      <section class="card">
        <div class="card-head">
          <h2>
            <span
              class={`dot ${linked.value && !paused.value ? "dot-good" : "dot-neutral"}`}
              aria-hidden="true"
            />
            {waiting.value.length > 0 ? t("traffic.held", { n: format.number(waiting.value.length) }) : t(
              paused.value ? "traffic.paused" : linked.value ? "traffic.following" : "traffic.connecting",
            )}
          </h2>
          <div class="actions">
            <button type="button" aria-pressed={paused.value} onClick={() => paused.value = !paused.value}>
              {t(paused.value ? "traffic.resume" : "traffic.pause")}
            </button>
            <button type="button" onClick={() => records.value = []}>{t("traffic.clear")}</button>
          </div>
        </div>
        {skipped.value > 0 && <p class="hint">{t("traffic.skipped", { n: format.number(skipped.value) })}</p>}
        {ended.value && <Fault>{t("traffic.refused")}</Fault>}
        {records.value.length === 0
          ? <Empty>{t("traffic.waiting")}</Empty>
          : (
            <div onMouseEnter={hold} onMouseLeave={release} onFocusIn={hold} onFocusOut={release}>
              <Records records={records.value} opened={opened} />
            </div>
          )}
      </section>
    </>
  );
}

function Search({ query, opened }: ListProps) {
  const { api, place, t } = useConsole();
  const records = useSignal<TrafficRecord[] | null>(null);
  const fault = useSignal<string | null>(null);
  /** Counts the searches, so that a late answer does not replace a newer one. */
  const latest = useRef(0);
  const run = async () => {
    const own = ++latest.current;
    fault.value = null;
    records.value = null;
    try {
      const answer = await api.traffic(query.value);
      if (own === latest.current) records.value = answer.records;
    } catch (error) {
      if (own === latest.current) fault.value = faultText(error, t);
    }
  };
  useEffect(() => {
    query.value = queryOf(place.value);
    run();
    return () => {
      latest.current++;
    };
  }, [place.value]);
  const search = (next: TrafficQuery) => {
    const hash = `#/traffic?${new URLSearchParams(withDefaults(next))}`;
    if (hash === location.hash) run();
    else location.hash = hash;
  };
  return (
    <>
      <div class="actions presets">
        {PRESETS.map(({ title, query: preset }) => (
          <button
            key={title}
            type="button"
            onClick={() => search(preset)}
          >
            {t(title)}
          </button>
        ))}
      </div>
      <FilterForm query={query} onSubmit={search} submit={t("filter.search")} times />
      <section class="card" aria-busy={records.value === null && fault.value === null}>
        <div class="card-head">
          <h2>
            <span role="status">
              {records.value === null
                ? t(fault.value === null ? "traffic.searching" : "traffic.noAnswer")
                : t("traffic.found", { n: format.number(records.value.length) })}
            </span>
          </h2>
        </div>
        {fault.value !== null && <Fault>{fault.value}</Fault>}
        {records.value !== null && records.value.length === 0 && <Empty>{t("traffic.none")}</Empty>}
        {records.value !== null && records.value.length > 0 && (
          <Records records={records.value} opened={opened} dated />
        )}
      </section>
    </>
  );
}

function FilterForm(
  { query, onSubmit, submit, times }: {
    query: Signal<TrafficQuery>;
    onSubmit: (query: TrafficQuery) => void;
    submit: string;
    /** With the fields that only a search has. */
    times?: boolean;
  },
) {
  const { live, t } = useConsole();
  const draft = useSignal<TrafficQuery>(query.value);
  useEffect(() => {
    draft.value = query.value;
  }, [query.value]);
  const set = (name: keyof TrafficQuery, value: string) => draft.value = { ...draft.value, [name]: value };
  const suggestions: Partial<Record<keyof TrafficQuery, string[]>> = {
    status: ["2xx", "3xx", "4xx", "5xx"],
    target: live.status.value?.targets.map(({ name }) => name),
    since: ["1m", "15m", "1h", "24h"],
  };
  const field = (name: keyof TrafficQuery, example: string) => (
    <label class="field" key={name}>
      <span>{t(`filter.${name}`)}</span>
      <input
        name={name}
        value={draft.value[name] ?? ""}
        placeholder={example}
        list={suggestions[name] === undefined ? undefined : `suggest-${name}`}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => set(name, event.currentTarget.value)}
      />
      {suggestions[name] !== undefined && (
        <datalist id={`suggest-${name}`}>
          {suggestions[name].map((value) => <option key={value} value={value} />)}
        </datalist>
      )}
    </label>
  );
  const given = FILTERS.filter((name) => (draft.value[name] ?? "") !== "").length;
  return (
    <details class="card filters" open={times === true || given > 0}>
      <summary>{given === 0 ? t("filter.title") : t("filter.titleGiven", { n: given })}</summary>
      <form
        class="filter-form"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit(draft.value);
        }}
      >
        {times === true && (
          <>
            {field("since", "15m")}
            {field("until", "5m")}
          </>
        )}
        {FILTERS.map((name) => field(name, EXAMPLES[name]))}
        {times === true && (
          <>
            <label class="field">
              <span>{t("filter.order")}</span>
              <select
                name="order"
                value={draft.value.order ?? "newest"}
                onChange={(event) => set("order", event.currentTarget.value)}
              >
                <option value="newest">{t("order.newest")}</option>
                <option value="slowest">{t("order.slowest")}</option>
              </select>
            </label>
            {field("limit", "100")}
          </>
        )}
        <div class="actions">
          <button type="submit" class="primary">{submit}</button>
          <button type="button" onClick={() => onSubmit({})}>{t("filter.reset")}</button>
        </div>
      </form>
    </details>
  );
}

function Records(
  { records, opened, dated }: {
    records: TrafficRecord[];
    opened: Signal<TrafficRecord | null>;
    dated?: boolean;
  },
) {
  const { t } = useConsole();
  return (
    <Table
      dense
      caption={t("nav.traffic")}
      columns={recordColumns(t, opened, dated === true)}
      rows={records}
      rowKey={({ id }) => id}
    />
  );
}

function recordColumns(
  t: Console["t"],
  opened: Signal<TrafficRecord | null>,
  dated: boolean,
): Column<TrafficRecord>[] {
  return [
    {
      key: "time",
      title: t("record.time"),
      cell: (record) => (
        <button
          type="button"
          class="link"
          aria-label={t("record.open", { time: format.timeOfDay(record.timestamp) })}
          onClick={() => opened.value = record}
        >
          {dated ? format.dateTime(record.timestamp) : format.timeOfDay(record.timestamp)}
        </button>
      ),
    },
    {
      key: "status",
      title: t("record.status"),
      cell: (record) => <Badge tone={statusTone(record.status_code)}>{record.status_code}</Badge>,
    },
    { key: "method", title: t("record.method"), cell: (record) => record.method },
    {
      key: "request",
      title: t("record.request"),
      cell: (record) => (
        <span class="ellipsis" title={record.host + record.path}>
          <span class="tone-muted">{record.host}</span>
          {record.path}
        </span>
      ),
    },
    { key: "target", title: t("target"), cell: (record) => record.target ?? format.MISSING },
    {
      key: "duration",
      title: t("record.duration"),
      numeric: true,
      cell: (record) => format.milliseconds(record.duration_ms),
    },
    {
      key: "size",
      title: t("record.size"),
      numeric: true,
      cell: (record) => format.bytes(record.response_size),
    },
  ];
}
