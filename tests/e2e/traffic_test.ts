/**
 * The whole program under load: every request that it answers is in every sink once.
 *
 * Compared is with what nginx behind it has counted, which is exact: nothing is retried, and no request ends
 * before it is forwarded, because wrk's connections live until the program closes them. wrk itself counts only
 * answers that it has read to their end, at most one less for each of its connections. `dispa_requests_total`
 * can be read only while the program runs, so it is a lower bound.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Dispa, type DispaOptions, type TrafficLine } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { CountingUpstream, Load, LOAD_SECONDS, loadFor, requiresLoad } from "../support/load.ts";
import { type PostgresServer, requiresPostgres, startPostgres } from "../support/postgres.ts";
import { postgresCount, postgresRows, sqliteRows, type StoredLine } from "../support/traffic_rows.ts";

const HOST = "example.com";
const NO_POSTGRES = requiresPostgres();
const NO_LOAD = requiresLoad();
const NEEDS_BOTH = { ignore: NO_POSTGRES.ignore || NO_LOAD.ignore };

/** Long enough for a lane to fail and to try again; by hand 30 seconds. */
const OUTAGE_SECONDS = Number(Deno.env.get("DISPA_OUTAGE_SECONDS") ?? 2);
const CATCH_UP_MS = 60_000;

let server: PostgresServer;
Deno.test.beforeAll(async () => {
  if (!NO_POSTGRES.ignore) server = await startPostgres();
});
Deno.test.afterAll(async () => {
  if (!NO_POSTGRES.ignore) await server.remove();
});

/** With files so small that they are rotated under every load. */
function toml(upstream: CountingUpstream, type: string, url: string, more = ""): string {
  return `
[domains]
intercept_domains = ["${HOST}"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
[logging]
type = "${type}"
[logging.file]
directory = "./logs"
max_file_size = 3_000_000
[logging.database]
url = "${url}"
spool_directory = "./spool"
${more}
`;
}

async function start(upstream: CountingUpstream, type: string, url: string): Promise<Dispa> {
  return await Dispa.start({ toml: toml(upstream, type, url), workers: 2 });
}

/** The sum of all series of a counter. */
async function total(dispa: Dispa, family: string): Promise<number> {
  let sum = 0;
  for (const line of (await dispa.metrics()).split("\n")) {
    if (line.startsWith(`${family}{`) || line.startsWith(`${family} `)) {
      sum += Number(line.slice(line.lastIndexOf(" ") + 1));
    }
  }
  return sum;
}

/** Stops the program while the load goes on and says how many requests it has answered in all. */
async function stopUnderLoad(dispa: Dispa, load: Load, upstream: CountingUpstream): Promise<number> {
  const counted = await total(dispa, "dispa_requests_total");
  assert.equal(await total(dispa, "dispa_log_dropped_total"), 0);
  assert.equal(await dispa.stop("SIGTERM"), 0, dispa.stderr.text);
  const { answers, connections, failures } = await load.stop();
  const forwarded = await upstream.requests();
  assert.equal(failures, 0);
  assert.ok(
    counted > 0 && counted <= forwarded,
    `${counted} counted before the stop, ${forwarded} forwarded`,
  );
  assert.ok(
    answers <= forwarded && forwarded <= answers + connections,
    `wrk read ${answers} answers on ${connections} connections, ${forwarded} were forwarded`,
  );
  if (Deno.env.has("DISPA_LOAD_SECONDS")) {
    console.log(
      `${forwarded} requests forwarded, wrk read ${answers} answers, ${counted} counted before the stop`,
    );
  }
  assert.ok(!/records (are|were) (lost|dropped)/.test(dispa.stderr.text), dispa.stderr.text);
  return forwarded;
}

function assertOnce(records: TrafficLine[], expected: number, where: string): void {
  assert.equal(records.length, expected, `records in ${where}`);
  assert.equal(new Set(records.map(({ id }) => id)).size, expected, `different ids in ${where}`);
}

/** Every record of the file is in the database, the same in every field, written in the same order. */
function assertSame(file: TrafficLine[], rows: StoredLine[]): void {
  const byId = new Map(rows.map((row) => [row.record.id, row]));
  let lastUs = 0;
  for (const record of file) {
    const row = byId.get(record.id);
    // Compared as text first: deepEqual over a hundred thousand objects takes its time.
    if (JSON.stringify(row?.record) !== JSON.stringify(record)) assert.deepEqual(row?.record, record);
    assert.ok(row!.createdUs >= lastUs, `${record.id} was written before the record it follows`);
    lastUs = row!.createdUs;
  }
  assert.equal(rows.length, file.length);
}

function spoolFiles(dispa: Dispa): string[] {
  try {
    return [...Deno.readDirSync(join(dispa.directory, "spool"))].map(({ name }) => name);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return [];
    throw fault;
  }
}

/**
 * On a machine whose processors the load keeps busy, PostgreSQL may be slower than the requests: what waits in
 * the spool when the program has to stop goes in after the next start.
 */
async function emptySpool(dispa: Dispa): Promise<void> {
  if (spoolFiles(dispa).length === 0) return;
  await dispa.restart();
  await eventually("the spool is empty", () => spoolFiles(dispa).length === 0, CATCH_UP_MS);
  assert.equal(await dispa.stop("SIGTERM"), 0);
}

Deno.test({
  name: "SIGTERM under load: file and SQLite both have every request, the same and once",
  ...NO_LOAD,
  fn: async () => {
    await using upstream = await CountingUpstream.start();
    await using dispa = await start(upstream, "both", "sqlite://./data/traffic.db");
    await using load = new Load(dispa.port, HOST);
    await loadFor(LOAD_SECONDS);
    const answered = await stopUnderLoad(dispa, load, upstream);
    const file = dispa.records();
    assertOnce(file, answered, "the file");
    assertSame(file, sqliteRows(join(dispa.directory, "data/traffic.db")));
  },
});

Deno.test({
  name: "SIGTERM under load: file and PostgreSQL both have every request, the same and once",
  ...NEEDS_BOTH,
  fn: async () => {
    const url = await server.newDatabase();
    await using upstream = await CountingUpstream.start();
    await using dispa = await start(upstream, "both", url);
    await using load = new Load(dispa.port, HOST);
    await loadFor(LOAD_SECONDS);
    const answered = await stopUnderLoad(dispa, load, upstream);
    await emptySpool(dispa);
    const file = dispa.records();
    assertOnce(file, answered, "the file");
    assertSame(file, await postgresRows(url));
  },
});

Deno.test({
  name: "PostgreSQL killed and restarted under load: no record is lost, none twice, all in order",
  ...NEEDS_BOTH,
  fn: async () => {
    const url = await server.newDatabase();
    await using upstream = await CountingUpstream.start();
    await using dispa = await start(upstream, "both", url);
    await using load = new Load(dispa.port, HOST);
    await loadFor(LOAD_SECONDS / 3);
    await server.stop("immediate");
    await dispa.stderr.waitFor(/the traffic log cannot be written/);
    await loadFor(OUTAGE_SECONDS);
    assert.notDeepEqual(spoolFiles(dispa), []);
    await server.start();
    await dispa.stderr.waitFor(/the traffic log is written again/);
    await loadFor(LOAD_SECONDS / 3);
    const answered = await stopUnderLoad(dispa, load, upstream);
    assert.equal(dispa.stderr.all.filter((line) => /cannot be written/.test(line)).length, 1);
    await emptySpool(dispa);
    const file = dispa.records();
    assertOnce(file, answered, "the file");
    assertSame(file, await postgresRows(url));
  },
});

Deno.test({
  name: "SIGTERM while PostgreSQL is away: the records go in after the next start, once and in order",
  ...NEEDS_BOTH,
  fn: async () => {
    const url = await server.newDatabase();
    await using upstream = await CountingUpstream.start();
    await using dispa = await start(upstream, "both", url);
    let answered = 0;
    {
      await using load = new Load(dispa.port, HOST);
      await loadFor(LOAD_SECONDS / 3);
      await server.stop("immediate");
      try {
        await dispa.stderr.waitFor(/the traffic log cannot be written/);
        await loadFor(OUTAGE_SECONDS / 2);
        answered = await stopUnderLoad(dispa, load, upstream);
      } finally {
        await server.start();
      }
    }
    assert.notDeepEqual(spoolFiles(dispa), []);
    assert.ok(await postgresCount(url) < answered);
    await dispa.restart();
    assert.equal((await dispa.fetch(HOST, "/last")).status, 200);
    await eventually("all are in", async () => await postgresCount(url) === answered + 1, CATCH_UP_MS);
    assert.equal(await dispa.stop("SIGTERM"), 0);
    assert.deepEqual(spoolFiles(dispa), []);
    const file = dispa.records();
    assertOnce(file, answered + 1, "the file");
    assertSame(file, await postgresRows(url));
  },
});

Deno.test({
  name: "two instances that start at the same moment share an empty PostgreSQL database",
  ...NEEDS_BOTH,
  fn: async () => {
    const url = await server.newDatabase();
    await using upstream = await CountingUpstream.start();
    const options: DispaOptions = { toml: toml(upstream, "both", url), workers: 1 };
    const started = await Promise.allSettled([Dispa.start(options), Dispa.start(options)]);
    await using stack = new AsyncDisposableStack();
    const instances = started.flatMap((result) =>
      result.status === "fulfilled" ? [stack.use(result.value)] : []
    );
    assert.deepEqual(started.map((result) => result.status), ["fulfilled", "fulfilled"]);
    const loads = instances.map((dispa) => stack.use(new Load(dispa.port, HOST, 8)));
    await loadFor(LOAD_SECONDS / 3);
    assert.deepEqual(await Promise.all(instances.map((dispa) => dispa.stop("SIGTERM"))), [0, 0]);
    await Promise.all(loads.map((load) => load.stop()));
    const files = instances.map((dispa) => dispa.records());
    const rows = await postgresRows(url);
    assertOnce(rows.map(({ record }) => record), await upstream.requests(), "the database");
    for (const file of files) {
      assert.ok(file.length > 0);
      const ids = new Set(file.map(({ id }) => id));
      assertSame(file, rows.filter(({ record }) => ids.has(record.id)));
    }
    assert.equal(files[0].length + files[1].length, rows.length);
  },
});
