/** Statistics in parts: what several threads or connections gather is what one would have gathered. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { lineStart, partsForward } from "../../../src/traffic/file_lines.ts";
import { FileReader } from "../../../src/traffic/file_reader.ts";
import { addFigures } from "../../../src/traffic/file_scan.ts";
import { type FileStatsJob, partsOf } from "../../../src/traffic/file_stats.ts";
import { NO_FILTER, type TrafficFilter } from "../../../src/traffic/filter.ts";
import { LineFigures } from "../../../src/traffic/line_figures.ts";
import { PartQueue } from "../../../src/traffic/part_queue.ts";
import { connect } from "../../../src/traffic/postgres_schema.ts";
import { PostgresSink } from "../../../src/traffic/postgres_sink.ts";
import { postgresStats } from "../../../src/traffic/postgres_stats.ts";
import { type Helpers, STATS_KEYS, type StatsGroup } from "../../../src/traffic/reader.ts";
import {
  decodeLine,
  encodeRecord,
  isError,
  type TrafficRecord,
  type TrafficRow,
} from "../../../src/traffic/record.ts";
import { help, shareStats, type StatsJob } from "../../../src/traffic/shared_stats.ts";
import { openForWriting } from "../../../src/traffic/sqlite_schema.ts";
import { SqliteReader } from "../../../src/traffic/sqlite_reader.ts";
import { SqliteSink } from "../../../src/traffic/sqlite_sink.ts";
import { StatsGroups } from "../../../src/traffic/stats_groups.ts";
import { requiresPostgres, startPostgres } from "../../support/postgres.ts";
import { makeBatch, makeRecord, NOON, TestClock, withFolder } from "../../support/traffic.ts";

const TRAFFIC = Array.from({ length: 2_000 }, (_, index) =>
  makeRecord(index, {
    timestampMs: NOON + index * 500,
    durationMs: (index * 7919 % 100_000) / 1000,
    statusCode: [200, 200, 204, 404, 502][index % 5],
    errorMessage: index % 10 === 4 ? "connect_refused: gone" : null,
    target: index % 6 === 0 ? null : `target-${index % 3}`,
    responseSize: index,
  }));

const HELPERS: Helpers = {
  count: 2,
  module: new URL("../../../src/runtime/stats_thread.ts", import.meta.url),
};

function byKey(groups: StatsGroup[]): StatsGroup[] {
  return groups.toSorted((a, b) => a.key < b.key ? -1 : 1);
}

/** The same groups from whole records, with no help of what is tested. */
function gathered(records: TrafficRecord[], by: typeof STATS_KEYS[number] | null): StatsGroup[] {
  const groups = new StatsGroups();
  for (const record of records) {
    const row: TrafficRow = JSON.parse(encodeRecord(record));
    const key = by === null
      ? ""
      : by === "minute"
      ? row.timestamp.slice(0, 16)
      : by === "status"
      ? String(row.status_code)
      : row[by] ?? "";
    const bytes = row.request_size + row.response_size;
    groups.add(key, isError(row), bytes, Math.round(row.duration_ms * 1000));
  }
  return byKey(groups.result());
}

function writeFile(folder: string, records: TrafficRecord[]): string {
  const path = `${folder}/traffic-2026-03-10.log`;
  Deno.writeTextFileSync(path, makeBatch(records).lines);
  return path;
}

async function writeSqlite(folder: string, records: TrafficRecord[]): Promise<string> {
  const path = `${folder}/traffic.db`;
  const sink = new SqliteSink(path, new TestClock());
  sink.open();
  sink.write(new SinkBatch(makeBatch(records).lines, records.length));
  await sink.close();
  return path;
}

Deno.test("parts of a file: every line is in one of them, wherever they are cut", () =>
  withFolder((folder) =>
    fc.assert(
      fc.property(
        fc.array(fc.nat(60), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 200 }),
        fc.boolean(),
        (lengths, partBytes, isTorn) => {
          const lines = lengths.map((length, index) => `${index}${"ü".repeat(length)}\n`);
          const path = `${folder}/lines`;
          Deno.writeTextFileSync(path, lines.join("") + (isTorn ? "torn" : ""));
          const parts = partsOf([{ path, size: Deno.statSync(path).size }], null, partBytes);
          const found = parts.toReversed().flatMap(({ from, to }) => [
            ...partsForward(path, lineStart(path, from), to),
          ]);
          assert.equal(found.join(""), lines.join(""));
        },
      ),
      { numRuns: 200 },
    )
  ));

Deno.test("parts of a file: those are left out that were written before the time", () =>
  withFolder((folder) => {
    const path = writeFile(folder, TRAFFIC);
    const size = Deno.statSync(path).size;
    const partBytes = Math.ceil(size / 20);
    const files = [{ path, size }];
    assert.equal(partsOf(files, null, partBytes).length, 20);
    assert.equal(partsOf(files, NOON, partBytes).length, 20);
    // The last tenth of the time, a minute's allowance, and the part in which that begins.
    assert.equal(partsOf(files, NOON + 1_800 * 500, partBytes).length, 4);
  }));

Deno.test("FileReader, SqliteReader: statistics in many parts, with helpers, are those of the whole", () =>
  withFolder(async (folder) => {
    writeFile(folder, TRAFFIC);
    const sqlite = await writeSqlite(folder, TRAFFIC);
    const filter: TrafficFilter = { ...NO_FILTER, sinceMs: NOON + 200_000, untilMs: NOON + 900_000 };
    const inRange = TRAFFIC.slice(400, 1_800);
    for (const reader of [new FileReader(folder, HELPERS, 10_000), new SqliteReader(sqlite, HELPERS, 20)]) {
      for (const by of [null, ...STATS_KEYS]) {
        assert.deepEqual(byKey(await reader.stats(NO_FILTER, by)), gathered(TRAFFIC, by));
        assert.deepEqual(byKey(await reader.stats(filter, by)), gathered(inRange, by));
      }
      await reader.close();
    }
  }));

Deno.test({
  name: "PostgreSQL: statistics in many parts over several connections are those of the whole",
  ...requiresPostgres(),
  async fn() {
    const server = await startPostgres();
    try {
      const options = { url: await server.newDatabase(), maxConnections: 3, connectionTimeoutMs: 5_000 };
      const sink = new PostgresSink(options, new TestClock());
      await sink.open();
      await sink.write(new SinkBatch(makeBatch(TRAFFIC).lines, TRAFFIC.length));
      await sink.close();
      const sql = await connect(options);
      const statements: string[] = [];
      sql.options.debug = (_connection, text) => statements.push(text);
      for (const by of [null, ...STATS_KEYS]) {
        const found = await postgresStats(sql, 3, NO_FILTER, by, 100);
        assert.deepEqual(byKey(found), gathered(TRAFFIC, by));
      }
      assert.equal(statements.filter((text) => text.includes("json_agg")).length, 20 * 5);
      await sql.end();
    } finally {
      await server.remove();
    }
  },
});

/** Jobs of many parts over the same records. */
async function makeJobs(folder: string): Promise<StatsJob[]> {
  const path = writeFile(folder, TRAFFIC);
  const question = { filter: NO_FILTER, by: "host" as const };
  const sqlite = await writeSqlite(folder, TRAFFIC);
  return [
    { kind: "files", ...question, parts: partsOf([{ path, size: Deno.statSync(path).size }], null, 10_000) },
    {
      kind: "sqlite",
      path: sqlite,
      ...question,
      parts: Array.from({ length: 40 }, (_, at) => ({ from: at * 50 + 1, to: at * 50 + 51 })),
    },
  ];
}

/** Waits without the event loop, which a thread that scans does not run either. */
function waitForHelper(queue: PartQueue): void {
  const cells = new Int32Array(queue.buffer);
  for (let turn = 0; turn < 1_500 && Atomics.load(cells, 1) === 0; turn++) Atomics.wait(cells, 1, 0, 20);
}

Deno.test("shareStats: a helper does all that this thread leaves, while this one is busy", () =>
  withFolder(async (folder) => {
    for (const job of await makeJobs(folder)) {
      const found = await shareStats(job, { ...HELPERS, count: 1 }, waitForHelper);
      assert.deepEqual(byKey(found), gathered(TRAFFIC, "host"), job.kind);
    }
  }));

Deno.test("shareStats: a helper that fails fails the question", () =>
  withFolder(async (folder) => {
    const path = `${folder}/gone.log`;
    const parts = Array.from({ length: 30 }, () => ({ path, from: 0, to: 10 }));
    const job: FileStatsJob = { kind: "files", filter: NO_FILTER, by: null, parts };
    await assert.rejects(
      shareStats(job, { ...HELPERS, count: 1 }, waitForHelper),
      /gathers statistics failed: .*gone\.log/s,
    );
  }));

Deno.test("PartQueue gives each part to one thread, and waits for no helper that has none", async () => {
  await withFolder(async (folder) => {
    const [job] = await makeJobs(folder);
    const queue = PartQueue.make(job.parts.length, 2);
    // The first helper has its turn, the second comes when this thread has ended.
    const first = await help({ job, queue: queue.buffer, helper: 0 });
    assert.deepEqual([...queue.mine()], []);
    assert.equal(queue.isWaitedFor(0), true);
    assert.equal(queue.isWaitedFor(1), false);
    assert.equal(await help({ job, queue: queue.buffer, helper: 1 }), null);
    const groups = new StatsGroups();
    groups.merge(first ?? []);
    assert.deepEqual(byKey(groups.result()), gathered(TRAFFIC, "host"));
  });
});

const oddText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom('","status_code":1,"', '"host":"x"', "null", "\\", "a,b", "12.5"),
);

Deno.test("LineFigures reads of a line's text what its record says", () => {
  fc.assert(
    fc.property(
      fc.record({
        requestId: oddText,
        host: oddText,
        method: oddText,
        path: oddText,
        target: fc.option(oddText),
        statusCode: fc.integer({ min: 100, max: 999 }),
        durationMs: fc.oneof(
          fc.nat(10_000_000).map((value) => value / 1000),
          fc.double({ min: 0, max: 1e9, noNaN: true }),
          fc.constantFrom(1e21, 1e-7, 0),
        ),
        requestSize: fc.nat(),
        responseSize: fc.maxSafeNat(),
        userAgent: fc.option(oddText),
        errorMessage: fc.option(oddText),
      }),
      (change) => {
        const line = encodeRecord(makeRecord(1, change));
        const row = decodeLine(line);
        assert.ok(row !== null);
        const figures = new LineFigures();
        // In the middle of others, whose values must not be taken for this line's.
        const text = `${encodeRecord(makeRecord(2))}${line}${encodeRecord(makeRecord(3))}`;
        const start = text.indexOf("\n") + 1;
        const { length } = line;
        const isRead = figures.read(text, start, start + length - 1);
        assert.equal(isRead, !/[e]/.test(String(row.duration_ms)), line);
        if (!isRead) return;
        assert.deepEqual(
          [figures.statusCode, figures.durationUs, figures.bytes, figures.isError],
          [
            row.status_code,
            Math.round(row.duration_ms * 1000),
            row.request_size + row.response_size,
            isError(row),
          ],
          line,
        );
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("LineFigures leaves lines of another form to be parsed, whatever the next line has", () => {
  const regular = encodeRecord(makeRecord(1, { durationMs: 2.25 }));
  const other = (from: string | RegExp, to: string) => {
    assert.notEqual(regular.replace(from, to), regular);
    return regular.replace(from, to);
  };
  const figures = new LineFigures();
  const isRead = (line: string) => figures.read(line + regular, 0, line.length - 1);
  assert.equal(isRead(regular), true);
  for (
    const line of [
      other('"duration_ms":2.25', '"duration_ms":2.25000001'),
      other('"duration_ms":2.25', '"duration_ms":-2.25'),
      other('"status_code":200', '"status_code":'),
      other('"status_code":200', '"status_code":200.5'),
      other('"status_code"', '"stated_code"'),
      other('"duration_ms"', '"elapsed__ms"'),
      other('"request_size"', '"received_all"'),
      other('"response_size"', '"delivered_all"'),
      other('"response_size":100,', '"response_size":100 ,'),
      other('"error_message":null,', ""),
    ]
  ) assert.equal(isRead(line), false, line);
});

Deno.test("addFigures parses lines of another form than the proxy's, and passes over what is no record", () => {
  const regular = encodeRecord(makeRecord(1, { durationMs: 2.25 }));
  const row = JSON.parse(regular);
  const { host, target, ...others } = row;
  const lines = [
    regular.trimEnd(),
    JSON.stringify({ host, target, ...others }),
    JSON.stringify(row, null, 1).replaceAll("\n", ""),
    JSON.stringify({ ...row, duration_ms: 2.25, status_code: 200, extra: 1 }),
    regular.trimEnd().replace('"duration_ms":2.25', '"duration_ms":0.225e1'),
    regular.slice(0, 200),
    "[]",
    "",
  ];
  const groups = new StatsGroups();
  addFigures(lines.map((line) => `${line}\n`).join(""), NO_FILTER, "host", groups);
  const [{ key, requests, bytes, p50Ms }, ...none] = groups.result();
  assert.deepEqual([key, requests, bytes, none], ["b.example.com", 5, 5 * 110, []]);
  assert.ok(Math.abs(p50Ms - 2.25) < 0.01);
});

Deno.test("SqliteReader: the newest that match come first in a table of many rows, rare or not", () =>
  withFolder(async (folder) => {
    const path = `${folder}/traffic.db`;
    const database = openForWriting(path);
    // Rows are not in the order of their times, and many have the same one.
    database.exec(
      `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 120000)
       INSERT INTO traffic_logs (id, timestamp, client_ip, host, method, path, target, status_code, duration_ms,
         request_size, response_size, created_at, request_id, retries, protocol, worker)
       SELECT printf('%06d', n * 7919 % 120000), strftime('%Y-%m-%dT%H:%M:%fZ', 1770000000 + n / 3 + n % 50, 'unixepoch'),
         '10.0.0.' || (n % 200), CASE WHEN n % 1000 = 0 THEN 'rare' WHEN n < 5000 THEN 'old' ELSE 'usual' END,
         'GET', '/', NULL, 200, n, 0, 0, '', '', 0, '', 0 FROM numbers`,
    );
    const expected = (host: string) =>
      database.prepare(
        `SELECT id FROM traffic_logs WHERE host = ? ORDER BY timestamp DESC, id DESC`,
      ).all(host).map(({ id }) => id);
    const wanted = ["usual", "rare", "old", "none"].map((host) => ({ host, ids: expected(host) }));
    database.close();
    assert.deepEqual(wanted.map(({ ids }) => ids.length), [114_885, 120, 4_995, 0]);
    const reader = new SqliteReader(path);
    for (const { host, ids } of wanted) {
      for (const limit of [1, 60, 4_000, 60_000, 0]) {
        const found = await Array.fromAsync(reader.query({ ...NO_FILTER, host }, limit));
        const count = limit === 0 ? ids.length : limit;
        assert.deepEqual(found.map(({ id }) => id), ids.slice(0, count), `${host}, limit ${limit}`);
      }
    }
    await reader.close();
  }));
