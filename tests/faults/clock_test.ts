/** The machine's clock is set forward and back: nothing that waits, or is counted by time, goes by it. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Footprint } from "../support/footprint.ts";
import { Shift } from "../support/shifted/shift.ts";
import { requiresThat } from "../support/skip.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { rawExchange, targetsToml } from "../support/targets.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const DAY_MS = 86_400_000;
const ANSWER_AFTER_MS = 10;
const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
const SETTINGS = `[http_client]
pool_idle_timeout_secs = 0.3
[retry]
enabled = true
attempts = 2
[targets.circuit_breaker]
enabled = true
consecutive_failures = 2
failure_ratio = 0
open_secs = 0.2
max_open_secs = 0.2
half_open_requests = 1
failure_statuses = [500]
max_ejected_percent = 100
`;

Deno.test({
  name: "the clock jumps forward and back under load: nothing times out, waits or is lost by that",
  ...requiresThat(Deno.env.get("DISPA_BIN") === undefined, "an executable's threads cannot be exchanged"),
  fn: async () => {
    const held = Promise.withResolvers<void>();
    let isWell = true;
    await using upstream = new RawUpstream(({ target }) => async (socket) => {
      if (target === "/hold") await held.promise;
      // There is something in flight all the time, and the log does not grow for nothing.
      else await pause(ANSWER_AFTER_MS);
      await socket.write(new TextEncoder().encode(ok("hello")));
    });
    using _release = { [Symbol.dispose]: () => held.resolve() };
    await using flaky = new RawUpstream(({ target }) =>
      isWell || target === "/health" ? ok("hello") : "HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n"
    );
    await using shift = new Shift();
    const toml = targetsToml([upstream, flaky], {
      more: `${SETTINGS}
[routing]
default_target = "t0"
[[routing.rules]]
name = "flaky"
conditions.path.prefix = "/flaky"
target = "t1"
`,
      checks: 'path = "/health"\ninterval = 0.1\ntimeout = 0.09\nunhealthy_threshold = 50',
    });
    await using dispa = await Dispa.start({ toml, workers: 2, ...await shift.program() });
    {
      await using warm = new SteadyClients(dispa.port, "example.com", "/warm");
      await warm.served(100);
      await warm.stop();
    }
    const footprint = await Footprint.of(dispa);
    await using clients = new SteadyClients(dispa.port, "example.com", "/steady", 4);
    using holding = await RawClient.connect(dispa.port);
    await holding.send("GET /hold HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await eventually("it is in flight", () => upstream.requests.some(({ target }) => target === "/hold"));
    // Between two requests of the same connection, for the whole of the test.
    using idle = await RawClient.connect(dispa.port);
    await idle.send("GET /idle HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await idle.readUntil(/hello$/);

    const jumps = [DAY_MS, -DAY_MS, 40 * DAY_MS, 0, -40 * DAY_MS];
    for (const [number, jump] of jumps.entries()) {
      isWell = false;
      await eventually("the circuit is open", async () => {
        const { code } = await rawExchange(dispa, { path: "/flaky" });
        return code === "no_target";
      });
      isWell = true;
      shift.set(jump);
      const day = () => new Date(Date.now() + jump).toISOString().slice(0, 10);
      await eventually("records have the new time", async () => {
        const path = `/after/${number}`;
        await rawExchange(dispa, { path });
        const days = dispa.records().filter((record) => record.path === path).map(({ timestamp }) =>
          timestamp
        );
        return days.some((timestamp) => timestamp.startsWith(day()));
      });
      await eventually("the circuit closes", async () => {
        const { status } = await rawExchange(dispa, { path: "/flaky" });
        return status === 200;
      });
      await clients.served(50);
    }

    held.resolve();
    assert.match(await holding.readUntil(/hello$/), /^HTTP\/1\.1 200 /);
    idle.received = "";
    await idle.send("GET /idle HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert.match(await idle.readUntil(/hello$/), /^HTTP\/1\.1 200 /);
    await clients.stop();
    holding.socket.close();
    idle.socket.close();
    await footprint.restored(dispa);
    assert.equal((await dispa.health()).body.status, "healthy");
    assert.equal(await dispa.metric("dispa_log_dropped_total"), 0);
    assert.equal(await dispa.stop("SIGTERM"), 0);
    const records = dispa.records();
    assert.equal(new Set(records.map(({ id }) => id)).size, records.length, "ids are told apart");
    const steady = records.map(({ path }) => path).filter((path) => path.startsWith("/steady"));
    assert.deepEqual(steady.sort(), clients.answered.map(({ path }) => path).sort());
    for (const { duration_ms, upstream_ms, path } of records) {
      for (const ms of [duration_ms, upstream_ms ?? 0]) {
        assert.ok(ms >= 0 && ms < DAY_MS, `${path} took ${ms} ms`);
      }
    }
  },
});
