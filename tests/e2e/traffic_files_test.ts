/** The traffic log's files while the world does to them what it does to files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Dispa, readRecords, type TrafficLine } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { requiresMounts, SmallDisk } from "../support/small_disk.ts";
import { type Asked, SteadyClients } from "../support/steady_clients.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const HOST = "example.com";
const ERRORS = 'dispa_log_write_errors_total{sink="file"}';

function toml(upstream: RawUpstream, file: string, directory = "./logs"): string {
  return `
[domains]
intercept_domains = ["${HOST}"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
[logging.file]
directory = "${directory}"
${file}
`;
}

async function askSome(dispa: Dispa, prefix: string, count = 20): Promise<string[]> {
  const paths = Array.from({ length: count }, (_, index) => `${prefix}/${index}`);
  for (const path of paths) assert.equal((await dispa.fetch(HOST, path)).status, 200);
  return paths;
}

async function someMore(clients: SteadyClients, count: number): Promise<void> {
  const wanted = clients.answered.length + count;
  await eventually(`${count} more answers`, () => clients.answered.length >= wanted);
}

function assertAll(records: TrafficLine[], asked: Asked[]): void {
  assert.equal(new Set(records.map(({ id }) => id)).size, records.length);
  assert.deepEqual(records.map(({ path }) => path).sort(), asked.map(({ path }) => path).sort());
}

function linesLike(dispa: Dispa, pattern: RegExp): number {
  return dispa.stderr.all.filter((line) => pattern.test(line)).length;
}

Deno.test("kill -9 under load leaves whole lines, and the next start cuts off a torn one and goes on", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream, ""), workers: 2 });
  const written = new Set(await askSome(dispa, "/before"));
  await eventually("they are written", () => dispa.records().length === written.size);
  await using clients = new SteadyClients(dispa.port, HOST);
  await someMore(clients, 500);
  await dispa.stop("SIGKILL");
  await clients.stop();

  const [name] = [...Deno.readDirSync(dispa.logs)].map((entry) => entry.name);
  const text = Deno.readTextFileSync(join(dispa.logs, name));
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const kept = whole.trimEnd().split("\n").map((line): TrafficLine => JSON.parse(line));
  const keptPaths = new Set(kept.map(({ path }) => path));
  assert.equal(keptPaths.size, kept.length);
  assert.deepEqual([...written].filter((path) => !keptPaths.has(path)), []);
  assert.ok(kept.length > written.size, "nothing of the load was written before the kill");

  // What a kill in the middle of a write leaves; it cannot be hit on purpose.
  Deno.writeTextFileSync(join(dispa.logs, name), `${whole}{"id":"torn","path":"/to`);
  await dispa.restart();
  const after = await askSome(dispa, "/after");
  assert.equal(await dispa.stop("SIGTERM"), 0);
  const records = dispa.records();
  assert.deepEqual(records.slice(0, kept.length), kept);
  assert.deepEqual(records.slice(kept.length).map(({ path }) => path).sort(), after.sort());
});

Deno.test("the log's folder removed, then a file in its place: requests go on and writing resumes", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream, ""), workers: 1 });
  await askSome(dispa, "/gone", 1);
  await dispa.record("of the first", ({ path }) => path === "/gone/0");
  Deno.removeSync(dispa.logs, { recursive: true });
  const again = await askSome(dispa, "/again");
  await eventually("they are in a new folder", () => dispa.records().length === again.length);
  assert.equal(await dispa.metric(ERRORS), 0);

  const moved = join(dispa.directory, "moved");
  Deno.renameSync(dispa.logs, moved);
  Deno.writeTextFileSync(dispa.logs, "in the way");
  const waiting = await askSome(dispa, "/waiting");
  await dispa.stderr.waitFor(/the traffic log cannot be written/);
  await eventually("several attempts fail", async () => await dispa.metric(ERRORS) >= 2);
  assert.equal(linesLike(dispa, /cannot be written/), 1, dispa.stderr.text);
  assert.equal(Deno.readTextFileSync(dispa.logs), "in the way");
  Deno.removeSync(dispa.logs);
  await dispa.stderr.waitFor(/the traffic log is written again/);
  const late = await askSome(dispa, "/late");
  assert.equal(await dispa.metric("dispa_log_dropped_total"), 0);
  assert.equal(await dispa.stop("SIGTERM"), 0);
  assert.deepEqual(dispa.records().map(({ path }) => path), [...waiting, ...late]);
  assert.deepEqual(readRecords(moved).map(({ path }) => path), again);
  assert.equal(linesLike(dispa, /written again/), 1);
});

Deno.test({
  name: "a full disk: requests go on, it is said once, and what waited is written when there is room",
  ...requiresMounts(),
  fn: async () => {
    using disk = new SmallDisk();
    const logs = join(disk.folder, "logs");
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({ toml: toml(upstream, "", logs), workers: 2 });
    await using clients = new SteadyClients(dispa.port, HOST);
    await someMore(clients, 200);
    disk.fill();
    await dispa.stderr.waitFor(/the traffic log cannot be written.*(No space left|os error 28)/);
    await someMore(clients, 200);
    await eventually("several attempts fail", async () => await dispa.metric(ERRORS) >= 2);
    assert.equal(linesLike(dispa, /cannot be written/), 1, dispa.stderr.text);
    disk.clear();
    await dispa.stderr.waitFor(/the traffic log is written again/);
    await someMore(clients, 200);
    await clients.stop();
    assert.equal(await dispa.metric("dispa_log_dropped_total"), 0);
    assert.equal(await dispa.stop("SIGTERM"), 0);
    assertAll(readRecords(logs), clients.answered);
  },
});

Deno.test("max_file_size: files are numbered, none is larger, and every record is in one of them", async () => {
  const maxBytes = 20_000;
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(upstream, `rotation = true\nmax_file_size = ${maxBytes}`),
    workers: 2,
  });
  await using clients = new SteadyClients(dispa.port, HOST);
  await someMore(clients, 500);
  await clients.stop();
  assert.equal(await dispa.stop("SIGTERM"), 0);
  const first = clients.answered.length;
  await dispa.restart();
  const more = await askSome(dispa, "/more");
  assert.equal(await dispa.stop("SIGTERM"), 0);

  const files = [...Deno.readDirSync(dispa.logs)].map(({ name }) => {
    const { number } = /^traffic-\d{4}-\d\d-\d\d(?:\.(?<number>\d+))?\.log$/.exec(name)!.groups!;
    return { number: Number(number ?? 0), size: Deno.statSync(join(dispa.logs, name)).size };
  }).sort((a, b) => a.number - b.number);
  assert.ok(files.length > 5, `${files.length} files`);
  // Begun again at 0 where the UTC day has changed in between.
  assert.ok(files.every(({ number }, index) => number <= index));
  for (const { number, size } of files) assert.ok(size <= maxBytes, `file ${number} has ${size} bytes`);
  const records = dispa.records();
  assert.equal(records.length, first + more.length);
  assertAll(records, [...clients.answered, ...more.map((path) => ({ path, from: 0, to: 0 }))]);
});

Deno.test("files moved away again and again, as logrotate does, lose no record", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream, ""), workers: 2 });
  await using clients = new SteadyClients(dispa.port, HOST);
  const current = () =>
    [...Deno.readDirSync(dispa.logs)].map(({ name }) => name).find((name) => name.endsWith(".log"));
  for (let round = 1; round <= 4; round++) {
    const name = await eventually("there is a file", current);
    await someMore(clients, 100);
    Deno.renameSync(join(dispa.logs, name), join(dispa.logs, `${name}.moved-${round}`));
  }
  await someMore(clients, 100);
  await clients.stop();
  assert.equal(await dispa.stop("SIGTERM"), 0);
  assert.equal([...Deno.readDirSync(dispa.logs)].length, 5);
  assertAll(dispa.records(), clients.answered);
});

/** Whether this process may mount a small disk. */
