/** /admin/traffic: the records of the traffic log, asked for or as they come. */
import { type Context, Hono } from "hono";
import { matches, parseStatus, parseTime, type TrafficFilter } from "../traffic/filter.ts";
import { STATS_KEYS } from "../traffic/reader.ts";
import { decodeLines } from "../traffic/record.ts";
import type { Access, AdminEnv } from "./access.ts";
import {
  type LiveTrafficEvents,
  MAX_TRAFFIC_LIMIT,
  TRAFFIC_QUERY,
  type TrafficRecords,
  type TrafficStats,
} from "./api.ts";
import { EVENT_STREAM_HEADERS, type EventStream, EventStreams } from "./event_stream.ts";
import { AdminFailure } from "./failure.ts";
import type { AdminSource, TrafficAnswer, TrafficQuestion } from "./source.ts";

const DEFAULT_LIMIT = 100;
const MAX_LISTENERS = 16;
const LIVE_KNOWS_NOT = ["since", "until", "limit", "order", "from"];

export interface TrafficRoutes {
  app: Hono<AdminEnv>;
  /** Ends all live answers. */
  close(): void;
}

export function trafficRoutes(source: AdminSource, access: Access): TrafficRoutes {
  const app = new Hono<AdminEnv>();
  const viewer = access.atLeast("viewer");
  const live = new LiveTraffic(source);

  app.get("/", viewer, async (c) => {
    const query = readQuery(c, []);
    const answer = await ask(source, {
      kind: "records",
      filter: readFilter(query),
      source: readChoice(query, "from", ["file", "database"] as const),
      limit: readLimit(query),
      order: readChoice(query, "order", ["newest", "slowest"] as const) ?? "newest",
    });
    const body: TrafficRecords = { records: answer.kind === "records" ? answer.records : [] };
    return c.json(body);
  });

  app.get("/stats", viewer, async (c) => {
    const query = readQuery(c, ["by"]);
    const answer = await ask(source, {
      kind: "stats",
      filter: readFilter(query),
      source: readChoice(query, "from", ["file", "database"] as const),
      by: readChoice(query, "by", STATS_KEYS),
    });
    const groups = answer.kind === "stats" ? answer.groups : [];
    const body: TrafficStats = {
      groups: groups.sort((a, b) => b.requests - a.requests).slice(0, MAX_TRAFFIC_LIMIT).map((group) => ({
        key: group.key,
        requests: group.requests,
        errors: group.errors,
        bytes: group.bytes,
        p50_ms: group.p50Ms,
        p95_ms: group.p95Ms,
        p99_ms: group.p99Ms,
      })),
    };
    return c.json(body);
  });

  app.get("/live", viewer, (c) => {
    const query = readQuery(c, []);
    for (const name of LIVE_KNOWS_NOT) {
      if (query.has(name)) throw new AdminFailure("bad_request", `${name} makes no sense for live traffic`);
    }
    if (!source.config().logging.enabled) throw logIsOff();
    const caller = c.get("caller");
    const stream = live.open(readFilter(query), () => access.stillAllowed(caller));
    return c.body(stream.body, 200, EVENT_STREAM_HEADERS);
  });
  return { app, close: () => live.close() };
}

/** Gives each listener those records of the tap that match its filter. */
class LiveTraffic {
  readonly #source: AdminSource;
  readonly #filters = new Map<EventStream, TrafficFilter>();
  readonly #streams: EventStreams;
  #listening = false;

  constructor(source: AdminSource) {
    this.#source = source;
    this.#streams = new EventStreams(MAX_LISTENERS, (listeners) => this.#tap(listeners > 0));
  }

  open(filter: TrafficFilter, allowed: () => boolean): EventStream {
    const stream = this.#streams.open(allowed, (ended) => this.#filters.delete(ended));
    if (stream === null) throw tooManyListeners(MAX_LISTENERS);
    this.#filters.set(stream, filter);
    return stream;
  }

  close(): void {
    this.#streams.close();
  }

  #tap(wanted: boolean): void {
    if (wanted === this.#listening) return;
    this.#listening = wanted;
    this.#source.tapTraffic(wanted ? (lines, skipped) => this.#send(lines, skipped) : null);
  }

  #send(lines: string, skipped: number): void {
    const rows = decodeLines(lines);
    for (const [stream, filter] of this.#filters) {
      const data: LiveTrafficEvents["records"] = {
        records: rows.filter((row) => matches(filter, row)),
        skipped,
      };
      if (data.records.length > 0 || skipped > 0) stream.send("records", data);
    }
  }
}

export function tooManyListeners(max: number): AdminFailure {
  return new AdminFailure(
    "too_many_listeners",
    `${max} clients listen already, which is the most there may be`,
    {
      headers: { "retry-after": "10" },
    },
  );
}

async function ask(source: AdminSource, question: TrafficQuestion): Promise<TrafficAnswer> {
  const { logging } = source.config();
  const answer = await source.askTraffic(logging, question);
  if (answer.kind === "unreadable") {
    if (!logging.enabled) throw logIsOff();
    throw new AdminFailure("conflict", answer.message);
  }
  if (answer.kind === "busy") {
    throw new AdminFailure("unavailable", answer.message, { headers: { "retry-after": "5" } });
  }
  return answer;
}

function logIsOff(): AdminFailure {
  return new AdminFailure("conflict", "no traffic is recorded: logging.enabled is false");
}

function readQuery(c: Context<AdminEnv>, more: readonly string[]): Map<string, string> {
  const known: readonly string[] = [...TRAFFIC_QUERY, ...more];
  const query = new Map<string, string>();
  for (const [name, value] of Object.entries(c.req.query())) {
    if (!known.includes(name)) {
      throw new AdminFailure(
        "bad_request",
        `unknown parameter ${JSON.stringify(name.slice(0, 100))}, known are ${known.join(", ")}`,
      );
    }
    // A form sends its empty fields too.
    if (value !== "") query.set(name, value);
  }
  return query;
}

function readFilter(query: Map<string, string>): TrafficFilter {
  const time = "a time ago such as 30m, 1h or 2d, or a time such as 2026-11-23T20:25:00Z";
  const now = Date.now();
  return {
    sinceMs: read(query, "since", (text) => parseTime(text, now), time),
    untilMs: read(query, "until", (text) => parseTime(text, now), time),
    host: query.get("host")?.toLowerCase() ?? null,
    pathPrefix: query.get("path") ?? null,
    status: read(query, "status", parseStatus, "404, 5xx or 500-599"),
    target: query.get("target") ?? null,
    clientIp: query.get("client_ip") ?? null,
    minDurationMs: read(query, "min_duration", parseMilliseconds, "milliseconds, such as 250"),
    requestId: query.get("request_id") ?? null,
  };
}

function readLimit(query: Map<string, string>): number {
  const parse = (text: string) => {
    const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    return limit >= 1 && limit <= MAX_TRAFFIC_LIMIT ? limit : null;
  };
  return read(query, "limit", parse, `a number from 1 to ${MAX_TRAFFIC_LIMIT}`) ?? DEFAULT_LIMIT;
}

function readChoice<T extends string>(
  query: Map<string, string>,
  name: string,
  choices: readonly T[],
): T | null {
  return read(query, name, (text) => choices.find((choice) => choice === text) ?? null, choices.join(", "));
}

function parseMilliseconds(text: string): number | null {
  return /^\d{1,12}(\.\d{1,3})?$/.test(text) ? Number(text) : null;
}

/** Null if it was not given. */
function read<T>(
  query: Map<string, string>,
  name: string,
  parse: (text: string) => T | null,
  wanted: string,
): T | null {
  const text = query.get(name);
  if (text === undefined) return null;
  const value = parse(text);
  if (value === null) {
    throw new AdminFailure(
      "bad_request",
      `${name} is ${JSON.stringify(text.slice(0, 100))}, wanted ${wanted}`,
    );
  }
  return value;
}
