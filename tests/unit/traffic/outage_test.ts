/** Databases that come and go, seen through the whole writer. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import postgres from "postgres";
import type { LoggingConfig } from "../../../src/config/model.ts";
import { QueueGauge } from "../../../src/traffic/gauge.ts";
import { TrafficOpenError } from "../../../src/traffic/sink.ts";
import { TrafficWriter, type TrafficWriterOptions } from "../../../src/traffic/writer.ts";
import { type PostgresServer, requiresPostgres, startPostgres } from "../../support/postgres.ts";
import {
  CountingMetrics,
  makeBatch,
  makeLogging,
  makeRecords,
  MemoryLog,
  QUICK_TIMINGS,
  TestClock,
  withFolder,
} from "../../support/traffic.ts";

const FAILING = "the traffic log cannot be written";
const WORKING = "the traffic log is written again";

function makeWriter(logging: LoggingConfig, change: Partial<TrafficWriterOptions> = {}) {
  const gauge = new QueueGauge(new SharedArrayBuffer(QueueGauge.BYTES));
  const metrics = new CountingMetrics();
  const log = new MemoryLog();
  const clock = new TestClock();
  const writer = new TrafficWriter({
    ...{ logging, gauge, metrics, log: log.log, clock, timings: QUICK_TIMINGS },
    ...change,
  });
  const send = (first: number, count: number) => {
    const batch = makeBatch(makeRecords(first, count));
    gauge.reserve(batch.bytes.length);
    writer.write(batch);
  };
  return { writer, gauge, metrics, log, clock, send };
}

/** Checks that the rows are exactly the records 0 to `count` - 1, and the summary too. */
async function assertRows(url: string, count: number): Promise<void> {
  const sql = postgres(url, { max: 1 });
  try {
    const [row] = await sql`SELECT count(*)::int AS rows, count(DISTINCT request_id)::int AS ids,
      (SELECT sum(total_requests)::int FROM traffic_summary) AS summed FROM traffic_logs`;
    assert.deepEqual({ ...row }, { rows: count, ids: count, summed: count });
  } finally {
    await sql.end();
  }
}

function spooled(folder: string): number {
  let lines = 0;
  for (const entry of Deno.readDirSync(`${folder}/spool`)) {
    lines += Deno.readTextFileSync(`${folder}/spool/${entry.name}`).split("\n").length - 1;
  }
  return lines;
}

function postgresTest(
  name: string,
  fn: (server: PostgresServer, folder: string) => Promise<void>,
): void {
  Deno.test({
    name,
    ...requiresPostgres(),
    fn: () =>
      withFolder(async (folder) => {
        const server = await startPostgres();
        try {
          await fn(server, folder);
        } finally {
          await server.remove();
        }
      }),
  });
}

postgresTest(
  "A PostgreSQL server killed and restarted while records come loses and doubles none",
  async (server, folder) => {
    const url = await server.newDatabase();
    const { writer, gauge, metrics, log, send } = makeWriter(
      makeLogging(folder, { type: "database", database: { url } }),
    );
    await writer.open();
    let sent = 0;
    const sendSome = async () => {
      for (let batch = 0; batch < 20; batch++, sent += 100) {
        send(sent, 100);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    };
    for (let round = 1; round <= 2; round++) {
      await sendSome();
      const failing = log.said(FAILING, round);
      await Promise.all([server.stop("immediate"), sendSome()]);
      await sendSome();
      await failing;
      const working = log.said(WORKING);
      await Promise.all([server.start(), sendSome()]);
      await working;
      assert.equal(log.count(FAILING), round);
    }
    await writer.close();
    await assertRows(url, sent);
    assert.deepEqual([gauge.queuedBytes(), metrics.dropped], [0, 0]);
    assert.equal(spooled(folder), 0);
  },
);

postgresTest(
  "Records that wait in the spool at the end go in after the next start",
  async (server, folder) => {
    const url = await server.newDatabase();
    const logging = makeLogging(folder, { type: "database", database: { url } });
    const first = makeWriter(logging);
    await first.writer.open();
    first.send(0, 100);
    await server.stop();
    const failing = first.log.said(FAILING);
    first.send(100, 100);
    await failing;
    first.send(200, 100);
    await first.writer.close();
    // The first 100 may be there already or not: their write and the server's end were a race.
    assert.ok(spooled(folder) >= 200);
    assert.equal(first.metrics.dropped, 0);
    await server.start();
    const second = makeWriter(logging);
    await second.writer.open();
    second.send(300, 50);
    await second.writer.close();
    await assertRows(url, 350);
    assert.equal(spooled(folder), 0);
  },
);

postgresTest(
  "A server that hangs: records reach the spool, and the end does not wait for it",
  async (server, folder) => {
    const url = await server.newDatabase();
    const logging = makeLogging(folder, { type: "database", database: { url } });
    const first = makeWriter(logging, { drainTimeoutMs: 50, timings: { ...QUICK_TIMINGS, slowWriteMs: 20 } });
    await first.writer.open();
    first.send(0, 10);
    await first.gauge.room(1);
    await server.signal("SIGSTOP");
    try {
      first.send(10, 10);
      // The records of a write that hangs must not stay in memory, nor fill the queue; nor those that follow.
      await first.gauge.room(1);
      assert.equal(spooled(folder), 10);
      // No time-out has given the write up yet.
      assert.equal(first.metrics.errors.postgres, undefined);
      first.send(20, 20);
      assert.equal(spooled(folder), 30);
      await first.writer.close();
      assert.equal(spooled(folder), 30);
      // What was cut short at the end is no failure, but somebody may wonder where the records are.
      assert.deepEqual(first.log.entries.map(({ message }) => message), [
        "traffic records wait in the spool for the next start",
      ]);
    } finally {
      await server.signal("SIGCONT");
    }
    const second = makeWriter(logging);
    await second.writer.open();
    await second.writer.close();
    await assertRows(url, 40);
  },
);

postgresTest(
  "Two writers that start at once make the tables once, and both write",
  async (server, folder) => {
    const url = await server.newDatabase();
    const writers = [1, 2, 3].map((index) =>
      makeWriter(makeLogging(`${folder}/${index}`, { type: "database", database: { url } }))
    );
    await Promise.all(writers.map(({ writer }) => writer.open()));
    for (let first = 0; first < 3000; first += 100) {
      for (const { send } of writers) send(first, 100);
    }
    await Promise.all(writers.map(({ writer }) => writer.close()));
    await assertRows(url, 3000);
    for (const { metrics } of writers) assert.equal(metrics.errors.postgres, undefined);
  },
);

postgresTest(
  "A PostgreSQL that is not there at start ends it, unless it is not required",
  async (server, folder) => {
    const url = await server.newDatabase();
    await server.stop();
    const logging = makeLogging(folder, { type: "database", database: { url } });
    await assert.rejects(makeWriter(logging).writer.open(), (error) => {
      assert.ok(error instanceof TrafficOpenError);
      assert.match(error.message, /ECONNREFUSED/);
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
    const { writer, log, send } = makeWriter({
      ...logging,
      database: { ...logging.database, required: false },
    });
    send(0, 10);
    await writer.open();
    send(10, 10);
    assert.equal(log.count(FAILING), 1);
    assert.equal(spooled(folder), 20);
    const working = log.said(WORKING);
    await server.start();
    await working;
    await writer.close();
    await assertRows(url, 20);
    assert.doesNotMatch(JSON.stringify(log.entries), /s3cret/);
  },
);

postgresTest(
  "A database that cannot be used ends the start with a message that says why",
  async (server, folder) => {
    const foreign = await server.newDatabase();
    const sql = postgres(foreign, { max: 1 });
    await sql`CREATE TABLE traffic_summary (x INTEGER)`;
    const newer = await server.newDatabase();
    await makeWriterAndClose(makeLogging(folder, { type: "database", database: { url: newer } }));
    const newerSql = postgres(newer, { max: 1 });
    await newerSql`INSERT INTO dispa_migrations (version) VALUES (99)`;
    const latin = await server.newDatabase({ encoding: "LATIN1" });
    const cases: [string, RegExp][] = [
      [foreign, /tables of Dispa's names/],
      [newer, /newer Dispa \(schema 99/],
      [latin, /its encoding is LATIN1, wanted is UTF8/],
    ];
    for (const [url, message] of cases) {
      // Not required makes no difference: waiting would not mend it.
      const logging = makeLogging(folder, { type: "database", database: { url, required: false } });
      await assert.rejects(makeWriter(logging).writer.open(), (error) => {
        assert.ok(error instanceof TrafficOpenError);
        assert.match(error.message, message);
        assert.match(error.message, /:\*\*\*@/);
        assert.equal(error.kind, "unusable");
        return true;
      });
    }
    const tables = await sql`SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'public'`;
    assert.equal(tables[0].n, 1);
    await sql.end();
    await newerSql.end();
  },
);

async function makeWriterAndClose(logging: LoggingConfig): Promise<void> {
  const { writer } = makeWriter(logging);
  await writer.open();
  await writer.close();
}

Deno.test("A full spool drops what finds no room and counts it", () =>
  withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/in_the_way`, "");
    const size = makeBatch(makeRecords(100, 100)).lines.length;
    const { writer, metrics, log, send } = makeWriter(makeLogging(folder, {
      type: "database",
      database: { url: `sqlite://${folder}/in_the_way/x.db`, required: false, spoolMaxBytes: size * 2 },
    }));
    await writer.open();
    send(100, 100);
    send(200, 100);
    assert.equal(metrics.dropped, 0);
    send(300, 100);
    assert.equal(metrics.dropped, 100);
    await writer.close();
    assert.equal(metrics.dropped, 100);
    assert.equal(spooled(folder), 200);
    assert.equal(log.count("traffic records are lost"), 1);
  }));

Deno.test("A SQLite database locked by another program: records wait in the spool, then go in", () =>
  withFolder(async (folder) => {
    const { writer, metrics, log, send } = makeWriter(makeLogging(folder, { type: "both" }));
    await writer.open();
    send(0, 10);
    using other = new DatabaseSync(`${folder}/traffic.db`);
    other.exec("BEGIN IMMEDIATE");
    send(10, 10);
    await log.said(FAILING);
    assert.match(String(log.entries.at(-1)?.fields.reason), /locked/);
    // The log line comes first, the spool in the same turn after it.
    await new Promise((resolve) => setTimeout(resolve, 0));
    send(20, 10);
    assert.equal(spooled(folder), 20);
    const working = log.said(WORKING);
    other.exec("COMMIT");
    await working;
    await writer.close();
    assert.equal(other.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n, 30);
    assert.deepEqual([metrics.dropped, metrics.writes.file, metrics.writes.sqlite], [0, 30, 30]);
    assert.equal(spooled(folder), 0);
  }));

Deno.test("TrafficWriter.reconfigure to a database that cannot be opened keeps the old one", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder, { type: "database" });
    const { writer, gauge, send } = makeWriter(logging);
    await writer.open();
    send(0, 10);
    Deno.writeTextFileSync(`${folder}/notes.txt`, "not a database");
    const database = { ...logging.database, url: `sqlite://${folder}/notes.txt` };
    await assert.rejects(writer.reconfigure({ ...logging, database }), TrafficOpenError);
    send(10, 10);
    await writer.reconfigure({ ...logging, database: { ...database, url: `sqlite://${folder}/new.db` } });
    send(20, 10);
    await writer.close();
    const count = (path: string) => {
      using database = new DatabaseSync(path);
      return database.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n;
    };
    assert.deepEqual([count(`${folder}/traffic.db`), count(`${folder}/new.db`)], [20, 10]);
    assert.equal(gauge.queuedBytes(), 0);
  }));
