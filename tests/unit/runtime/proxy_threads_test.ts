/** Proxy threads on real Workers and sockets: what happens when one dies. */
import assert from "node:assert/strict";
import { ALL_TARGETS } from "../../../src/balancing/groups.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";
import { checkConfig } from "../../../src/config/check.ts";
import { bucketBounds, FAMILIES, MetricRegistry } from "../../../src/metrics/mod.ts";
import { ProxyThreads } from "../../../src/runtime/proxy_threads.ts";
import { allocateProcessBlocks } from "../../../src/runtime/shared_memory.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/ports.ts";
import { ok, RawClient, RawUpstream } from "../../support/upstream.ts";

/** Two threads before one upstream, and the parts around them that a supervisor would hold. */
async function start(upstream: RawUpstream, stalledAfterMs?: number) {
  const port = freePort();
  const checked = await checkConfig(
    `[server]\nbind_address = "127.0.0.1:${port}"\nworkers = 2\n[logging]\nenabled = false\n
[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n`,
    { path: "test.toml" },
  );
  assert.ok(checked.ok);
  const { config } = checked;
  const blocks = allocateProcessBlocks();
  const table = new TargetTable(blocks.targets);
  const registry = new MetricRegistry(bucketBounds({}));
  const log: string[] = [];
  let restarts = 0;
  let id = 0;
  const threads = new ProxyThreads({
    blocks,
    registry,
    log: (_level, message, fields) => log.push(`${message} ${JSON.stringify(fields)}`),
    connectWriter: () => null,
    onRestart: () => restarts++,
    explainToken: null,
    nextThreadId: () => ++id,
    entry: new URL("../../support/mortal_proxy_thread.ts", import.meta.url),
    stalledAfterMs,
  });
  const targets = new SlotAllocator(table).assign(config.targets.targets);
  await threads.start({ generation: 1, config, targets, rotations: { [ALL_TARGETS]: 0 }, shared: {} });
  const requests = () => {
    const family = registry.gather().find(({ family }) => family.name === FAMILIES.requests.name);
    return family?.kind === "scalar" ? family.series.reduce((sum, { value }) => sum + value, 0) : 0;
  };
  return { port, threads, table, slot: targets[0].slot, log, requests, restarts: () => restarts };
}

type Run = Awaited<ReturnType<typeof start>>;

/** Runs with the threads started; a failure says what they have logged, without which it can hardly be explained. */
async function withThreads(
  upstream: RawUpstream,
  body: (run: Run) => Promise<void>,
  stalledAfterMs?: number,
): Promise<void> {
  const run = await start(upstream, stalledAfterMs);
  try {
    await body(run);
  } catch (fault) {
    const state = `${run.threads.running} threads running, ${run.restarts()} restarts, ` +
      `${run.table.active(run.slot)} requests in flight, log:\n${run.log.join("\n")}`;
    throw new Error(`${fault instanceof Error ? fault.message : fault}\n${state}`, { cause: fault });
  } finally {
    run.threads.end();
  }
}

/** A thread that replaces another loads its code first, for which a busy machine takes its time. */
const RESTART_MS = 60_000;

function kill(thread: string, how: "throw" | "pause"): void {
  const channel = new BroadcastChannel("mortal");
  channel.postMessage({ thread, how });
  channel.close();
}

async function get(port: number, path = "/"): Promise<string> {
  using client = await RawClient.connect(port);
  await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  return await client.readUntil(/hello$/);
}

Deno.test("a thread that throws is replaced, logged and counted; the others serve, counts stay right", async () => {
  const held = Promise.withResolvers<void>();
  await using upstream = new RawUpstream((request) =>
    request.target === "/hold" ? () => held.promise : ok("hello")
  );
  await withThreads(upstream, async (run) => {
    try {
      for (let i = 0; i < 20; i++) await get(run.port);
      // Counted is what has been answered, a moment after the client has read it.
      await eventually("all are counted", () => run.requests() === 20);
      // Requests in flight in both threads: those of the dying one must not stay counted.
      const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(run.port)));
      for (const client of clients) await client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
      await eventually("all are in flight", () => run.table.active(run.slot) === 12);
      kill("proxy-0", "throw");
      await eventually("it is counted", () => run.restarts() === 1);
      assert.match(run.log.join("\n"), /died and is replaced.*"thread":0.*told to die/);
      await eventually("two threads run again", () => run.threads.running === 2, RESTART_MS);
      const left = run.table.active(run.slot);
      assert.ok(left < 12, `${left} still counted`);
      for (let i = 0; i < 20; i++) await get(run.port);
      await eventually("those are counted too", () => run.requests() >= 40);
      for (const client of clients) client.socket.close();
      held.resolve();
      await eventually("nothing is in flight", () => run.table.active(run.slot) === 0);
    } finally {
      held.resolve();
    }
  });
});

Deno.test("a thread whose heartbeat stops is reported, once", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await withThreads(upstream, async (run) => {
    const before = run.log.length;
    kill("proxy-1", "pause");
    await eventually("it is said", () => run.log.slice(before).some(isHanging));
    await eventually("it beats again", () => run.log.some((line) => /woke up/.test(line)));
    // A busy machine may keep any thread from beating at another time.
    const pause = run.log.slice(before, run.log.findIndex((line) => /woke up/.test(line)));
    assert.equal(pause.filter(isHanging).length, 1);
    for (let i = 0; i < 10; i++) await get(run.port);
  }, 300);
});

function isHanging(line: string): boolean {
  return /hangs.*"thread":1/.test(line);
}

Deno.test("a change that one thread cannot prepare leaves all on the old configuration", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await withThreads(upstream, async (run) => {
    using blocker = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const checked = await checkConfig(
      `[server]\nbind_address = "127.0.0.1:${blocker.addr.port}"\nworkers = 2\n
[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n`,
      { path: "test.toml" },
    );
    assert.ok(checked.ok);
    const targets = [{ slot: run.slot, config: checked.config.targets.targets[0] }];
    await assert.rejects(
      run.threads.change({
        generation: 2,
        config: checked.config,
        targets,
        rotations: { [ALL_TARGETS]: 0 },
        shared: {},
      }),
      (fault: Error & { reason: string }) => fault.reason === "bind",
    );
    for (let i = 0; i < 10; i++) await get(run.port);
  });
});
