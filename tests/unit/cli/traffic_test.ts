import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { ExitCode } from "../../../src/cli/exit_codes.ts";
import { UsageError } from "../../../src/cli/flags.ts";
import { runTraffic, type TrafficIo } from "../../../src/cli/traffic.ts";
import type { LoggingConfig } from "../../../src/config/model.ts";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { configuredSinks } from "../../../src/traffic/sinks.ts";
import {
  makeBatch,
  makeLogging,
  makeRecord,
  makeRecords,
  MemoryLog,
  NOON,
  TestClock,
  withFolder,
} from "../../support/traffic.ts";

const RECORDS = [
  makeRecord(1, { timestampMs: NOON - 7_200_000, statusCode: 200 }),
  makeRecord(2, { timestampMs: NOON - 600_000, statusCode: 502, errorMessage: 'connect_refused: a, "b"' }),
  makeRecord(3, {
    timestampMs: NOON - 60_000,
    path: "/\u001b[31m\nred\u202e",
    durationMs: 1234.5,
    target: null,
  }),
];

async function fill(logging: LoggingConfig, records = RECORDS): Promise<void> {
  for (const { sink } of configuredSinks(logging, new TestClock(), new MemoryLog().log)) {
    await sink.open();
    const { lines, count } = makeBatch(records);
    await sink.write(new SinkBatch(lines, count));
    await sink.close();
  }
}

async function dispaTraffic(args: string[], logging: LoggingConfig | null, change: Partial<TrafficIo> = {}) {
  let output = "";
  let complaints = "";
  const code = await runTraffic(args, {
    write: (text) => output += text,
    complain: (message) => complaints += `${message}\n`,
    nowMs: () => NOON,
    signal: AbortSignal.abort(),
    ...change,
  }, () => Promise.resolve(logging));
  return { code, output, complaints };
}

function withLog(type: "file" | "database", run: (logging: LoggingConfig) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const logging = makeLogging(folder, { type });
    await fill(logging);
    await run(logging);
  });
}

Deno.test("traffic query prints a table, newest first, that no client can steer the terminal with", () =>
  withLog("file", async (logging) => {
    const { code, output } = await dispaTraffic(["query", "--since", "1h"], logging);
    assert.equal(code, ExitCode.Ok);
    assert.deepEqual(output.split("\n").map((line) => line.replace(/ +/g, " ")), [
      "TIME (UTC) STATUS MS BYTES CLIENT TARGET HOST REQUEST",
      "2026-03-10 11:59:00.000 200 1234.5 100 10.0.0.3 - a.example.com GET /\\u{1b}[31m\\u{a}red\\u{202e}",
      '2026-03-10 11:50:00.000 502 1.5 100 10.0.0.2 east c.example.com GET /items/2 (connect_refused: a, "b")',
      "",
    ]);
  }));

Deno.test("traffic query --json prints the records as they were written", () =>
  withLog("database", async (logging) => {
    const { output } = await dispaTraffic(["query", "--json", "--limit", "0"], logging);
    assert.equal(output, makeBatch(RECORDS.toReversed()).lines);
  }));

Deno.test("traffic query --csv follows RFC 4180", () =>
  withLog("file", async (logging) => {
    const { output } = await dispaTraffic(["query", "--csv", "--status", "5xx"], logging);
    const [header, row] = output.split("\r\n");
    assert.ok(header.startsWith("id,timestamp,request_id,client_ip,host,method,path,target,status_code,"));
    assert.ok(row.includes(',"connect_refused: a, ""b""",,1.25,0,http/1.1,0'), row);
  }));

Deno.test("traffic query understands every filter, and all of them together", () =>
  withLog("file", async (logging) => {
    const filters: [string[], string[]][] = [
      [["--until", "2026-03-10T11:00:00Z"], ["request-1"]],
      [["--host", "A.example.com"], ["request-3"]],
      [["--path", "/items/"], ["request-2", "request-1"]],
      [["--status", "200"], ["request-3", "request-1"]],
      [["--target", "east"], ["request-2"]],
      [["--client-ip", "10.0.0.1"], ["request-1"]],
      [["--min-duration", "1234.5"], ["request-3"]],
      [["--request-id", "request-2"], ["request-2"]],
      [["--limit", "1"], ["request-3"]],
      [["--path", "/items/", "--status", "5xx", "--target", "east", "--since", "1h"], ["request-2"]],
    ];
    for (const [flags, expected] of filters) {
      const { output } = await dispaTraffic(["query", "--json", ...flags], logging);
      const found = output.trimEnd().split("\n").map((line) => JSON.parse(line).request_id);
      assert.deepEqual(found, expected, flags.join(" "));
    }
  }));

Deno.test("traffic stats prints totals, groups by size, and zeros where nothing matches", () =>
  withLog("database", async (logging) => {
    const all = await dispaTraffic(["stats", "--json"], logging);
    assert.deepEqual(JSON.parse(all.output), {
      requests: 3,
      errors: 1,
      p50_ms: 1.5,
      p95_ms: 1230,
      p99_ms: 1230,
      bytes: 330,
    });
    const none = await dispaTraffic(["stats", "--host", "nowhere", "--json"], logging);
    assert.equal(JSON.parse(none.output).requests, 0);
    const grouped = await dispaTraffic(["stats", "--by", "status"], logging);
    assert.deepEqual(grouped.output.split("\n").map((line) => line.trim().replace(/ +/g, " ")), [
      "STATUS REQUESTS ERRORS P50_MS P95_MS P99_MS BYTES",
      "200 2 0 1.5 1230 1230 220",
      "502 1 1 1.5 1.5 1.5 110",
      "",
    ]);
    const minutes = await dispaTraffic(["stats", "--by", "minute", "--csv", "--limit", "1"], logging);
    assert.deepEqual(minutes.output.split("\r\n"), [
      "minute,requests,errors,p50_ms,p95_ms,p99_ms,bytes",
      "2026-03-10T10:00,1,0,1.5,1.5,1.5,110",
      "",
    ]);
  }));

Deno.test("traffic tail prints what is written while it runs, and ends with an interrupt", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder, { type: "database" });
    await fill(logging);
    const controller = new AbortController();
    let output = "";
    const { code } = await dispaTraffic(["tail", "--json", "--status", "503"], logging, {
      signal: controller.signal,
      write(text) {
        output += text;
        // The header's place in the output says that it follows from here on.
        if (text === "") void fill(logging, makeRecords(10, 3, { statusCode: 503 }));
        if (output.split("\n").length === 4) controller.abort();
      },
    });
    assert.equal(code, ExitCode.Ok);
    assert.deepEqual(
      output.trimEnd().split("\n").map((line) => JSON.parse(line).request_id),
      ["request-10", "request-11", "request-12"],
    );
  }));

Deno.test("traffic prune removes by retention_days or --older-than, from files and rows", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder, { type: "both", retentionDays: 30 });
    await fill(logging);
    Deno.writeTextFileSync(`${folder}/logs/traffic-2026-01-01.log`, "");
    const first = await dispaTraffic(["prune"], logging);
    assert.equal(
      first.output,
      `removed ${folder}/logs/traffic-2026-01-01.log\nremoved 1 file(s) and 0 row(s)\n`,
    );
    const second = await dispaTraffic(["prune", "--older-than", "1h"], logging);
    assert.equal(second.output, "removed 0 file(s) and 1 row(s)\n");
    using database = new DatabaseSync(`${folder}/traffic.db`);
    assert.equal(database.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n, 2);
    await assert.rejects(dispaTraffic(["prune"], { ...logging, retentionDays: 0 }), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /retention_days is 0, which keeps records for ever/);
      return true;
    });
  }));

Deno.test("traffic with wrong usage says what was given and what is wanted", async () => {
  const cases: [string[], RegExp][] = [
    [["quary"], /unknown command "traffic quary", did you mean "traffic query"\?/],
    [["query", "--hots", "x"], /unknown flag --hots, did you mean --host\?/],
    [["query", "x"], /unexpected argument "x"/],
    [["query", "--since", "yesterday"], /--since is "yesterday", wanted is a time ago such as/],
    [["query", "--status", "6000"], /--status is "6000", wanted is 404, 5xx or 500-599/],
    [["query", "--min-duration", "1s"], /--min-duration is "1s", wanted is milliseconds/],
    [["query", "--limit", "-1"], /--limit/],
    [["query", "--json", "--csv"], /--json and --csv exclude each other/],
    [["query", "--from", "disk"], /--from is "disk", wanted is file or database/],
    [["stats", "--by", "day"], /--by is "day", wanted is host, target, status, minute/],
    [["prune", "--older-than", "old"], /--older-than is "old"/],
  ];
  for (const [args, message] of cases) {
    await assert.rejects(dispaTraffic(args, null), (error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("traffic ends with 3 where there is no log, 1 where the configuration is bad, 64 without a command", () =>
  withFolder(async (folder) => {
    const missing = await dispaTraffic(["query"], makeLogging(folder, { type: "database" }));
    assert.deepEqual([missing.code, missing.output], [ExitCode.DatabaseError, ""]);
    assert.match(missing.complaints, /there is no database at .*traffic\.db/);
    assert.equal((await dispaTraffic(["stats"], null)).code, ExitCode.ConfigError);
    assert.equal((await dispaTraffic([], null)).code, ExitCode.Usage);
    const help = await dispaTraffic(["query", "--help"], null);
    assert.equal(help.code, ExitCode.Ok);
    assert.match(help.output, /Examples:\n {2}dispa traffic query/);
  }));

Deno.test("traffic query ends quietly when its reader has seen enough", () =>
  withLog("file", async (logging) => {
    const { code } = await dispaTraffic(["query"], logging, {
      write: () => {
        throw new Deno.errors.BrokenPipe("Broken pipe");
      },
    });
    assert.equal(code, ExitCode.Ok);
  }));
