/** What every sink promises, run against each of them. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import postgres from "postgres";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { type Clock, utcDay } from "../../../src/traffic/clock.ts";
import { FileSink } from "../../../src/traffic/file_sink.ts";
import { listLogFiles } from "../../../src/traffic/file_names.ts";
import { PostgresSink } from "../../../src/traffic/postgres_sink.ts";
import { decodeLines, encodeRecord, isError } from "../../../src/traffic/record.ts";
import type { TrafficRecord, TrafficRow } from "../../../src/traffic/record.ts";
import type { Sink } from "../../../src/traffic/sink.ts";
import { SqliteSink } from "../../../src/traffic/sqlite_sink.ts";
import { type PostgresServer, requiresPostgres, startPostgres } from "../../support/postgres.ts";
import { makeBatch, makeRecord, makeRecords, NOON, TestClock, withFolder } from "../../support/traffic.ts";

interface Summary {
  date: string;
  total_requests: number;
  total_errors: number;
  avg_duration_ms: number;
  total_bytes: number;
  unique_ips: number;
}

/** One sink with what a test needs to look into it. */
interface Place {
  newSink: (clock: Clock) => Sink;
  count: () => Promise<number>;
  rows: () => Promise<TrafficRow[]>;
  /** Databases only. */
  summaries?: () => Promise<Summary[]>;
}

interface Kind {
  title: string;
  ignore: boolean;
  isDatabase: boolean;
  withPlace: (run: (place: Place) => Promise<void>) => Promise<void>;
}

const SUMMARY_COLUMNS = "total_requests, total_errors, avg_duration_ms, total_bytes, unique_ips";

const fileKind: Kind = {
  title: "FileSink",
  ignore: false,
  isDatabase: false,
  withPlace: (run) =>
    withFolder((directory) => {
      const rows = () =>
        listLogFiles(directory).flatMap((file) => decodeLines(Deno.readTextFileSync(file.path)));
      return run({
        newSink: (clock) => new FileSink({ directory, rotation: true, maxFileSizeBytes: 1_000_000 }, clock),
        count: () => Promise.resolve(rows().length),
        rows: () => Promise.resolve(rows()),
      });
    }),
};

const sqliteKind: Kind = {
  title: "SqliteSink",
  ignore: false,
  isDatabase: true,
  withPlace: (run) =>
    withFolder((folder) => {
      const path = `${folder}/data/traffic.db`;
      const all = (sql: string) => {
        using database = new DatabaseSync(path, { readOnly: true });
        return database.prepare(sql).all().map((row) => ({ ...row }));
      };
      return run({
        newSink: (clock) => new SqliteSink(path, clock),
        count: () => Promise.resolve(Number(all("SELECT count(*) AS n FROM traffic_logs")[0].n)),
        rows: () =>
          Promise.resolve(
            all("SELECT * FROM traffic_logs ORDER BY id").map(({ created_at, ...row }) => {
              assert.match(String(created_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
              return row as unknown as TrafficRow;
            }),
          ),
        summaries: () =>
          Promise.resolve(
            all(`SELECT date, ${SUMMARY_COLUMNS} FROM traffic_summary ORDER BY date`) as unknown as Summary[],
          ),
      });
    }),
};

let server: PostgresServer | null = null;

const postgresKind: Kind = {
  title: "PostgresSink",
  ...requiresPostgres(),
  isDatabase: true,
  async withPlace(run) {
    assert.ok(server !== null);
    const url = await server.newDatabase();
    const sql = postgres(url, {
      max: 1,
      types: { int8: { to: 20, from: [20], parse: Number, serialize: String } },
    });
    try {
      await run({
        newSink: (clock) => new PostgresSink({ url, maxConnections: 2, connectionTimeoutMs: 2_000 }, clock),
        count: async () => Number((await sql`SELECT count(*) AS n FROM traffic_logs`)[0].n),
        rows: async () =>
          (await sql`SELECT * FROM traffic_logs ORDER BY id`).map(({ created_at, timestamp, ...row }) => {
            assert.ok(created_at instanceof Date);
            return { ...row, timestamp: timestamp.toISOString() } as TrafficRow;
          }),
        summaries: () =>
          sql.unsafe<Summary[]>(
            `SELECT date::text, ${SUMMARY_COLUMNS} FROM traffic_summary ORDER BY date`,
          ).then((rows) => rows.map((row) => ({ ...row }))),
      });
    } finally {
      await sql.end();
    }
  },
};

function batchOf(records: TrafficRecord[]): SinkBatch {
  const { lines, count } = makeBatch(records);
  return new SinkBatch(lines, count);
}

const ODD_RECORDS = [
  makeRecord(1, {
    target: null,
    userAgent: null,
    errorMessage: null,
    route: null,
    upstreamMs: null,
    durationMs: 0,
    requestSize: 0,
  }),
  makeRecord(2, {
    path: `/ü/日本/😀?'"\\{},NULL`,
    host: "[2001:db8::1]",
    clientIp: "2001:db8::1",
    userAgent: "NULL",
    errorMessage: "reset: \t\r\n \u0001 {a,b} ' \" \\",
    route: "",
    responseSize: 2 ** 40,
    durationMs: 86_400_000.123,
    statusCode: 599,
  }),
];

for (const kind of [fileKind, sqliteKind, postgresKind]) {
  Deno.test({
    name: `${kind.title} keeps the sink contract`,
    ignore: kind.ignore,
    async fn(t) {
      if (kind === postgresKind) server = await startPostgres();
      try {
        await contract(t, kind);
        if (kind.isDatabase) await databaseContract(t, kind);
      } finally {
        await server?.remove();
        server = null;
      }
    },
  });
}

async function contract(t: Deno.TestContext, kind: Kind): Promise<void> {
  await t.step("every field comes back as it was written", () =>
    kind.withPlace(async ({ newSink, rows }) => {
      const sink = newSink(new TestClock());
      await sink.open();
      await sink.write(batchOf(ODD_RECORDS));
      await sink.close();
      assert.deepEqual(await rows(), ODD_RECORDS.map((record) => JSON.parse(encodeRecord(record))));
    }));

  await t.step("100,000 records are counted exactly", () =>
    kind.withPlace(async ({ newSink, count }) => {
      const sink = newSink(new TestClock());
      await sink.open();
      for (let first = 0; first < 100_000; first += 500) await sink.write(batchOf(makeRecords(first, 500)));
      await sink.close();
      assert.equal(await count(), 100_000);
    }));

  await t.step(
    "open may be called again at any time, also after close",
    () =>
      kind.withPlace(async ({ newSink, count }) => {
        const sink = newSink(new TestClock());
        await sink.open();
        await sink.write(batchOf(makeRecords(1, 1)));
        await sink.open();
        await sink.write(batchOf(makeRecords(2, 1)));
        await sink.close();
        await sink.open();
        await sink.write(batchOf(makeRecords(3, 1)));
        await sink.close();
        assert.equal(await count(), 3);
      }),
  );

  await t.step(
    "retention removes what is too old, 0 removes nothing",
    () =>
      kind.withPlace(async ({ newSink, rows }) => {
        const clock = new TestClock();
        const sink = newSink(clock);
        await sink.open();
        for (const daysAgo of [40, 31, 29, 0]) {
          const timestampMs = NOON - daysAgo * 86_400_000;
          clock.timeMs = timestampMs;
          await sink.write(batchOf(makeRecords(daysAgo, 1, { timestampMs })));
        }
        await sink.maintain(0);
        assert.equal((await rows()).length, 4);
        await sink.maintain(30);
        assert.deepEqual((await rows()).map((row) => row.request_id), ["request-29", "request-0"]);
        await sink.close();
      }),
  );
}

async function databaseContract(t: Deno.TestContext, kind: Kind): Promise<void> {
  await t.step(
    "a record written again is kept and counted once, also within one batch",
    () =>
      kind.withPlace(async ({ newSink, count, summaries }) => {
        const sink = newSink(new TestClock());
        await sink.open();
        await sink.write(batchOf([...makeRecords(1, 3), ...makeRecords(2, 3)]));
        await sink.write(batchOf(makeRecords(3, 4)));
        await sink.close();
        assert.equal(await count(), 6);
        assert.equal((await summaries!())[0].total_requests, 6);
      }),
  );

  await t.step(
    "traffic_summary is what the rows sum up to, whatever is written how often",
    () =>
      kind.withPlace(async ({ newSink, rows, summaries }) => {
        const sink = newSink(new TestClock());
        await sink.open();
        const record = fc.record({
          index: fc.nat(60),
          ip: fc.constantFrom("10.0.0.1", "10.0.0.2", "2001:db8::1"),
          status: fc.constantFrom(200, 404, 500, 503),
          error: fc.constantFrom(null, "reset: gone"),
          duration: fc.integer({ min: 0, max: 5_000_000 }),
          size: fc.nat(1_000_000),
        });
        await fc.assert(
          fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 30 }), async (drawn) => {
            await sink.write(batchOf(drawn.map(({ index, ip, status, error, duration, size }) =>
              makeRecord(index, {
                // Three days, near midnight.
                timestampMs: Date.parse("2026-03-10T23:59:59.000Z") + (index - 30) * 3_600_000,
                clientIp: ip,
                statusCode: status,
                errorMessage: error,
                durationMs: duration / 1000,
                requestSize: size,
              })
            )));
            const kept = await summaries!();
            const expected = summarize(await rows());
            for (const [index, day] of expected.entries()) {
              // An average's last bit depends on the order of two divisions.
              const found = kept[index]?.avg_duration_ms ?? NaN;
              assert.ok(
                Math.abs(found - day.avg_duration_ms) < 1e-6,
                `${found}, wanted ${day.avg_duration_ms}`,
              );
              day.avg_duration_ms = found;
            }
            assert.deepEqual(kept, expected);
          }),
          { numRuns: 25 },
        );
        await sink.close();
      }),
  );

  await t.step(
    "a damaged line is cleaned or left out, and holds nothing back",
    () =>
      kind.withPlace(async ({ newSink, rows }) => {
        const sink = newSink(new TestClock());
        await sink.open();
        const line = (change: Record<string, unknown>, index: number) =>
          JSON.stringify({ ...JSON.parse(encodeRecord(makeRecord(index))), ...change }) + "\n";
        const lines = line({ path: "/a\0b", status_code: 1e15, duration_ms: "x", target: undefined }, 1) +
          line(
            { timestamp: "yesterday", request_size: -1e300, worker: 1.5, host: 7, user_agent: "\ud800" },
            2,
          ) +
          '{"id":"torn\n' + line({}, 3);
        await sink.write(new SinkBatch(lines, 4));
        await sink.close();
        const kept = await rows();
        assert.deepEqual(kept.map((row) => row.request_id).sort(), ["request-1", "request-2", "request-3"]);
        assert.equal(kept.find((row) => row.request_id === "request-1")?.path, "/a\uFFFDb");
        assert.equal(
          kept.find((row) => row.request_id === "request-2")?.timestamp,
          "1970-01-01T00:00:00.000Z",
        );
      }),
  );

  await t.step(
    "the summary of a day stays when its rows have gone",
    () =>
      kind.withPlace(async ({ newSink, count, summaries }) => {
        const clock = new TestClock();
        const sink = newSink(clock);
        await sink.open();
        for (let first = 0; first < 12_000; first += 1_000) {
          await sink.write(batchOf(makeRecords(first, 1_000)));
        }
        const before = await summaries!();
        clock.timeMs += 10 * 86_400_000;
        await sink.maintain(3);
        await sink.close();
        assert.equal(await count(), 0);
        assert.deepEqual(await summaries!(), before);
        assert.equal(before[0].date, utcDay(NOON));
      }),
  );
}

/** The plain way to the same figures. */
function summarize(rows: TrafficRow[]): Summary[] {
  const days = Map.groupBy(rows, (row) => row.timestamp.slice(0, 10));
  return [...days].sort(([a], [b]) => a < b ? -1 : 1).map(([date, ofDay]) => ({
    date,
    total_requests: ofDay.length,
    total_errors: ofDay.filter(isError).length,
    avg_duration_ms: ofDay.reduce((sum, row) => sum + row.duration_ms, 0) / ofDay.length,
    total_bytes: ofDay.reduce((sum, row) => sum + row.request_size + row.response_size, 0),
    unique_ips: new Set(ofDay.map((row) => row.client_ip)).size,
  }));
}
