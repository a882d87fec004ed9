/** `dispa traffic` asks each kind of traffic log while the program writes it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { Dispa, dispaCommand, runDispa, type TrafficLine } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Lines } from "../support/lines.ts";
import { requiresPostgres, startPostgres } from "../support/postgres.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { addOldPostgresRow, addOldSqliteRow, postgresRows, sqliteRows } from "../support/traffic_rows.ts";
import { fromLatin1, ok, type RawRequest, RawUpstream, type Reply, writeAll } from "../support/upstream.ts";

const SLOW_MS = 400;

/** A traffic log of some kind, read and changed by other means than the program's. */
interface Store {
  logging: string;
  lines(dispa: Dispa): TrafficLine[] | Promise<TrafficLine[]>;
  /** Adds a record, or a file of one, from the year 2020. */
  addOld(dispa: Dispa): void | Promise<void>;
  /** What `prune` says of that. */
  pruned: RegExp;
}

const FILES: Store = {
  logging: 'type = "file"',
  lines: (dispa) => dispa.records(),
  addOld: (dispa) => {
    const line = JSON.stringify({ ...dispa.records()[0], timestamp: "2020-01-01T00:00:00.000Z" });
    Deno.writeTextFileSync(join(dispa.logs, "traffic-2020-01-01.log"), `${line}\n`);
  },
  pruned: /removed 1 file\(s\) and 0 row\(s\)/,
};

const sqlitePath = (dispa: Dispa) => join(dispa.directory, "data/traffic.db");

const SQLITE: Store = {
  logging: 'type = "database"',
  lines: (dispa) => sqliteRows(sqlitePath(dispa)).map(({ record }) => record),
  addOld: (dispa) => addOldSqliteRow(sqlitePath(dispa)),
  pruned: /removed 0 file\(s\) and 1 row\(s\)/,
};

function postgresStore(url: string): Store {
  return {
    logging: `type = "database"\n[logging.database]\nurl = "${url}"`,
    lines: async () => (await postgresRows(url)).map(({ record }) => record),
    addOld: () => addOldPostgresRow(url),
    pruned: /removed 0 file\(s\) and 1 row\(s\)/,
  };
}

function toml(upstream: RawUpstream, store: Store): string {
  return `
[domains]
intercept_domains = ["*.example.com"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "east"
url = "${upstream.url}"
[[targets.targets]]
name = "west"
url = "${upstream.url}"
[logging]
${store.logging}
${
    store.logging.includes("[logging.database]")
      ? ""
      : "[logging.database]\nurl = 'sqlite://./data/traffic.db'"
  }
spool_directory = "./spool"
[logging.file]
directory = "./logs"
`;
}

function answer({ target }: RawRequest): Reply {
  if (target === "/missing") return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
  if (target === "/broken") return "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
  if (target !== "/items/slow") return ok("hello");
  return async (socket) => {
    await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    await writeAll(socket, fromLatin1(ok("hello")));
  };
}

/** A request from another address of the loopback network. */
async function askFrom(localAddress: string, dispa: Dispa, host: string, path: string): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: dispa.port, localAddress });
  socket.resume();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  await once(socket, "close");
}

/** Sends the requests that the questions are about, and returns a time in the middle of them. */
async function sendRequests(dispa: Dispa): Promise<string> {
  for (const host of ["a.example.com", "b.example.com"]) {
    for (let item = 0; item < 6; item++) await dispa.fetch(host, `/items/${item}`);
  }
  const middle = Date.now() + 1;
  await eventually("the clock goes on", () => Date.now() > middle);
  for (const path of ["/items/slow", "/missing", "/broken"]) await dispa.fetch("a.example.com", path);
  await askFrom("127.0.0.2", dispa, "b.example.com", "/items/from-afar");
  return new Date(middle).toISOString();
}

const SENT = 16;

async function askTraffic(dispa: Dispa, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runDispa(["traffic", ...args, "-c", dispa.configPath], {
    cwd: dispa.directory,
  });
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  assert.equal(stderr, "");
  return stdout;
}

function parseLines<T>(text: string): T[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as T);
}

interface Stats {
  requests: number;
  errors: number;
  bytes: number;
  p50_ms: number;
  p99_ms: number;
  status?: string;
}

async function testStore(store: Store): Promise<void> {
  await using upstream = new RawUpstream(answer);
  // One proxy thread: several write in an order of their own, and `tail` begins somewhere in it.
  await using dispa = await Dispa.start({ toml: toml(upstream, store), workers: 1 });
  await using clients = new SteadyClients(dispa.port, "steady.example.com", "/steady", 1);
  const middle = await sendRequests(dispa);
  const isSent = (line: TrafficLine) => line.host !== "steady.example.com";
  const sent = await eventually("the records are written", async () => {
    const lines = (await store.lines(dispa)).filter(isSent);
    return lines.length === SENT && lines;
  });
  await testQueries(dispa, sent, middle);
  await testForms(dispa, sent);
  await testStats(dispa, sent);
  await testTail(dispa);
  await store.addOld(dispa);
  assert.match(await askTraffic(dispa, "prune", "--older-than", "30d"), store.pruned);
  assert.match(await askTraffic(dispa, "prune", "--older-than", "30d"), /removed 0 file\(s\) and 0 row\(s\)/);
  const kept = (await store.lines(dispa)).filter((line) => isSent(line) && !line.path.startsWith("/tailed"));
  assert.equal(kept.length, SENT);
  await clients.stop();
}

async function testQueries(dispa: Dispa, sent: TrafficLine[], middle: string): Promise<void> {
  const items = (line: TrafficLine) => line.path.startsWith("/items");
  const questions: { args: string[]; wanted: (line: TrafficLine) => boolean; count: number }[] = [
    { args: ["--path", "/items"], wanted: items, count: 14 },
    { args: ["--since", "1h", "--path", "/items"], wanted: items, count: 14 },
    {
      args: ["--since", middle, "--path", "/items"],
      wanted: (line) => items(line) && line.timestamp >= middle,
      count: 2,
    },
    {
      args: ["--until", middle, "--path", "/items"],
      wanted: (line) => items(line) && line.timestamp < middle,
      count: 12,
    },
    { args: ["--host", "A.example.com"], wanted: (line) => line.host === "a.example.com", count: 9 },
    { args: ["--status", "404"], wanted: (line) => line.status_code === 404, count: 1 },
    { args: ["--status", "5xx"], wanted: (line) => line.status_code >= 500, count: 1 },
    { args: ["--client-ip", "127.0.0.2"], wanted: (line) => line.client_ip === "127.0.0.2", count: 1 },
    {
      args: ["--min-duration", String(SLOW_MS - 1), "--path", "/items"],
      wanted: (line) => items(line) && line.duration_ms >= SLOW_MS - 1,
      count: 1,
    },
  ];
  for (const target of ["east", "west"]) {
    const wanted = (line: TrafficLine) => line.target === target && items(line);
    const count = sent.filter(wanted).length;
    assert.ok(count > 0 && count < 14, `${count} of 14 went to ${target}`);
    questions.push({ args: ["--target", target, "--path", "/items"], wanted, count });
  }
  await Promise.all(questions.map(async ({ args, wanted, count }) => {
    const answers = parseLines<TrafficLine>(await askTraffic(dispa, "query", "--json", ...args));
    const question = args.join(" ");
    assert.equal(answers.length, count, question);
    assert.deepEqual(answers.toSorted(byId), sent.filter(wanted).sort(byId), question);
    assert.deepEqual(answers.map(timeOf), answers.map(timeOf).sort().reverse(), question);
  }));
}

async function testForms(dispa: Dispa, sent: TrafficLine[]): Promise<void> {
  const items = sent.filter(({ path }) => path.startsWith("/items"));
  const question = ["query", "--path", "/items"];
  const [limited, csv, table] = await Promise.all([
    askTraffic(dispa, ...question, "--limit", "3", "--json"),
    askTraffic(dispa, ...question, "--limit", "0", "--csv"),
    askTraffic(dispa, ...question),
  ]);
  assert.deepEqual(
    parseLines<TrafficLine>(limited).map(timeOf),
    items.map(timeOf).sort().reverse().slice(0, 3),
  );
  const [header, ...rows] = csv.trimEnd().split("\r\n").map((line) => line.split(","));
  assert.deepEqual(header, Object.keys(items[0]));
  const ids = rows.map((row) => row[header.indexOf("id")]);
  assert.deepEqual(ids.sort(), items.map(({ id }) => id).sort());
  const [titles, ...lines] = table.trimEnd().split("\n");
  assert.match(titles, /^TIME \(UTC\) +STATUS +MS +BYTES +CLIENT +TARGET +HOST +REQUEST$/);
  assert.equal(lines.length, items.length);
  assert.ok(lines.some((line) => line.includes("127.0.0.2") && line.endsWith("GET /items/from-afar")), table);
}

async function testStats(dispa: Dispa, sent: TrafficLine[]): Promise<void> {
  const items = sent.filter(({ path }) => path.startsWith("/items"));
  const [all, byStatus] = await Promise.all([
    askTraffic(dispa, "stats", "--path", "/items", "--json"),
    askTraffic(dispa, "stats", "--host", "a.example.com", "--by", "status", "--json"),
  ]);
  const [stats] = parseLines<Stats>(all);
  assert.equal(stats.requests, items.length);
  assert.equal(stats.errors, 0);
  assert.equal(stats.bytes, items.reduce((sum, line) => sum + line.request_size + line.response_size, 0));
  const durations = items.map((line) => line.duration_ms).sort((a, b) => a - b);
  // Nearest rank, of 14: the 7th and the 14th. Files are counted in steps, and three digits are shown.
  for (const [shown, exact] of [[stats.p50_ms, durations[6]], [stats.p99_ms, durations[13]]]) {
    assert.ok(Math.abs(shown - exact) <= 0.01 * exact, `${shown} is shown for ${exact}`);
  }
  const groups = parseLines<Stats>(byStatus).map((
    { status, requests, errors },
  ) => [status, requests, errors]);
  assert.deepEqual(groups, [["200", 7, 0], ["404", 1, 0], ["500", 1, 1]]);
}

async function testTail(dispa: Dispa): Promise<void> {
  const child = dispaCommand(["traffic", "tail", "--json", "--path", "/tailed", "-c", dispa.configPath], {
    cwd: dispa.directory,
  }).spawn();
  const output = new Lines(child.stdout);
  const complaints = new Lines(child.stderr);
  try {
    let asked = 0;
    await eventually("it follows", async () => {
      if (output.all.length > 0) return true;
      await dispa.fetch("a.example.com", `/tailed/${asked++}`);
      return false;
    });
    for (let more = 0; more < 3; more++) await dispa.fetch("a.example.com", `/tailed/${asked++}`);
    await output.waitFor(new RegExp(`"/tailed/${asked - 1}"`));
    const shown = output.all.map((line) => (JSON.parse(line) as TrafficLine).path);
    assert.ok(shown.length >= 4);
    const wanted = Array.from({ length: shown.length }, (_, index) => asked - shown.length + index);
    assert.deepEqual(shown, wanted.map((number) => `/tailed/${number}`));
  } finally {
    child.kill("SIGINT");
  }
  const { code } = await child.status;
  await Promise.all([output.done, complaints.done]);
  assert.equal(complaints.text, "");
  assert.equal(code, 0);
}

function byId(a: TrafficLine, b: TrafficLine): number {
  return a.id < b.id ? -1 : 1;
}

function timeOf({ timestamp }: TrafficLine): string {
  return timestamp;
}

Deno.test("dispa traffic asks the files while they are written", () => testStore(FILES));

Deno.test("dispa traffic asks SQLite while it is written", () => testStore(SQLITE));

Deno.test({
  name: "dispa traffic asks PostgreSQL while it is written",
  ...requiresPostgres(),
  fn: async () => {
    const server = await startPostgres();
    try {
      await testStore(postgresStore(await server.newDatabase()));
    } finally {
      await server.remove();
    }
  },
});

const WRONG: [args: string[], says: RegExp][] = [
  [["ask"], /unknown command "traffic ask"/],
  [["query", "--since", "yesterday"], /--since is "yesterday", wanted is a time ago/],
  [["query", "--status", "6x"], /--status is "6x", wanted is 404, 5xx or 500-599/],
  [["query", "--limit=-1"], /--limit is "-1", wanted is a number/],
  [["query", "--json", "--csv"], /--json and --csv exclude each other/],
  [["stats", "--min-duration", "long"], /--min-duration is "long", wanted is milliseconds/],
  [["stats", "--by", "colour"], /--by is "colour", wanted is host, target, status, minute/],
  [["tail", "--limit", "3"], /--limit/],
  [["prune"], /retention_days is 0/],
];

Deno.test("dispa traffic ends wrong usage with 64 and says what is wrong", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "dispa-test-" });
  try {
    const path = join(folder, "config.toml");
    Deno.writeTextFileSync(path, '[[targets.targets]]\nname = "one"\nurl = "http://127.0.0.1:9"\n');
    await Promise.all(WRONG.map(async ([args, says]) => {
      const { code, stdout, stderr } = await runDispa(["traffic", ...args, "-c", path], { cwd: folder });
      assert.equal(code, 64, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, says);
      assert.equal(stdout, "");
    }));
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["config.toml"]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
