/** A reload that lowers `workers`: what the surplus threads still have in flight is answered and recorded. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const CLIENTS = 24;

/** Collected for so long that nothing is written unless somebody asks for it. */
const COLLECTING = "flush_interval = 60";

function toml(upstream: RawUpstream, logging: string, domains = '"example.com"'): string {
  return `
[domains]
intercept_domains = [${domains}]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
[logging]
${logging}
[logging.file]
directory = "./logs"
`;
}

function withWorkers(dispa: Dispa, text: string, workers: number): string {
  return dispa.config(text).replace(/^workers = \d+$/m, `workers = ${workers}`);
}

/** Requests that wait for their answers until they are released. */
class Held {
  readonly #release = Promise.withResolvers<void>();
  arrived = 0;

  readonly reply = (socket: Deno.TcpConn) => this.#answer(socket);

  release(): void {
    this.#release.resolve();
  }

  async #answer(socket: Deno.TcpConn): Promise<void> {
    this.arrived++;
    await this.#release.promise;
    await socket.write(new TextEncoder().encode(ok("hello")));
  }
}

/**
 * Requests in flight, on connections of their own, in all of four threads but the first, which is the one that
 * stays: it would make the program wait for it anyway.
 */
async function sendHeld(dispa: Dispa, held: Held): Promise<RawClient[]> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(dispa.port)));
  for (const [index, client] of clients.entries()) {
    await client.send(`GET /warm/${index} HTTP/1.1\r\nHost: example.com\r\n\r\n`);
    await client.readUntil(/hello$/);
    client.received = "";
  }
  // Which thread has which connection is in their records.
  const warm = await eventually("all are recorded", () => {
    const records = dispa.records();
    return records.length === CLIENTS ? records : null;
  });
  const surplus: RawClient[] = [];
  for (const { path, worker } of warm) {
    const client = clients[Number(path.slice("/warm/".length))];
    if (worker === 0) {
      client[Symbol.dispose]();
    } else {
      await client.send(`GET /held/${surplus.push(client)} HTTP/1.1\r\nHost: example.com\r\n\r\n`);
    }
  }
  assert.ok(surplus.length > 0);
  await eventually("all are in flight", () => held.arrived === surplus.length);
  return surplus;
}

async function assertAnswered(clients: RawClient[]): Promise<void> {
  const answers = await Promise.all(clients.map((client) => client.readUntil(/hello$/)));
  assert.deepEqual(answers.map((answer) => answer.split("\r\n")[0]), clients.map(() => "HTTP/1.1 200 OK"));
}

/** Every request that was held is in the log. */
function assertRecorded(dispa: Dispa, clients: RawClient[]): void {
  const held = dispa.records().filter(({ path }) => path.startsWith("/held/"));
  assert.deepEqual(
    held.map(({ path }) => path).sort(),
    clients.map((_, index) => `/held/${index + 1}`).sort(),
  );
}

/** Whether nobody listens, as several attempts find in a row: each gives the program time to go on. */
async function isDeaf(port: number): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      (await RawClient.connect(port))[Symbol.dispose]();
      return false;
    } catch (fault) {
      if (!(fault instanceof Deno.errors.ConnectionRefused)) throw fault;
    }
  }
  return true;
}

Deno.test("fewer threads and the traffic log off in one reload: all that was collected is written", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  const before = toml(upstream, `type = "file"\n${COLLECTING}`);
  await using dispa = await Dispa.start({ toml: before, workers: 4 });
  const paths = Array.from({ length: 40 }, (_, index) => `/${index}`).sort();
  // Each on a connection of its own.
  for (const path of paths) assert.equal((await dispa.fetch("example.com", path)).status, 200);
  assert.deepEqual(dispa.records(), []);
  const from = dispa.stderr.all.length;
  dispa.writeConfig(withWorkers(dispa, toml(upstream, `enabled = false\n${COLLECTING}`), 1));
  await dispa.stderr.waitFor(/configuration reloaded/, from);
  assert.deepEqual(dispa.records().map(({ path }) => path).sort(), paths);
  assert.ok(new Set(dispa.records().map(({ worker }) => worker)).size > 1, "one thread had them all");
});

/** Four threads of which three have requests in flight and are not wanted any more. */
async function startLeaving(upstream: RawUpstream, held: Held) {
  const text = toml(upstream, 'type = "file"');
  const dispa = await Dispa.start({ toml: text, workers: 4 });
  const clients = await sendHeld(dispa, held);
  // What they record from now on is written when somebody sees to it.
  for (const workers of [4, 1]) {
    const from = dispa.stderr.all.length;
    dispa.writeConfig(withWorkers(dispa, toml(upstream, `type = "file"\n${COLLECTING}`), workers));
    await dispa.stderr.waitFor(/configuration reloaded/, from);
  }
  return { dispa, clients };
}

function newUpstream(held: Held): RawUpstream {
  return new RawUpstream((request) => request.target.startsWith("/held/") ? held.reply : ok("hello"));
}

Deno.test("SIGTERM while surplus threads are busy: their requests are answered and recorded", async () => {
  const held = new Held();
  await using upstream = newUpstream(held);
  const { dispa, clients } = await startLeaving(upstream, held);
  await using _stopped = dispa;
  const stopped = dispa.stop("SIGTERM");
  await eventually("nobody listens", () => isDeaf(dispa.port));
  held.release();
  await assertAnswered(clients);
  assert.equal(await stopped, 0, dispa.stderr.text);
  for (const client of clients) client[Symbol.dispose]();
  assertRecorded(dispa, clients);
});

Deno.test("the traffic log switched off while surplus threads are busy: what they record is written", async () => {
  const held = new Held();
  await using upstream = newUpstream(held);
  const { dispa, clients } = await startLeaving(upstream, held);
  await using _stopped = dispa;
  const from = dispa.stderr.all.length;
  // The new domain tells when the remaining thread has changed.
  const off = toml(upstream, `enabled = false\n${COLLECTING}`, '"example.com", "new.example.com"');
  dispa.writeConfig(withWorkers(dispa, off, 1));
  await eventually("the new domain", async () => (await dispa.fetch("new.example.com")).status === 200);
  held.release();
  await assertAnswered(clients);
  await dispa.stderr.waitFor(/configuration reloaded/, from);
  for (const client of clients) client[Symbol.dispose]();
  assertRecorded(dispa, clients);
});

Deno.test("fewer threads and the traffic log off in one reload: what is in flight is answered and recorded", async () => {
  const held = new Held();
  await using upstream = newUpstream(held);
  const text = (logging: string, domains?: string) => toml(upstream, logging, domains);
  await using dispa = await Dispa.start({ toml: text('type = "file"'), workers: 4 });
  const clients = await sendHeld(dispa, held);
  const from = dispa.stderr.all.length;
  const off = text("enabled = false", '"example.com", "new.example.com"');
  dispa.writeConfig(withWorkers(dispa, off, 1));
  await eventually("the new domain", async () => (await dispa.fetch("new.example.com")).status === 200);
  held.release();
  await assertAnswered(clients);
  await dispa.stderr.waitFor(/configuration reloaded/, from);
  for (const client of clients) client[Symbol.dispose]();
  assertRecorded(dispa, clients);
});
