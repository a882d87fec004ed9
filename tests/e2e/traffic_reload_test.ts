/** The traffic log's settings change on a running program. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { type Asked, SteadyClients } from "../support/steady_clients.ts";
import { sqliteRows } from "../support/traffic_rows.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const HOST = "example.com";

function toml(upstream: RawUpstream, logging: string): string {
  return `
[domains]
intercept_domains = ["${HOST}"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
[logging]
${logging}
[logging.file]
directory = "./logs"
[logging.database]
url = "sqlite://./data/traffic.db"
spool_directory = "./spool"
`;
}

/** Stages of the test, reloads included: what was asked in one and answered in another lies between them. */
const STAGE = { file: 0, toBoth: 1, both: 2, toOff: 3, off: 4, toFile: 5, fileAgain: 6 };

Deno.test("the traffic log goes from file to both, off and file again and loses nothing", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream, 'type = "file"'), workers: 2 });
  await using clients = new SteadyClients(dispa.port, HOST);
  const some = async (during: number) => {
    clients.stage = during;
    await eventually(
      "some requests",
      () => clients.answered.filter(({ from }) => from === during).length >= 200,
    );
  };
  await some(STAGE.file);
  clients.stage = STAGE.toBoth;
  await dispa.reload(toml(upstream, 'type = "both"'));
  await some(STAGE.both);
  clients.stage = STAGE.toOff;
  await dispa.reload(toml(upstream, "enabled = false"));
  await some(STAGE.off);
  clients.stage = STAGE.toFile;
  await dispa.reload(toml(upstream, 'type = "file"'));
  await some(STAGE.fileAgain);
  await clients.stop();
  assert.equal(await dispa.stop("SIGTERM"), 0);

  const asked = clients.answered;
  const file = dispa.records().map(({ path }) => path);
  const rows = sqliteRows(join(dispa.directory, "data/traffic.db")).map(({ record }) => record.path);
  for (const [written, name] of [[file, "file"], [rows, "database"]] as const) {
    assert.equal(new Set(written).size, written.length, `some are twice in the ${name}`);
  }
  const missing = (written: string[], wanted: Asked[]) => {
    const there = new Set(written);
    return wanted.filter(({ path }) => !there.has(path)).map(({ path }) => path);
  };
  assert.deepEqual(
    missing(file, asked.filter(({ from, to }) => to <= STAGE.both || from === STAGE.fileAgain)),
    [],
  );
  assert.deepEqual(missing(rows, asked.filter(({ from, to }) => from === STAGE.both && to === from)), []);
  const during = (only: number) => asked.filter(({ from, to }) => from === only && to === only);
  assert.equal(missing(file, during(STAGE.off)).length, during(STAGE.off).length);
  for (const only of [STAGE.file, STAGE.off, STAGE.fileAgain]) {
    assert.equal(missing(rows, during(only)).length, during(only).length);
  }
});

Deno.test("switching the traffic log off writes what the proxy threads have collected", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  // Collected for so long that nothing is written before the change.
  const collecting = "flush_interval = 60";
  await using dispa = await Dispa.start({ toml: toml(upstream, `type = "both"\n${collecting}`), workers: 2 });
  const paths = Array.from({ length: 20 }, (_, index) => `/${index}`).sort();
  for (const path of paths) assert.equal((await dispa.fetch(HOST, path)).status, 200);
  assert.deepEqual(dispa.records(), []);
  await dispa.reload(toml(upstream, `enabled = false\n${collecting}`));
  assert.equal((await dispa.fetch(HOST, "/off")).status, 200);
  assert.deepEqual(dispa.records().map(({ path }) => path).sort(), paths);
  const rows = sqliteRows(join(dispa.directory, "data/traffic.db"));
  assert.deepEqual(rows.map(({ record }) => record.path).sort(), paths);
  await dispa.reload(toml(upstream, `type = "file"\n${collecting}`));
  assert.equal((await dispa.fetch(HOST, "/on")).status, 200);
  assert.equal(await dispa.stop("SIGTERM"), 0);
  assert.deepEqual(dispa.records().map(({ path }) => path).sort(), [...paths, "/on"].sort());
});

Deno.test("a reload to a database that cannot be opened is refused and the old traffic log goes on", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream, 'type = "file"') });
  Deno.mkdirSync(join(dispa.directory, "data"));
  Deno.writeTextFileSync(join(dispa.directory, "data/traffic.db"), "not a database, but somebody's notes");
  dispa.writeConfig(dispa.config(toml(upstream, 'type = "database"')));
  await dispa.stderr.waitFor(/configuration not reloaded .*is not a SQLite database/);
  assert.equal((await dispa.fetch(HOST, "/after")).status, 200);
  await dispa.record("after the refusal", ({ path }) => path === "/after");
});
