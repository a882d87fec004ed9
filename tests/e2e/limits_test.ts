/** Limits of targets, the queue before them, and backup targets, in the whole program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { rawExchange, targetsToml } from "../support/targets.ts";
import { fromLatin1, ok, RawClient, RawUpstream, writeAll } from "../support/upstream.ts";

/** Holds every request until it is told to go on. */
class Holding extends RawUpstream {
  inFlight = 0;
  most = 0;
  readonly #held: (() => void)[] = [];

  constructor() {
    super((request) => async (socket) => {
      this.most = Math.max(this.most, ++this.inFlight);
      await new Promise<void>((resolve) => this.#held.push(resolve));
      this.inFlight--;
      await writeAll(socket, fromLatin1(ok(request.target)));
    });
  }

  /** @returns false if none is held */
  releaseOne(): boolean {
    const release = this.#held.shift();
    release?.();
    return release !== undefined;
  }

  /** Lets all go on that are held now and come later. */
  releaseAll(): void {
    while (this.releaseOne());
    this.#held.push = (resolve: () => void) => {
      resolve();
      return 0;
    };
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.releaseAll();
    await super[Symbol.asyncDispose]();
  }
}

const waiting = (dispa: Dispa) => dispa.metric("dispa_waiting_requests");
const active = (dispa: Dispa, target: string) =>
  dispa.metric(`dispa_target_active_connections{target="${target}"}`);
const refused = (dispa: Dispa, reason: string) =>
  dispa.metric(`dispa_waits_refused_total{reason="${reason}"}`);

for (const workers of [1, 3]) {
  Deno.test(`max_connections holds with ${workers} thread(s), the others wait their turn and are all served`, async () => {
    await using upstream = new Holding();
    await using dispa = await Dispa.start({
      toml: targetsToml([upstream], { each: ["max_connections = 2"] }),
      workers,
    });
    const answers = Array.from({ length: 9 }, (_, i) => rawExchange(dispa, { path: `/${i}` }));
    await eventually("seven wait", async () => await waiting(dispa) === 7);
    assert.equal(await active(dispa, "t0"), 2);
    for (let left = 9; left > 0; left--) {
      await eventually("one can go on", () => upstream.releaseOne());
    }
    const bodies = (await Promise.all(answers)).map(({ body }) => body);
    assert.deepEqual(bodies, Array.from({ length: 9 }, (_, i) => `/${i}`));
    assert.equal(upstream.most, 2);
    assert.equal(await waiting(dispa), 0);
    assert.equal(await active(dispa, "t0"), 0);
    assert.equal(await dispa.metric("dispa_active_requests"), 0);
  });
}

Deno.test("requests that wait are served in the order they came", async () => {
  await using upstream = new Holding();
  await using dispa = await Dispa.start({
    toml: targetsToml([upstream], { each: ["max_connections = 1"] }),
    workers: 1,
  });
  const answers: Promise<unknown>[] = [];
  for (let i = 0; i < 5; i++) {
    answers.push(rawExchange(dispa, { path: `/${i}` }));
    await eventually(
      "it waits, or is on its way",
      async () => await waiting(dispa) + upstream.requests.length === i + 1,
    );
  }
  upstream.releaseAll();
  await Promise.all(answers);
  assert.deepEqual(upstream.requests.map(({ target }) => target), ["/0", "/1", "/2", "/3", "/4"]);
});

Deno.test("beyond max_queue and after queue_timeout a request gets 503 overloaded, recorded and counted", async () => {
  await using upstream = new Holding();
  await using dispa = await Dispa.start({
    toml: targetsToml([upstream], {
      each: ["max_connections = 1"],
      more: "[targets.load_balancing]\nmax_queue = 1\nqueue_timeout = 0.5\n",
    }),
  });
  const served = rawExchange(dispa, { path: "/served" });
  await eventually("one is served", () => upstream.inFlight === 1);
  const waits = rawExchange(dispa, { path: "/waits" });
  await eventually("one waits", async () => await waiting(dispa) === 1);
  const tooMany = await rawExchange(dispa, { path: "/too-many" });
  assert.deepEqual([tooMany.status, tooMany.code], [503, "overloaded"]);
  assert.match(tooMany.head, /^retry-after: 1$/im);
  const tooLate = await waits;
  assert.deepEqual([tooLate.status, tooLate.code], [503, "overloaded"]);
  upstream.releaseAll();
  assert.equal((await served).status, 200);
  assert.equal(upstream.requests.length, 1);
  assert.equal(await refused(dispa, "queue_full"), 1);
  assert.equal(await refused(dispa, "queue_timeout"), 1);
  for (const path of ["/too-many", "/waits"]) {
    const record = await dispa.record(path, (record) => record.path === path);
    assert.equal(record.target, null);
    assert.match(record.error_message!, /^overloaded: /);
  }
});

Deno.test("without a queue a request that finds all targets full gets 503 at once", async () => {
  await using upstream = new Holding();
  await using dispa = await Dispa.start({
    toml: targetsToml([upstream], {
      each: ["max_connections = 1"],
      more: "[targets.load_balancing]\nmax_queue = 0\n",
    }),
  });
  const served = rawExchange(dispa, {});
  await eventually("one is served", () => upstream.inFlight === 1);
  assert.equal((await rawExchange(dispa, {})).code, "overloaded");
  assert.equal(await refused(dispa, "full"), 1);
  upstream.releaseAll();
  assert.equal((await served).status, 200);
});

Deno.test("a client that leaves while it waits leaves its place in the queue", async () => {
  await using upstream = new Holding();
  await using dispa = await Dispa.start({
    toml: targetsToml([upstream], { each: ["max_connections = 1"] }),
  });
  const served = rawExchange(dispa, { path: "/first" });
  await eventually("one is served", () => upstream.inFlight === 1);
  const leaving = await RawClient.connect(dispa.port);
  await leaving.send("GET /leaves HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("it waits", async () => await waiting(dispa) === 1);
  leaving.socket.close();
  await eventually("it has left", async () => await waiting(dispa) === 0);
  const record = await dispa.record("of it", ({ path }) => path === "/leaves");
  assert.equal(record.status_code, 499);
  upstream.releaseAll();
  assert.equal((await served).status, 200);
  assert.deepEqual(upstream.requests.map(({ target }) => target), ["/first"]);
  assert.equal(await dispa.metric("dispa_active_requests"), 0);
});

Deno.test("a full target is passed over for one that has room, and a backup is none", async () => {
  await using full = new Holding();
  await using free = new RawUpstream(() => ok("free"));
  await using backup = new RawUpstream(() => ok("backup"));
  await using dispa = await Dispa.start({
    toml: targetsToml([full, free, backup], { each: ["max_connections = 1", "", "backup = true"] }),
    workers: 2,
  });
  const held = rawExchange(dispa, {});
  await eventually("it is held", () => full.inFlight === 1);
  for (let i = 0; i < 6; i++) assert.equal((await rawExchange(dispa, {})).body, "free");
  assert.equal(backup.requests.length, 0);
  full.releaseAll();
  assert.equal((await held).status, 200);
});

Deno.test("a backup is used while all others are out, and left again when one is back", async () => {
  let isWell = true;
  const patient = (request: { target: string }) => {
    if (request.target !== "/up") return ok("first");
    return isWell ? ok("") : "HTTP/1.1 500 Ill\r\ncontent-length: 0\r\n\r\n";
  };
  await using a = new RawUpstream(patient);
  await using b = new RawUpstream(patient);
  await using backup = new RawUpstream(() => ok("backup"));
  await using dispa = await Dispa.start({
    toml: targetsToml([a, b, backup], {
      each: ["", "", "backup = true"],
      checks: 'path = "/up"\ninterval = 0.1\nunhealthy_threshold = 1\nhealthy_threshold = 1',
    }),
    workers: 2,
  });
  const body = async () => (await rawExchange(dispa, {})).body;
  assert.equal(await body(), "first");
  isWell = false;
  await eventually("the backup stands in", async () => await body() === "backup");
  for (let i = 0; i < 6; i++) assert.equal(await body(), "backup");
  isWell = true;
  await eventually("the others are back", async () => await body() === "first");
  for (let i = 0; i < 6; i++) assert.equal(await body(), "first");
});
