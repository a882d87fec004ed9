/** What every reader of the traffic log promises, run against files, SQLite and PostgreSQL. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { LoggingConfig } from "../../../src/config/model.ts";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { systemClock } from "../../../src/traffic/clock.ts";
import { partsForward } from "../../../src/traffic/file_lines.ts";
import { matches, NO_FILTER, type TrafficFilter } from "../../../src/traffic/filter.ts";
import { openReader } from "../../../src/traffic/query.ts";
import {
  STATS_KEYS,
  type StatsGroup,
  type StatsKey,
  type TrafficReader,
} from "../../../src/traffic/reader.ts";
import { encodeRecord, isError, type TrafficRecord, type TrafficRow } from "../../../src/traffic/record.ts";
import { type Sink, TrafficOpenError } from "../../../src/traffic/sink.ts";
import { configuredSinks } from "../../../src/traffic/sinks.ts";
import { type PostgresServer, requiresPostgres, startPostgres } from "../../support/postgres.ts";
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

const HOUR = 3_600_000;

/** 600 records over two days, written in the order in which their requests ended. */
function makeTraffic(): TrafficRecord[] {
  const records = Array.from({ length: 600 }, (_, index) =>
    makeRecord(index, {
      timestampMs: NOON - 40 * HOUR + index * 240_000 + (index % 7),
      durationMs: index % 50 === 0 ? 900_000.5 : (index * 37 % 1000) / 10,
      statusCode: [200, 200, 204, 301, 404, 500, 502][index % 7],
      errorMessage: index % 11 === 0 ? 'connect_refused: "east", gone' : null,
      target: index % 5 === 0 ? null : `target-${index % 3}`,
      clientIp: `10.0.0.${index % 9}`,
      path: [`/items/${index}`, `/ünï/%41"${index}`, `/a_b%/${index}`][index % 3],
      requestSize: index,
    }));
  return records.toSorted((a, b) => a.timestampMs + a.durationMs - b.timestampMs - b.durationMs);
}

const TRAFFIC = makeTraffic();
const ROWS: TrafficRow[] = TRAFFIC.map((record) => JSON.parse(encodeRecord(record)));

const FILTERS: Record<string, Partial<TrafficFilter>> = {
  "nothing": {},
  "since": { sinceMs: NOON - 3 * HOUR },
  "until": { untilMs: NOON - 30 * HOUR },
  "a range over midnight": { sinceMs: NOON - 14 * HOUR, untilMs: NOON - 11 * HOUR },
  "host": { host: "b.example.com" },
  "a path prefix": { pathPrefix: "/items/4" },
  "a path prefix of odd characters": { pathPrefix: '/ünï/%41"1' },
  "a path prefix with wildcards": { pathPrefix: "/a_b%/" },
  "one status": { status: { from: 404, to: 404 } },
  "a status class": { status: { from: 500, to: 599 } },
  "a status range": { status: { from: 204, to: 404 } },
  "target": { target: "target-1" },
  "client": { clientIp: "10.0.0.3" },
  "duration": { minDurationMs: 95 },
  "a request id": { requestId: "request-77" },
  "several": { host: "a.example.com", clientIp: "10.0.0.0", status: { from: 200, to: 299 } },
  "what there is none of": { host: "nowhere" },
};

interface Kind {
  title: string;
  ignore: boolean;
  /** How to reach an empty log. */
  logging: (folder: string) => Promise<LoggingConfig>;
}

let server: PostgresServer | null = null;

const KINDS: Kind[] = [
  {
    title: "FileReader",
    ignore: false,
    logging: (folder) =>
      Promise.resolve(makeLogging(folder, { type: "file", file: { maxFileSizeBytes: 50_000 } })),
  },
  {
    title: "SqliteReader",
    ignore: false,
    logging: (folder) => Promise.resolve(makeLogging(folder, { type: "database" })),
  },
  {
    title: "PostgresReader",
    ...requiresPostgres(),
    async logging(folder) {
      assert.ok(server !== null);
      return makeLogging(folder, { type: "database", database: { url: await server.newDatabase() } });
    },
  },
];

async function openSink(
  logging: LoggingConfig,
  clock = new TestClock(),
): Promise<{ sink: Sink; clock: TestClock }> {
  const [{ sink }] = configuredSinks(logging, clock, new MemoryLog().log);
  await sink.open();
  return { sink, clock };
}

/** Writes the traffic as the proxy would have, file days included. */
async function writeTraffic(logging: LoggingConfig): Promise<void> {
  const { sink, clock } = await openSink(logging);
  for (let first = 0; first < TRAFFIC.length; first += 20) {
    const part = TRAFFIC.slice(first, first + 20);
    clock.timeMs = Math.max(...part.map((record) => record.timestampMs + record.durationMs));
    const { lines, count } = makeBatch(part);
    await sink.write(new SinkBatch(lines, count));
  }
  await sink.close();
}

async function withReader(
  logging: LoggingConfig,
  run: (reader: TrafficReader) => Promise<void>,
): Promise<void> {
  const reader = await openReader(logging, null);
  try {
    await run(reader);
  } finally {
    await reader.close();
  }
}

function newestFirst(rows: TrafficRow[]): TrafficRow[] {
  return rows.toSorted((a, b) => a.timestamp < b.timestamp ? 1 : a.timestamp > b.timestamp ? -1 : 0);
}

/** The plain way to the same groups; percentiles are compared apart. */
function plainStats(rows: TrafficRow[], by: StatsKey | null): Map<string, TrafficRow[]> {
  return Map.groupBy(rows, (row) => {
    if (by === null) return "";
    if (by === "minute") return row.timestamp.slice(0, 16);
    return by === "status" ? String(row.status_code) : row[by] ?? "";
  });
}

function assertStats(found: StatsGroup[], rows: TrafficRow[], by: StatsKey | null): void {
  const expected = plainStats(rows, by);
  assert.deepEqual(found.map((group) => group.key).sort(), [...expected.keys()].sort());
  for (const group of found) {
    const of = expected.get(group.key) ?? [];
    assert.deepEqual(
      [group.requests, group.errors, group.bytes],
      [
        of.length,
        of.filter(isError).length,
        of.reduce((sum, row) => sum + row.request_size + row.response_size, 0),
      ],
      group.key,
    );
    const durations = of.map((row) => row.duration_ms).sort((a, b) => a - b);
    for (const [share, value] of [[0.5, group.p50Ms], [0.95, group.p95Ms], [0.99, group.p99Ms]]) {
      const exact = durations[Math.ceil(share * durations.length) - 1];
      assert.ok(Math.abs(value - exact) <= exact * 0.004 + 1e-9, `p${share} is ${value}, exact ${exact}`);
    }
  }
}

for (const kind of KINDS) {
  Deno.test({
    name: `${kind.title} keeps the reader contract`,
    ignore: kind.ignore,
    async fn(t) {
      if (kind.title === "PostgresReader") server = await startPostgres();
      try {
        await withFolder((folder) => contract(t, kind, folder));
      } finally {
        await server?.remove();
        server = null;
      }
    },
  });
}

async function contract(t: Deno.TestContext, kind: Kind, folder: string): Promise<void> {
  const logging = await kind.logging(`${folder}/read`);
  await writeTraffic(logging);

  for (const [title, change] of Object.entries(FILTERS)) {
    await t.step(
      `query and stats by ${title} find what a plain look at every record finds`,
      () =>
        withReader(logging, async (reader) => {
          const filter = { ...NO_FILTER, ...change };
          const expected = newestFirst(ROWS.filter((row) => matches(filter, row)));
          for (const limit of [5, 1000]) {
            const found = await Array.fromAsync(reader.query(filter, limit));
            assert.deepEqual(found, expected.slice(0, limit));
          }
          // Without a limit, files give the order in which records were written.
          const all = await Array.fromAsync(reader.query(filter, 0));
          assert.deepEqual(newestFirst(all), expected);
          for (const by of [null, ...STATS_KEYS]) {
            assertStats(await reader.stats(filter, by), expected, by);
          }
        }),
    );
  }

  await t.step(
    "tail gives what is written from then on, as it matches, and ends with the signal",
    async () => {
      const empty = await kind.logging(`${folder}/tail`);
      const clock = new TestClock(Date.now());
      const { sink } = await openSink(empty, clock);
      const write = async (first: number, count: number) => {
        const { lines } = makeBatch(makeRecords(first, count));
        await sink.write(new SinkBatch(lines, count));
      };
      await write(0, 10);
      await withReader(empty, async (reader) => {
        const controller = new AbortController();
        const tail = await reader.tail({ ...NO_FILTER, target: "east" }, controller.signal);
        const iterator = tail[Symbol.asyncIterator]();
        const found: string[] = [];
        const next = async () => {
          const { value, done } = await iterator.next();
          if (!done) found.push(value.request_id);
        };
        await write(10, 6);
        await next();
        await next();
        await next();
        assert.deepEqual(found, ["request-10", "request-12", "request-14"]);
        // Also what comes while it waits.
        const last = next();
        await write(20, 1);
        await last;
        assert.equal(found.at(-1), "request-20");
        controller.abort();
        assert.equal((await iterator.next()).done, true);
      });
      await sink.close();
    },
  );
}

Deno.test("FileReader reads lines of any length whole, across its blocks, forwards and backwards", () =>
  withFolder((folder) =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof({ weight: 5, arbitrary: fc.nat(2_000) }, { weight: 1, arbitrary: fc.nat(1_500_000) }),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        fc.boolean(),
        async (lengths, isTorn) => {
          const logging = makeLogging(folder);
          Deno.mkdirSync(logging.file.directory, { recursive: true });
          const records = lengths.map((length, index) =>
            makeRecord(index, { userAgent: "ü".repeat(length / 2) })
          );
          const torn = isTorn ? '{"id":"torn' : "";
          const path = `${logging.file.directory}/traffic-2026-03-10.log`;
          Deno.writeTextFileSync(path, makeBatch(records).lines + torn);
          assert.equal([...partsForward(path, 0)].join(""), makeBatch(records).lines);
          await withReader(logging, async (reader) => {
            const found = await Array.fromAsync(reader.query(NO_FILTER, 0));
            assert.deepEqual(
              found.map((row) => [row.request_id, row.user_agent?.length]),
              records.toReversed().map((record) => [record.requestId, record.userAgent?.length]),
            );
          });
        },
      ),
      { numRuns: 15 },
    )
  ));

Deno.test("FileReader finds all since a time in a file of many parts, late records too", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder);
    Deno.mkdirSync(logging.file.directory, { recursive: true });
    const records = makeRecords(0, 12_000).map((record, index) => ({
      ...record,
      timestampMs: NOON + index * 1_000,
      // One that ended long before it was written, in front of a part that is in range.
      ...(index % 3_000 === 2_999 ? { timestampMs: NOON + (index - 55) * 1_000 } : {}),
    }));
    const { lines } = makeBatch(records);
    assert.ok(lines.length > 3 * 1024 * 1024);
    Deno.writeTextFileSync(`${logging.file.directory}/traffic-2026-03-10.log`, lines);
    await withReader(logging, async (reader) => {
      for (const since of [0, 1, 2_960, 6_000, 11_990]) {
        const filter = { ...NO_FILTER, sinceMs: NOON + since * 1_000 };
        const expected = records.filter((record) => record.timestampMs >= filter.sinceMs).length;
        assert.equal((await Array.fromAsync(reader.query(filter, 0))).length, expected);
        assert.equal((await reader.stats(filter, null))[0].requests, expected);
      }
    });
  }));

Deno.test("FileReader passes over files whose day is out of the range by more than one", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder);
    Deno.mkdirSync(logging.file.directory, { recursive: true });
    // All of them hold a record of the same time, so that only the file's name tells them apart.
    for (const day of ["03-03", "03-04", "03-05", "03-06", "03-07"]) {
      const record = makeRecord(1, { timestampMs: Date.parse("2026-03-05T12:00:00Z"), requestId: day });
      Deno.writeTextFileSync(`${logging.file.directory}/traffic-2026-${day}.log`, makeBatch([record]).lines);
    }
    await withReader(logging, async (reader) => {
      const ids = async (change: Partial<TrafficFilter>) =>
        (await Array.fromAsync(reader.query({ ...NO_FILTER, ...change }, 0))).map((row) => row.request_id);
      const sinceMs = Date.parse("2026-03-05T00:00:00Z");
      const untilMs = Date.parse("2026-03-05T23:00:00Z");
      assert.deepEqual(await ids({ sinceMs, untilMs }), ["03-06", "03-05", "03-04"]);
      assert.deepEqual(await ids({ sinceMs }), ["03-07", "03-06", "03-05", "03-04"]);
      assert.deepEqual(await ids({ untilMs }), ["03-06", "03-05", "03-04", "03-03"]);
    });
  }));

Deno.test("FileReader follows into the next file and past a moved one", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder, { file: { maxFileSizeBytes: 1_000 } });
    const { sink } = await openSink(logging, new TestClock(systemClock.now()));
    const write = (first: number, count: number) =>
      sink.write(new SinkBatch(makeBatch(makeRecords(first, count)).lines, count));
    await write(0, 1);
    await withReader(logging, async (reader) => {
      const controller = new AbortController();
      const iterator = (await reader.tail(NO_FILTER, controller.signal))[Symbol.asyncIterator]();
      const found = async (count: number) => {
        const ids: string[] = [];
        for (let at = 0; at < count; at++) ids.push((await iterator.next()).value.request_id);
        return ids;
      };
      await write(1, 6);
      assert.deepEqual(await found(6), [1, 2, 3, 4, 5, 6].map((index) => `request-${index}`));
      for (const entry of [...Deno.readDirSync(logging.file.directory)]) {
        Deno.renameSync(`${logging.file.directory}/${entry.name}`, `${folder}/${entry.name}`);
      }
      await write(7, 1);
      assert.deepEqual(await found(1), ["request-7"]);
      controller.abort();
      await iterator.next();
    });
    await sink.close();
  }));

Deno.test("openReader says what is missing, and makes nothing", () =>
  withFolder(async (folder) => {
    const cases: [LoggingConfig, RegExp][] = [
      [
        makeLogging(folder, { type: "file" }),
        /cannot read the traffic log files in .*logs: there is no such folder/,
      ],
      [makeLogging(folder, { type: "database" }), /there is no database at .*traffic\.db/],
      [
        makeLogging(folder, { type: "database", database: { url: "sqlite::memory:" } }),
        /only the running Dispa/,
      ],
      [
        makeLogging(folder, { type: "database", database: { url: "postgresql://u:s3cret@127.0.0.1:1/d" } }),
        /cannot read the database postgresql:\/\/u:\*\*\*@127\.0\.0\.1:1\/d: .*ECONNREFUSED/,
      ],
    ];
    for (const [logging, message] of cases) {
      await assert.rejects(openReader(logging, null), (error) => {
        assert.ok(error instanceof TrafficOpenError, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

Deno.test("openReader asks the database where there is a choice, and the files if told to", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder, { type: "both" });
    const [file, database] = configuredSinks(logging, new TestClock(), new MemoryLog().log);
    for (const [plan, first] of [[file, 1], [database, 2]] as const) {
      await plan.sink.open();
      await plan.sink.write(new SinkBatch(makeBatch(makeRecords(first, 1)).lines, 1));
      await plan.sink.close();
    }
    for (
      const [source, id] of [[null, "request-2"], ["file", "request-1"], ["database", "request-2"]] as const
    ) {
      const reader = await openReader(logging, source);
      const found = await Array.fromAsync(reader.query(NO_FILTER, 0));
      assert.deepEqual(found.map((row) => row.request_id), [id]);
      await reader.close();
    }
  }));
