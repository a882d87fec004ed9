/** The checker over real local servers, with a clock that the tests turn. */
import assert from "node:assert/strict";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import type { HealthCheckConfig, TargetConfig } from "../../../src/config/model.ts";
import { HealthChecker, type HealthCheckerOptions, type HealthFetch } from "../../../src/health/checker.ts";
import { systemClock } from "../../../src/health/clock.ts";
import { closedPort, Events, FakeClock, localTarget, serve, serveRaw } from "./fixture.ts";

const CONFIG: HealthCheckConfig = {
  enabled: true,
  intervalMs: 10_000,
  timeoutMs: 3000,
  healthyThreshold: 2,
  unhealthyThreshold: 2,
  path: "/up",
};

/** A checker of these targets; nothing is spread or jittered unless `random` says so (0.5 is the middle). */
function watch(options: Partial<HealthCheckerOptions> = {}) {
  const table = new TargetTable();
  const slots = new SlotAllocator(table);
  const clock = new FakeClock();
  const checks = new Events<string>();
  const changes = new Events<string>();
  const logged: string[] = [];
  const checker = new HealthChecker({
    table,
    clock,
    userAgent: "dispa-health/test",
    random: () => 0.5,
    log: {
      info: (_, message) => logged.push(`info ${message}`),
      warn: (_, message) => logged.push(`warn ${message}`),
    },
    observe: {
      checkDuration: (name) => checks.add(name),
      stateChanged: ({ name, state }) => changes.add(`${name} ${state}`),
    },
    ...options,
  });
  return {
    table,
    clock,
    checks,
    changes,
    logged,
    checker,
    apply(configs: TargetConfig[], config: Partial<HealthCheckConfig> = {}) {
      const targets = slots.assign(configs);
      checker.apply(targets, { ...CONFIG, ...config });
      return targets;
    },
    /** Lets the next `count` checks run, whenever they are due, and finish. */
    async next(count = 1) {
      clock.advance(clock.waitingMs[count - 1]);
      return await checks.take(count);
    },
    state: (name: string) => checker.status().find((health) => health.name === name)?.state,
    [Symbol.asyncDispose]: () => checker.stop(),
  };
}

Deno.test("checker: a target is used before its first check, healthy after it, and logged once", async () => {
  await using server = serve(() => new Response("fine"));
  await using watched = watch();
  const [target] = watched.apply([localTarget(server.port, "a")]);
  assert.equal(watched.state("a"), "unknown");
  assert.ok(watched.table.isUsable(target.slot));
  for (let check = 0; check < 3; check++) assert.deepEqual(await watched.next(), ["a"]);
  assert.equal(watched.state("a"), "healthy");
  assert.equal(watched.table.state(target.slot), TargetState.Healthy);
  assert.deepEqual(watched.logged, ['info target "a" is healthy: status 200 from /up']);
  assert.deepEqual(watched.changes.pending, ["a healthy"]);
});

Deno.test("checker: a target that was never there is told of at its first check, and stays in use until it is unhealthy", async () => {
  await using server = serve(() => new Response("", { status: 503 }));
  await using watched = watch();
  const [target] = watched.apply([localTarget(server.port, "a")]);
  await watched.next();
  const first =
    'warn target "a" fails its first check, and is in use until more of them have: status 503 from /up';
  assert.deepEqual(watched.logged, [first]);
  assert.ok(watched.table.isUsable(target.slot));
  for (let check = 0; check < 2; check++) await watched.next();
  assert.ok(!watched.table.isUsable(target.slot));
  assert.deepEqual(watched.logged, [first, 'warn target "a" is unhealthy: status 503 from /up']);
});

Deno.test("checker: a target falls and recovers by the thresholds, each logged once with its reason", async () => {
  let status = 200;
  await using server = serve(() => new Response("", { status }));
  await using watched = watch();
  const [target] = watched.apply([localTarget(server.port, "a")]);
  await watched.next();
  status = 503;
  await watched.next();
  assert.ok(watched.table.isUsable(target.slot));
  await watched.next();
  assert.ok(!watched.table.isUsable(target.slot));
  await watched.next();
  status = 200;
  await watched.next();
  assert.ok(!watched.table.isUsable(target.slot));
  await watched.next();
  assert.ok(watched.table.isUsable(target.slot));
  assert.deepEqual(watched.logged, [
    'info target "a" is healthy: status 200 from /up',
    'warn target "a" is unhealthy: status 503 from /up',
    'info target "a" is healthy: status 200 from /up',
  ]);
});

Deno.test("checker: status tells each target's last check", async () => {
  const port = closedPort();
  await using watched = watch();
  watched.apply([localTarget(port, "a"), localTarget(port, "b")]);
  const since = watched.clock.now();
  await watched.next(2);
  const expected = (name: string) => ({
    name,
    url: `http://127.0.0.1:${port}`,
    state: "unknown",
    since,
    lastCheckAt: watched.clock.now(),
    lastDurationMs: 0,
    lastError: "connection refused",
    consecutiveSuccesses: 0,
    consecutiveFailures: 1,
  });
  assert.deepEqual(watched.checker.status(), [expected("a"), expected("b")]);
});

Deno.test("checker: the request names the target's own authority and this program, follows no redirect", async () => {
  const headers = new Events<Headers>();
  await using server = serve((_, request) => {
    headers.add(request.headers);
    return new Response("", { status: 302, headers: { location: "/elsewhere" } });
  });
  await using watched = watch();
  watched.apply([localTarget(server.port, "a")]);
  await watched.next();
  const [seen] = await headers.take(1);
  assert.equal(seen.get("host"), `127.0.0.1:${server.port}`);
  assert.equal(seen.get("user-agent"), "dispa-health/test");
  assert.equal(watched.state("a"), "healthy");
  assert.deepEqual(server.asked, ["/up"]);
});

Deno.test("checker: a check that gets no answer in time fails, and its connection is closed", async () => {
  const events = new Events<string>();
  await using server = serveRaw(async (connection) => {
    const buffer = new Uint8Array(4096);
    await connection.read(buffer);
    events.add("asked");
    if (await connection.read(buffer) === null) events.add("closed");
  });
  await using watched = watch();
  watched.apply([localTarget(server.port, "a")]);
  watched.clock.advance(0);
  await events.take(1);
  watched.clock.advance(2999);
  assert.deepEqual(watched.checks.pending, []);
  watched.clock.advance(1);
  await watched.checks.take(1);
  assert.equal(watched.checker.status()[0].lastError, "timed out after 3000 ms");
  assert.equal(watched.checker.status()[0].lastDurationMs, 3000);
  assert.deepEqual(await events.take(1), ["closed"]);
  // The interval runs from start to start.
  assert.deepEqual(watched.clock.waitingMs, [7000]);
});

Deno.test("checker: intervals are jittered by up to 10 %, first checks spread but for a single target", async () => {
  await using server = serve(() => new Response("fine"));
  for (const [random, firstMs, nextMs] of [[0, 0, 9000], [0.5, 5, 10_000], [0.75, 7.5, 10_500]]) {
    await using watched = watch({ random: () => random });
    watched.apply([localTarget(server.port, "a"), localTarget(server.port, "b")]);
    assert.deepEqual(watched.clock.waitingMs, [firstMs, firstMs]);
    await watched.next(2);
    for (const waiting of watched.clock.waitingMs) {
      assert.ok(Math.abs(waiting - nextMs) < 0.001, `${waiting}`);
    }
  }
  await using single = watch({ random: () => 0.9 });
  single.apply([localTarget(server.port)]);
  assert.deepEqual(single.clock.waitingMs, [0]);
  await using many = watch({ random: () => 0.9999 });
  many.apply(Array.from({ length: 500 }, (_, index) => localTarget(server.port, `t${index}`)), {
    intervalMs: 60_000,
  });
  assert.ok(many.clock.waitingMs[499] <= 1000);
});

Deno.test("checker: a target that stays keeps state and streak over a reload, wherever it now stands", async () => {
  let status = 200;
  await using server = serve(() => new Response("", { status }));
  await using watched = watch();
  const a = localTarget(server.port, "a");
  watched.apply([a]);
  await watched.next();
  status = 500;
  await watched.next();
  const [before] = watched.checker.status();
  const [, kept] = watched.apply([localTarget(server.port, "b"), { ...a, weight: 9 }]);
  assert.deepEqual(watched.checker.status()[1], before);
  assert.equal(watched.checker.status()[0].state, "unknown");
  assert.equal(watched.table.state(kept.slot), TargetState.Healthy);
  // The new one is checked at once, the old one when it was due; one more failure is its second.
  assert.deepEqual(await watched.next(), ["b"]);
  assert.deepEqual(await watched.next(), ["a"]);
  assert.equal(watched.table.state(kept.slot), TargetState.Unhealthy);
});

Deno.test("checker: a target with the same name and another url starts as unknown", async () => {
  await using server = serve(() => new Response("fine"));
  await using watched = watch();
  watched.apply([localTarget(closedPort(), "a")], { unhealthyThreshold: 1 });
  await watched.next();
  assert.equal(watched.state("a"), "unhealthy");
  const [moved] = watched.apply([localTarget(server.port, "a")]);
  assert.equal(watched.state("a"), "unknown");
  assert.ok(watched.table.isUsable(moved.slot));
  await watched.next();
  assert.equal(watched.state("a"), "healthy");
});

Deno.test("checker: a new target in the slot of an old one starts as unknown", async () => {
  await using watched = watch();
  const slot = 7;
  const old = localTarget(closedPort(), "old");
  watched.checker.apply([{ slot, config: old }], { ...CONFIG, unhealthyThreshold: 1 });
  await watched.next();
  for (
    const config of [{ ...old, name: "renamed" }, { ...old, name: "renamed", url: "http://127.0.0.1:9" }]
  ) {
    assert.equal(watched.checker.status()[0].state, "unhealthy");
    watched.checker.apply([{ slot, config }], { ...CONFIG, unhealthyThreshold: 1 });
    assert.equal(watched.checker.status()[0].state, "unknown");
    assert.equal(watched.table.state(slot), TargetState.Unknown);
    await watched.next();
  }
});

Deno.test("checker: a removed target is no longer checked, not even to the end of a check", async () => {
  const events = new Events<string>();
  await using server = serveRaw(async (connection) => {
    const buffer = new Uint8Array(4096);
    await connection.read(buffer);
    events.add("asked");
    if (await connection.read(buffer) === null) events.add("closed");
  });
  await using watched = watch();
  const [target] = watched.apply([localTarget(server.port, "a")], { unhealthyThreshold: 1 });
  watched.clock.advance(0);
  await events.take(1);
  watched.apply([]);
  assert.deepEqual(await events.take(1), ["closed"]);
  await watched.checker.stop();
  assert.deepEqual(watched.checker.status(), []);
  assert.deepEqual(watched.clock.waitingMs, []);
  assert.deepEqual(watched.checks.pending, []);
  assert.equal(watched.table.state(target.slot), TargetState.Unknown);
});

Deno.test("checker: a shorter interval holds for the check that is already waiting", async () => {
  await using server = serve(() => new Response("fine"));
  await using watched = watch();
  const targets = [localTarget(server.port, "a")];
  watched.apply(targets);
  await watched.next();
  watched.clock.advance(1000);
  watched.apply(targets, { intervalMs: 4000 });
  assert.deepEqual(watched.clock.waitingMs, [3000]);
  watched.clock.advance(2000);
  watched.apply(targets, { intervalMs: 500 });
  assert.deepEqual(watched.clock.waitingMs, [0]);
});

Deno.test("checker: the path that was found is kept over a reload", async () => {
  await using server = serve((path) => path === "/ping" ? new Response("fine") : undefined);
  await using watched = watch();
  const targets = [localTarget(server.port, "a")];
  watched.apply(targets, { path: null });
  await watched.next();
  server.asked.length = 0;
  watched.apply(targets, { path: null });
  await watched.next();
  assert.deepEqual(server.asked, ["/ping"]);
});

Deno.test("checker: a new path and new thresholds hold from the next check", async () => {
  await using server = serve((path) => path === "/new" ? new Response("fine") : undefined);
  await using watched = watch();
  const targets = [localTarget(server.port, "a")];
  watched.apply(targets);
  await watched.next();
  assert.equal(watched.checker.status()[0].lastError, "status 404 from /up");
  watched.apply(targets, { path: "/new" });
  await watched.next();
  assert.equal(watched.state("a"), "healthy");
  watched.apply(targets, { path: "/old", unhealthyThreshold: 1 });
  await watched.next();
  assert.equal(watched.state("a"), "unhealthy");
});

Deno.test("checker: turned off, nothing is checked and every target is unknown; turned on, it starts anew", async () => {
  await using watched = watch();
  const targets = [localTarget(closedPort(), "a")];
  const [target] = watched.apply(targets, { unhealthyThreshold: 1 });
  await watched.next();
  assert.ok(!watched.table.isUsable(target.slot));
  watched.apply(targets, { enabled: false });
  assert.deepEqual(watched.clock.waitingMs, []);
  assert.equal(watched.state("a"), "unknown");
  assert.ok(watched.table.isUsable(target.slot));
  assert.equal(watched.logged.at(-1), 'info target "a" is unknown: health checks were turned off');
  watched.apply(targets, { unhealthyThreshold: 1 });
  await watched.next();
  assert.equal(watched.logged.length, 3);
  assert.deepEqual(watched.changes.pending, ["a unhealthy", "a unknown", "a unhealthy"]);
});

Deno.test("checker: never turned on, it opens nothing", () => {
  const watched = watch();
  watched.apply([localTarget(closedPort(), "a")], { enabled: false });
  assert.deepEqual(watched.clock.waitingMs, []);
  assert.equal(watched.state("a"), "unknown");
  return watched.checker.stop();
});

Deno.test("checker: no more than 64 checks run at once, and the others follow", async () => {
  const arrived = new Events<() => void>();
  const fetch = () => new Promise<Response>((resolve) => arrived.add(() => resolve(new Response("fine"))));
  await using watched = watch({ fetch });
  watched.apply(Array.from({ length: 100 }, (_, index) => localTarget(80, `t${index}`)));
  watched.clock.advance(1000);
  const first = await arrived.take(64);
  assert.equal(arrived.pending.length, 0);
  first[0]();
  await watched.checks.take(1);
  const [next] = await arrived.take(1);
  assert.equal(arrived.pending.length, 0);
  [...first.slice(1), next].forEach((answer) => answer());
  (await arrived.take(35)).forEach((answer) => answer());
  await watched.checks.take(99);
  assert.ok(watched.checker.status().every(({ state }) => state === "healthy"));
});

Deno.test("checker: stop ends the checks under way and begins none of those that wait", async () => {
  const asked = new Events<string>();
  const fetch: HealthFetch = (url, { signal }) =>
    new Promise((_, reject) => {
      asked.add(url);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  await using watched = watch({ fetch });
  watched.apply(Array.from({ length: 100 }, (_, index) => localTarget(80, `t${index}`)));
  watched.clock.advance(1000);
  await watched.checker.stop();
  assert.equal(asked.pending.length, 64);
  assert.deepEqual(watched.checks.pending, []);
});

Deno.test("checker: stop in the middle of many checks leaves nothing open and changes no state", async () => {
  await using server = serve(() => new Response("fine"));
  const watched = watch();
  const targets = watched.apply(
    Array.from({ length: 100 }, (_, index) => localTarget(server.port, `t${index}`)),
  );
  watched.clock.advance(1000);
  await watched.checks.take(1);
  const stopped = watched.checker.stop();
  const before = targets.map(({ slot }) => watched.table.state(slot));
  await stopped;
  assert.deepEqual(targets.map(({ slot }) => watched.table.state(slot)), before);
  assert.deepEqual(watched.clock.waitingMs, []);
  await watched.checker.stop();
  assert.throws(() => watched.apply([]), {
    message: "cannot apply targets to a health checker that was stopped",
  });
});

Deno.test("checker: with the system's clock it checks again and again by itself", async () => {
  await using server = serve(() => new Response("fine"));
  await using watched = watch({ clock: systemClock });
  watched.apply([localTarget(server.port, "a")], { intervalMs: 5, timeoutMs: 3000 });
  assert.deepEqual(await watched.checks.take(3), ["a", "a", "a"]);
  assert.equal(watched.state("a"), "healthy");
});
