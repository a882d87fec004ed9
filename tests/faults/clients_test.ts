/** Clients that leave in crowds, and descriptors that run out: others are served, and nothing is left behind. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { descriptors, Footprint } from "../support/footprint.ts";
import { requires } from "../support/skip.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { targetsToml } from "../support/targets.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const POOL = "[http_client]\npool_idle_timeout_secs = 0.3\n";
const CROWD = 1000;
/**
 * A crowd takes 250 MiB and leaves garbage that is only collected some crowds later: in a request body the memory
 * was measured to level off with the sixth, after a growth of 100 MiB from the first to the second. What is held
 * for good of each, its buffers, is more.
 */
const GROWTH_MIB = 160;
/** What a crowd asks for and leaves before, or in the middle of, the answer. */
const LEAVING = {
  "before the answer": "GET /hold HTTP/1.1\r\nHost: example.com\r\n\r\n",
  "in a request body": "POST /hold HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10000\r\n\r\nhello",
  "in a streamed answer": "GET /events HTTP/1.1\r\nHost: example.com\r\n\r\n",
};

for (const [when, request] of Object.entries(LEAVING)) {
  Deno.test(`${CROWD} clients leave at once ${when}: their targets are let go of, and all are recorded`, async () => {
    const held = Promise.withResolvers<void>();
    await using upstream = new RawUpstream(({ target }) => {
      if (target === "/hold") return () => held.promise;
      if (target !== "/events") return ok("hello");
      return async (socket) => {
        const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        await socket.write(new TextEncoder().encode(`${head}data: 1\n\n`));
        await held.promise;
      };
    });
    using _release = { [Symbol.dispose]: () => held.resolve() };
    await using dispa = await Dispa.start({
      toml: targetsToml([upstream], { more: POOL }),
      server: "request_timeout = 120",
      workers: 2,
    });
    // No connection is open at the beginning, so that the crowd needs as many as it is.
    const comeAndGo = async () => {
      const before = upstream.accepted;
      await using others = new SteadyClients(dispa.port, "example.com", "/steady", 2);
      const crowd = await Promise.all(Array.from({ length: CROWD }, () => RawClient.connect(dispa.port)));
      await Promise.all(crowd.map((client) => client.send(request)));
      await eventually("all have reached the upstream", () => upstream.accepted >= before + CROWD, 60_000);
      if (when === "in a streamed answer") {
        await Promise.all(crowd.map((client) => client.readUntil(/data: 1/, 60_000)));
      }
      for (const client of crowd) client.socket.close();
      await others.served(50);
      await others.stop();
    };
    await comeAndGo();
    const footprint = await Footprint.of(dispa);
    await comeAndGo();
    await footprint.restored(dispa, GROWTH_MIB);
    assert.equal(await dispa.stop("SIGTERM"), 0);
    const left = dispa.records().filter(({ path }) => path === "/hold" || path === "/events");
    assert.equal(left.length, 2 * CROWD);
    for (const { error_message, status_code } of left) {
      assert.match(error_message!, /^client_gone: /);
      assert.equal(status_code, when === "in a streamed answer" ? 200 : 499);
    }
  });
}

const CIRCUITS = "[targets.circuit_breaker]\nenabled = true\nconsecutive_failures = 1\n";

for (const transport of ["http1", "fetch"]) {
  Deno.test({
    name: `${transport}: descriptors run out under load: the target is not blamed, and all recovers`,
    ...requires("prlimit", "/usr/bin/prlimit"),
    fn: async () => {
      await using upstream = new RawUpstream(() => ok("hello"));
      const toml = targetsToml([upstream, upstream], {
        more: `[http_client]\ntransport = "${transport}"\n${CIRCUITS}`,
        checks: "path = '/health'\ninterval = 1\ntimeout = 0.9\nunhealthy_threshold = 1",
      });
      await using dispa = await Dispa.start({ toml, workers: 2 });
      // From here on the file is only read when it has changed.
      await dispa.reload(`${toml}# changed`);
      await using steady = new SteadyClients(dispa.port, "example.com", "/steady", 4);
      await steady.served(100);
      // With `fetch` a request that finds no idle connection fails, whoever gives one back the next moment.
      if (transport === "fetch") await steady.stop();
      const told = (pattern: RegExp) => dispa.stderr.all.filter((line) => pattern.test(line));
      const limit = async (soft: number) => {
        const args = ["--pid", `${dispa.pid}`, `--nofile=${soft}:`];
        assert.ok((await new Deno.Command("prlimit", { args }).output()).success);
      };
      await limit(descriptors(dispa.pid).length + 20);
      const crowd = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(dispa.port)));
      const answers = crowd.map(async (client) => {
        await client.send("GET /crowd HTTP/1.1\r\nHost: example.com\r\n\r\n");
        return await client.readUntil(/hello$|x-dispa-error: [^]*\r\n\r\n[^]+\n$/, 60_000);
      });
      const ports = [dispa.healthPort, dispa.metricsPort];
      const operators = await Promise.all(
        Array.from({ length: 60 }, (_, i) => RawClient.connect(ports[i % 2])),
      );
      for (const port of [dispa.port, ...ports]) {
        await dispa.stderr.waitFor(
          new RegExp(`connections cannot be accepted, trying again .*port=${port}\\b`),
        );
      }
      dispa.writeConfig(dispa.config());
      await dispa.stderr.waitFor(/configuration not reloaded .*Too many open files/);
      // Who is connected, with an idle connection or one that another request gives back. So many that the
      // targets' health is checked meanwhile.
      if (transport === "http1") await steady.served(3000);
      await limit(10_000);
      for (const port of [dispa.port, ...ports]) {
        await dispa.stderr.waitFor(new RegExp(`connections are accepted again .*port=${port}\\b`));
      }
      await eventually(
        "what was changed meanwhile is in use",
        () => told(/configuration reloaded/).length === 2,
      );
      for (const answer of await Promise.all(answers)) {
        assert.match(answer, /^HTTP\/1\.1 (?:200 |503 [^]*x-dispa-error: overloaded[^]*retry-after: 1)/);
      }
      await using after = new SteadyClients(dispa.port, "example.com", "/after", 4);
      await after.served(100);
      await after.stop();
      await steady.stop();
      for (const client of [...crowd, ...operators]) client.socket.close();
      assert.deepEqual([(await dispa.health()).status, (await dispa.health()).body.status], [200, "healthy"]);
      for (const target of ["t0", "t1"]) {
        assert.equal(await dispa.metric(`dispa_target_active_connections{target="${target}"}`), 0);
      }
      assert.ok(await dispa.metric("dispa_accept_errors_total") > 0);
      // Neither the checks nor the circuits took it for a fault of the targets.
      assert.deepEqual(told(/is unhealthy|circuit of target/), []);
      // Each thread says it once, however often it happens.
      assert.ok(told(/requests are refused with 503/).length <= 2);
      assert.equal(await dispa.stop("SIGTERM"), 0);
      for (
        const { error_message, retries } of dispa.records().filter(({ status_code }) => status_code !== 200)
      ) {
        assert.match(error_message!, /^overloaded: .*phase=connect errno=EMFILE\]$/);
        assert.equal(retries, 0);
      }
    },
  });
}
