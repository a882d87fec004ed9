/** Circuits of targets in the whole program, over real sockets and with several proxy threads. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { answer, rawExchange, targetsToml } from "../support/targets.ts";
import { ok, RawUpstream, type Reply } from "../support/upstream.ts";

/** An upstream that can be made to fail. */
class Patient extends RawUpstream {
  reply503 = false;
  reset = false;

  constructor() {
    super((): Reply => {
      if (this.reset) return (socket) => socket.close();
      return this.reply503 ? answer(503, "ill") : ok("hello");
    });
  }
}

function breaker(lines: string): string {
  return `[targets.circuit_breaker]\nenabled = true\nfailure_ratio = 0\n${lines}\n`;
}

/** Each on a connection of its own, so that all threads take part. */
async function ask(dispa: Dispa, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) statuses.push((await rawExchange(dispa, { path: `/${i}` })).status);
  return statuses;
}

const circuit = (dispa: Dispa, target: string) =>
  dispa.metric(`dispa_target_circuit_state{target="${target}"}`);
const changes = (dispa: Dispa, target: string, to: string) =>
  dispa.metric(`dispa_target_circuit_changes_total{target="${target}",to="${to}"}`);

/** What /health and the admin API say of the targets' circuits. */
async function told(dispa: Dispa): Promise<{ health: unknown[]; admin: unknown[] }> {
  const { body } = await dispa.health();
  const status = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/admin/status`)).json();
  return {
    health: body.targets.map(({ circuit }) => circuit),
    admin: status.targets.map(({ circuit }: { circuit: string }) => circuit),
  };
}

for (const [what, key] of [["resets", "reset"], ["answers with 503", "reply503"]] as const) {
  Deno.test(`a target that ${what} is left alone by all threads, tried after a while, and used again`, async () => {
    await using ill = new Patient();
    await using well = new Patient();
    await using dispa = await Dispa.start({
      toml: targetsToml([ill, well], {
        more: breaker("consecutive_failures = 4\nopen_secs = 0.5\nhalf_open_requests = 2"),
      }),
      workers: 3,
    });
    ill[key] = true;
    const statuses = await ask(dispa, 8);
    assert.equal(statuses.filter((status) => status >= 500).length, 4);
    assert.equal(await circuit(dispa, "t0"), 2);
    assert.equal(await changes(dispa, "t0", "open"), 1);
    assert.deepEqual(await told(dispa), { health: ["open", "closed"], admin: ["open", "closed"] });
    assert.equal((await dispa.health()).body.status, "degraded");
    assert.deepEqual(new Set(await ask(dispa, 8)), new Set([200]));
    assert.equal(ill.requests.length, 4);

    // It is still ill when it is tried: one request pays for that.
    await eventually("it is tried", async () => await circuit(dispa, "t0") === 1);
    assert.equal((await told(dispa)).health[0], "half_open");
    const tried = await ask(dispa, 4);
    assert.equal(tried.filter((status) => status >= 500).length, 1);
    assert.equal(await changes(dispa, "t0", "open"), 2);

    ill[key] = false;
    await eventually("it is tried again", async () => await circuit(dispa, "t0") === 1);
    assert.deepEqual(new Set(await ask(dispa, 8)), new Set([200]));
    assert.equal(await circuit(dispa, "t0"), 0);
    assert.equal(await changes(dispa, "t0", "closed"), 1);
    assert.deepEqual(await told(dispa), { health: ["closed", "closed"], admin: ["closed", "closed"] });
    const before = ill.requests.length;
    await ask(dispa, 6);
    assert.equal(ill.requests.length, before + 3);
    await dispa.stderr.waitFor(/circuit of target "t0" is open: 4 requests failed in a row/);
    await dispa.stderr.waitFor(/circuit of target "t0" is closed/);
  });
}

Deno.test("circuits never take out more than max_ejected_percent of the targets", async () => {
  const upstreams = [0, 1, 2, 3].map(() => new Patient());
  try {
    await using dispa = await Dispa.start({
      toml: targetsToml(upstreams, {
        more: breaker("consecutive_failures = 1\nopen_secs = 60\nmax_ejected_percent = 50"),
      }),
      workers: 2,
    });
    for (const upstream of upstreams) upstream.reset = true;
    assert.deepEqual(new Set(await ask(dispa, 12)), new Set([502]));
    const asked = upstreams.map(({ requests }) => requests.length);
    // Two are out after one request each; the other two get all that follow.
    assert.deepEqual(asked.filter((count) => count === 1).length, 2, `${asked}`);
    assert.equal(asked.reduce((sum, count) => sum + count, 0), 12);
    for (const upstream of upstreams) upstream.reset = false;
    assert.deepEqual(new Set(await ask(dispa, 4)), new Set([200]));
  } finally {
    for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
  }
});

Deno.test("with max_ejected_percent at 100 all can be out, and requests are refused at once", async () => {
  await using ill = new Patient();
  await using dispa = await Dispa.start({
    toml: targetsToml([ill], {
      more: breaker("consecutive_failures = 1\nopen_secs = 60\nmax_ejected_percent = 100"),
    }),
  });
  ill.reply503 = true;
  await ask(dispa, 1);
  const { status, code } = await rawExchange(dispa, {});
  assert.deepEqual([status, code], [503, "no_target"]);
  assert.equal(ill.requests.length, 1);
  assert.equal((await dispa.health()).status, 503);
  const record = await dispa.record("of the refusal", ({ target }) => target === null);
  assert.match(record.error_message!, /^no_target: /);
});

Deno.test("a reload leaves the circuits of targets that stay as they are", async () => {
  await using ill = new Patient();
  await using well = new Patient();
  const toml = (name: string) =>
    targetsToml([ill, well], { more: breaker("consecutive_failures = 2\nopen_secs = 60") })
      .replace("example.com", name);
  await using dispa = await Dispa.start({ toml: toml("*"), workers: 2 });
  ill.reset = true;
  await ask(dispa, 4);
  assert.equal(await circuit(dispa, "t0"), 2);
  await dispa.reload(toml("example.com"));
  assert.equal(await circuit(dispa, "t0"), 2);
  assert.deepEqual(new Set(await ask(dispa, 4)), new Set([200]));
  assert.equal(ill.requests.length, 2);
});

Deno.test("with retries no client sees a circuit open", async () => {
  await using ill = new Patient();
  await using well = new Patient();
  await using dispa = await Dispa.start({
    toml: targetsToml([ill, well], {
      more: `${breaker("consecutive_failures = 2\nopen_secs = 60")}[retry]\nenabled = true\n`,
    }),
    workers: 2,
  });
  ill.reset = true;
  assert.deepEqual(new Set(await ask(dispa, 12)), new Set([200]));
  assert.equal(ill.requests.length, 2);
  assert.equal(await circuit(dispa, "t0"), 2);
});

Deno.test("a target that returns takes up its share slowly, and then has all of it", async () => {
  await using ill = new Patient();
  await using well = new Patient();
  const toml = (slowStart: number) =>
    targetsToml([ill, well], {
      more: `[targets]\nslow_start = ${slowStart}\n` +
        breaker("consecutive_failures = 1\nopen_secs = 0.1\nhalf_open_requests = 1"),
    });
  await using dispa = await Dispa.start({ toml: toml(600), workers: 2 });
  ill.reset = true;
  await ask(dispa, 2);
  ill.reset = false;
  await eventually("it is used again", async () => {
    await ask(dispa, 2);
    return await circuit(dispa, "t0") === 0;
  });
  const before = ill.requests.length;
  await ask(dispa, 110);
  assert.equal(ill.requests.length - before, 10);
  const admin = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/admin/status`)).json();
  assert.equal(admin.targets[0].slow_start, 0.1);

  await dispa.reload(toml(0));
  const then = ill.requests.length;
  await ask(dispa, 20);
  assert.equal(ill.requests.length - then, 10);
});
