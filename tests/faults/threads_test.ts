/** A thread of the program dies under load: it is replaced, the others go on, and nothing of it stays. */
import assert from "node:assert/strict";
import { accounted } from "../support/accounted.ts";
import { Dispa, type DispaOptions } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Footprint } from "../support/footprint.ts";
import { mortalImportMap, ORDERS, tellToDie } from "../support/mortal/orders.ts";
import { requiresThat } from "../support/skip.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { targetsToml } from "../support/targets.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const NEEDS_SOURCES = requiresThat(
  Deno.env.get("DISPA_BIN") === undefined,
  "an executable's threads cannot be exchanged",
);

async function withMortalThreads(
  options: DispaOptions,
  run: (dispa: Dispa, kill: (thread: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-orders-" });
  try {
    const importMap = await mortalImportMap(folder);
    await using dispa = await Dispa.start({ ...options, importMap, env: { [ORDERS]: folder } });
    await run(dispa, (thread) => tellToDie(folder, thread));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const restarts = (dispa: Dispa) => dispa.metric("dispa_worker_restarts_total");
const POOL = "[http_client]\npool_idle_timeout_secs = 0.3\n";

Deno.test({
  name: "proxy threads die one after the other under load: only their own connections break",
  ...NEEDS_SOURCES,
  fn: async () => {
    const held = Promise.withResolvers<void>();
    await using upstream = new RawUpstream(({ target }) =>
      target === "/hold" ? () => held.promise : ok("hello")
    );
    const toml = targetsToml([upstream], { more: POOL });
    await withMortalThreads({ toml, workers: 3 }, async (dispa, kill) => {
      {
        await using warm = new SteadyClients(dispa.port, "example.com", "/warm", 6);
        await eventually("requests are served", () => warm.answered.length > 100);
        await warm.stop();
      }
      const footprint = await Footprint.of(dispa);
      await using clients = new SteadyClients(dispa.port, "example.com", "/steady", 6);
      const waiting = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(dispa.port)));
      for (const client of waiting) await client.send("GET /hold HTTP/1.1\r\nHost: example.com\r\n\r\n");
      await eventually("they are in flight", () => upstream.requests.filter(isHold).length === 12);
      for (const thread of ["proxy-0", "proxy-1", "proxy-2", "proxy-0"]) {
        const before = await restarts(dispa);
        await kill(thread);
        await eventually("it is replaced and counted", async () => await restarts(dispa) === before + 1);
        // A client of a thread that lives, or a new one, is served.
        await eventually(
          "requests are served",
          async () => (await dispa.fetch("example.com")).status === 200,
        );
      }
      for (const client of waiting) client.socket.close();
      held.resolve();
      // Clients whose thread died have ended by themselves; none of the others has seen a wrong answer.
      await clients.stop();
      assert.equal(dispa.stderr.all.filter((line) => /died and is replaced/.test(line)).length, 4);
      await eventually("three threads run", async () => {
        const metrics = await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics/json`);
        return (await metrics.json()).workers.running === 3;
      });
      await footprint.restored(dispa);
      assert.equal(await dispa.stop("SIGTERM"), 0);
    });
  },
});

function isHold({ target }: { target: string }): boolean {
  return target === "/hold";
}

Deno.test({
  name: "the writer thread dies under load: requests go on, and what is lost of the log is counted",
  ...NEEDS_SOURCES,
  fn: async () => {
    await using upstream = new RawUpstream(() => ok("hello"));
    await withMortalThreads(
      { toml: targetsToml([upstream], { more: POOL }), workers: 2 },
      async (dispa, kill) => {
        await using clients = new SteadyClients(dispa.port, "example.com");
        for (let death = 1; death <= 3; death++) {
          const before = clients.answered.length;
          await eventually("requests are served", () => clients.answered.length > before + 100);
          await kill("writer");
          await eventually("it is replaced and counted", async () => await restarts(dispa) === death);
        }
        const then = clients.answered.length;
        await eventually("requests are served", () => clients.answered.length > then + 100);
        await clients.stop();
        const last = await dispa.fetch("example.com", "/last");
        assert.equal(last.status, 200);
        const asked = clients.answered.length + 1;
        const lost = await accounted(dispa, asked, () => dispa.records().length);
        assert.equal(await dispa.stop("SIGTERM"), 0);
        const paths = dispa.records().map(({ path }) => path);
        assert.equal(new Set(paths).size, paths.length, "no record twice");
        assert.ok(paths.includes("/last"));
        assert.equal(paths.length + lost, asked);
      },
    );
  },
});
