/** `dispa traffic`: asks the traffic log, wherever the configuration keeps it. */

import { loadConfig } from "../config/load.ts";
import type { LoggingConfig } from "../config/model.ts";
import { formatProblem } from "../config/problem.ts";
import { parseStatus, parseTime, type TrafficFilter } from "../traffic/filter.ts";
import { pruneTraffic } from "../traffic/prune.ts";
import { openReader } from "../traffic/query.ts";
import {
  STATS_KEYS,
  type StatsGroup,
  type StatsKey,
  type TrafficReader,
  type TrafficSource,
} from "../traffic/reader.ts";
import { TrafficOpenError } from "../traffic/sink.ts";
import { CONFIG_FLAGS, configSource } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { threadModule } from "../thread_module.ts";
import { type FlagTable, nearest, parseFlags, UsageError } from "./flags.ts";
import { formatRecord, formatStats, type OutputForm, recordHeader } from "./traffic_output.ts";

const HELP = `Usage: dispa traffic query|stats|tail|prune [-c FILE] [flags]

Asks the traffic log: the files, the SQLite or the PostgreSQL database that the configuration names.

  query    the newest records that match, newest first
  stats    requests, errors (5xx or failed), p50/p95/p99 of the duration and body bytes of what matches
  tail     follows the log and prints what matches as it is written (an interrupt ends it)
  prune    removes records older than retention_days, or than --older-than

Which records (all of query, stats and tail):
      --since TIME         from 90s, 30m, 1h, 2d or 1w ago, or from 2026-11-23 or 2026-11-23T20:25:00Z
      --until TIME         up to a time of the same forms
      --host HOST          this host exactly
      --path PREFIX        paths that begin so
      --status STATUS      404, 5xx or 500-599
      --target NAME        this target
      --client-ip IP       this client
      --min-duration MS    requests that took at least so many milliseconds
      --request-id ID      this X-Request-Id

What is shown:
      --limit N            query: at most N records, 0 for all (default 100); stats: the N largest groups
      --by KEY             stats: one line for each host, target, status or minute
      --json               one JSON object a line
      --csv                RFC 4180, with a header
      --from SOURCE        file or database, where the configuration has both (default: database)

Other:
      --older-than TIME    prune: 30d, 12h or a date; files go when their whole day is older
  -c, --config FILE        configuration (default: config/config.toml, or $DISPA_CONFIG)

Exit codes: 0 ok, 1 configuration error, 3 the log cannot be read, 64 wrong usage.

Examples:
  dispa traffic query --since 1h --status 5xx
  dispa traffic query --host api.example.com --path /v1/ --min-duration 500 --json
  dispa traffic stats --since 1d --by target
  dispa traffic tail --client-ip 203.0.113.7
  dispa traffic prune --older-than 30d
`;

/** The world as a command sees it. */
export interface TrafficIo {
  /** To standard output. */
  write(text: string): void;
  /** A message to standard error, without its line end. */
  complain(message: string): void;
  nowMs(): number;
  /** Ends `tail`. */
  signal: AbortSignal;
}

/** Reads `logging` of the configuration; null where that has errors, which are printed then. */
export type LoadLogging = (configPath: string | undefined) => Promise<LoggingConfig | null>;

const OUTPUT_FLAGS = {
  json: { type: "boolean" },
  csv: { type: "boolean" },
  from: { type: "string" },
} as const satisfies FlagTable;

const COMMON_FLAGS = {
  config: CONFIG_FLAGS.config,
  help: { type: "boolean", short: "h" },
} as const satisfies FlagTable;

const FILTER_FLAGS = {
  since: { type: "string" },
  until: { type: "string" },
  host: { type: "string" },
  path: { type: "string" },
  status: { type: "string" },
  target: { type: "string" },
  "client-ip": { type: "string" },
  "min-duration": { type: "string" },
  "request-id": { type: "string" },
} as const satisfies FlagTable;

type FilterValues = { [Name in keyof typeof FILTER_FLAGS]?: string };

const COMMANDS = { query, stats, tail, prune };

const DEFAULT_LIMIT = 100;

/** The command with this process's streams, signals and configuration. */
export async function traffic(args: string[]): Promise<number> {
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  const encoder = new TextEncoder();
  try {
    return await runTraffic(args, {
      write: (text) => writeAll(encoder.encode(text)),
      complain: (message) => console.error(`dispa: ${message}`),
      nowMs: () => Date.now(),
      signal: controller.signal,
    }, loadLogging);
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
  }
}

/** Returns the exit code. Throws `UsageError`. */
export async function runTraffic(args: string[], io: TrafficIo, load: LoadLogging): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.write(HELP);
    return name === undefined ? ExitCode.Usage : ExitCode.Ok;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    const near = nearest(name, Object.keys(COMMANDS));
    throw new UsageError(
      `unknown command "traffic ${name}"${near === null ? "" : `, did you mean "traffic ${near}"?`}`,
    );
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.write(HELP);
    return ExitCode.Ok;
  }
  try {
    return await COMMANDS[name as keyof typeof COMMANDS](rest, io, load);
  } catch (error) {
    // The reader has seen enough, as with "| head".
    if (error instanceof Deno.errors.BrokenPipe) return ExitCode.Ok;
    if (!(error instanceof TrafficOpenError)) throw error;
    io.complain(error.message);
    return ExitCode.DatabaseError;
  }
}

async function query(args: string[], io: TrafficIo, load: LoadLogging): Promise<number> {
  const { values } = parseFlags(args, {
    ...COMMON_FLAGS,
    ...FILTER_FLAGS,
    ...OUTPUT_FLAGS,
    limit: { type: "string" },
  });
  const filter = readFilter(values, io.nowMs());
  const limit = readLimit(values.limit, DEFAULT_LIMIT);
  const form = readForm(values);
  return await withReader(values, load, async (reader) => {
    const output = new Output(io);
    output.write(recordHeader(form));
    for await (const row of reader.query(filter, limit)) output.write(formatRecord(row, form));
    output.flush();
  });
}

async function stats(args: string[], io: TrafficIo, load: LoadLogging): Promise<number> {
  const { values } = parseFlags(args, {
    ...COMMON_FLAGS,
    ...FILTER_FLAGS,
    ...OUTPUT_FLAGS,
    limit: { type: "string" },
    by: { type: "string" },
  });
  const filter = readFilter(values, io.nowMs());
  const limit = readLimit(values.limit, 0);
  const form = readForm(values);
  const by = readBy(values.by);
  return await withReader(values, load, async (reader) => {
    const groups = await reader.stats(filter, by);
    if (by === null && groups.length === 0) groups.push(NOTHING);
    groups.sort((a, b) =>
      by === "minute" ? compare(a.key, b.key) : b.requests - a.requests || compare(a.key, b.key)
    );
    io.write(formatStats(limit === 0 ? groups : groups.slice(0, limit), by, form));
  });
}

async function tail(args: string[], io: TrafficIo, load: LoadLogging): Promise<number> {
  const { values } = parseFlags(args, { ...COMMON_FLAGS, ...FILTER_FLAGS, ...OUTPUT_FLAGS });
  const filter = readFilter(values, io.nowMs());
  const form = readForm(values);
  return await withReader(values, load, async (reader) => {
    const rows = await reader.tail(filter, io.signal);
    io.write(recordHeader(form));
    for await (const row of rows) io.write(formatRecord(row, form));
  });
}

async function prune(args: string[], io: TrafficIo, load: LoadLogging): Promise<number> {
  const { values } = parseFlags(args, { ...COMMON_FLAGS, "older-than": { type: "string" } });
  const olderThan = values["older-than"];
  const givenMs = olderThan === undefined ? null : readTime("older-than", olderThan, io.nowMs());
  const logging = await load(values.config);
  if (logging === null) return ExitCode.ConfigError;
  if (givenMs === null && logging.retentionDays === 0) {
    throw new UsageError(
      "retention_days is 0, which keeps records for ever: say what to remove by --older-than 30d",
    );
  }
  const { files, rows } = await pruneTraffic(
    logging,
    givenMs ?? io.nowMs() - logging.retentionDays * 86_400_000,
  );
  for (const file of files) io.write(`removed ${file}\n`);
  io.write(`removed ${files.length} file(s) and ${rows} row(s)\n`);
  return ExitCode.Ok;
}

/** More than three find little more to do: disks and databases have their limits, too. */
const MOST_HELPERS = 3;

/** What statistics say where nothing matches. */
const NOTHING: StatsGroup = { key: "", requests: 0, errors: 0, bytes: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0 };

/** Runs with the configured log open. */
async function withReader(
  values: { config?: string; from?: string },
  load: LoadLogging,
  run: (reader: TrafficReader) => Promise<void>,
): Promise<number> {
  const source = readSource(values.from);
  const logging = await load(values.config);
  if (logging === null) return ExitCode.ConfigError;
  const reader = await openReader(logging, source, {
    count: Math.min(navigator.hardwareConcurrency - 1, MOST_HELPERS),
    module: threadModule("runtime/stats_thread"),
  });
  try {
    await run(reader);
  } finally {
    await reader.close();
  }
  return ExitCode.Ok;
}

function readFilter(values: FilterValues, nowMs: number): TrafficFilter {
  const { since, until, status } = values;
  const minDuration = values["min-duration"];
  return {
    sinceMs: since === undefined ? null : readTime("since", since, nowMs),
    untilMs: until === undefined ? null : readTime("until", until, nowMs),
    host: values.host?.toLowerCase() ?? null,
    pathPrefix: values.path ?? null,
    status: status === undefined ? null : readWith(parseStatus, "status", status, "404, 5xx or 500-599"),
    target: values.target ?? null,
    clientIp: values["client-ip"] ?? null,
    minDurationMs: minDuration === undefined
      ? null
      : readWith(parseMilliseconds, "min-duration", minDuration, "milliseconds, such as 250"),
    requestId: values["request-id"] ?? null,
  };
}

function readTime(flag: string, text: string, nowMs: number): number {
  const wanted = "a time ago such as 30m, 1h or 2d, or a time such as 2026-11-23T20:25:00Z";
  return readWith((value) => parseTime(value, nowMs), flag, text, wanted);
}

function readLimit(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  return readWith(
    (value) => /^\d{1,9}$/.test(value) ? Number(value) : null,
    "limit",
    text,
    "a number, 0 for all",
  );
}

function readBy(text: string | undefined): StatsKey | null {
  if (text === undefined) return null;
  return readWith(
    (value) => STATS_KEYS.find((key) => key === value) ?? null,
    "by",
    text,
    STATS_KEYS.join(", "),
  );
}

function readSource(text: string | undefined): TrafficSource | null {
  if (text === undefined) return null;
  const sources = ["file", "database"] as const;
  return readWith((value) => sources.find((key) => key === value) ?? null, "from", text, "file or database");
}

function readForm(values: { json?: boolean; csv?: boolean }): OutputForm {
  if (values.json && values.csv) throw new UsageError("--json and --csv exclude each other");
  return values.json ? "json" : values.csv ? "csv" : "table";
}

function readWith<T>(parse: (text: string) => T | null, flag: string, text: string, wanted: string): T {
  const value = parse(text);
  if (value === null) throw new UsageError(`--${flag} is "${text}", wanted is ${wanted}`);
  return value;
}

function parseMilliseconds(text: string): number | null {
  return /^\d{1,12}(\.\d{1,3})?$/.test(text) ? Number(text) : null;
}

/** Gathers small pieces: a write for each of a million records would take longer than finding them. */
class Output {
  #text = "";
  constructor(private readonly io: TrafficIo) {}

  write(text: string): void {
    this.#text += text;
    if (this.#text.length > 64 * 1024) this.flush();
  }

  flush(): void {
    if (this.#text !== "") this.io.write(this.#text);
    this.#text = "";
  }
}

async function loadLogging(configPath: string | undefined): Promise<LoggingConfig | null> {
  const { path, load } = configSource({ config: configPath }, false);
  const result = await loadConfig(path, load);
  if (result.ok) return result.config.logging;
  for (const problem of result.problems) console.error(formatProblem(problem));
  return null;
}

function writeAll(bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
