/** Requests that wait for a full target. */
import assert from "node:assert/strict";
import { type BalancedTarget, Balancer, type BalancerOptions } from "../../../src/balancing/balancer.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { newActiveCounts, TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import type { TargetConfig } from "../../../src/config/model.ts";
import { AbortHandle } from "../../../src/upstream/transport.ts";
import { targetConfig } from "./fixture.ts";
import type { WaitOrder, WaitReport } from "./waiting_worker.ts";

const QUEUE = { maxQueue: 100, timeoutMs: 60_000 };

function balance(configs: readonly Partial<TargetConfig>[], options: Partial<BalancerOptions> = {}) {
  const table = options.table ?? new TargetTable();
  const own = newActiveCounts();
  const targets = new SlotAllocator(table).assign(
    configs.map((config, index) => ({ ...targetConfig(`t${index}`), ...config })),
  );
  const all = { targets, type: "roundrobin", sticky: false, rotation: 0, own, queue: QUEUE } as const;
  return { table, own, targets, balancer: new Balancer({ ...all, ...options, table }) };
}

/** The name of what was acquired, or why nothing was. */
function nameOf(outcome: BalancedTarget | string): string {
  return typeof outcome === "string" ? outcome : outcome.config.name;
}

Deno.test("a request with room does not wait, nor one that nothing could come of", () => {
  const { balancer, table, targets } = balance([{ maxConnections: 1 }, {}]);
  const [first, second] = targets;
  assert.equal(balancer.acquireOrWait("a"), first);
  assert.equal(balancer.acquireOrWait("a"), second);
  assert.equal(balancer.acquireOrWait("a", new Set(targets.map(({ slot }) => slot))), "tried");
  table.setDraining(first.slot, true);
  table.setDraining(second.slot, true);
  assert.equal(balancer.acquireOrWait("a"), "no_target");
});

Deno.test("without a queue a full target is told at once", () => {
  for (const queue of [null, { maxQueue: 0, timeoutMs: 1000 }]) {
    const { balancer } = balance([{ maxConnections: 1 }], { queue });
    balancer.acquire("a");
    assert.equal(balancer.acquireOrWait("a"), "full");
  }
});

Deno.test("those who wait are served in the order they came, and before who comes later", async () => {
  const { balancer, table, targets: [target], own } = balance([{ maxConnections: 2 }]);
  balancer.acquire("a");
  balancer.acquire("a");
  const served: string[] = [];
  const waits = ["first", "second", "third"].map(async (name) => {
    assert.equal(await balancer.acquireOrWait(name), target);
    served.push(name);
  });
  assert.equal(table.waiting, 3);
  balancer.release(target);
  const late = balancer.acquireOrWait("late");
  assert.ok(late instanceof Promise, "there was room, but others had waited for it");
  for (let releases = 0; releases < 3; releases++) {
    balancer.release(target);
    await waits[releases];
  }
  assert.deepEqual(served, ["first", "second", "third"]);
  balancer.release(target);
  assert.equal(await late, target);
  assert.deepEqual([table.waiting, table.active(target.slot), own[target.slot]], [0, 1, 1]);
});

Deno.test("a release is announced to all threads while somebody waits, and only then", async () => {
  const { balancer, table, targets: [target] } = balance([{ maxConnections: 1 }]);
  balancer.acquire("a");
  const quiet = table.releases;
  balancer.release(target);
  assert.equal(table.releases, quiet);
  balancer.acquire("a");
  const wait = balancer.acquireOrWait("a");
  balancer.release(target);
  assert.equal(table.releases, quiet + 1);
  await wait;
});

Deno.test("the queue is bounded for the whole process", async () => {
  const queue = { maxQueue: 2, timeoutMs: 60_000 };
  const { balancer, table, targets } = balance([{ maxConnections: 1 }], { queue });
  const own = newActiveCounts();
  const other = new Balancer({ targets, type: "roundrobin", sticky: false, rotation: 0, own, queue, table });
  balancer.acquire("a");
  const cancels = [new AbortHandle(), new AbortHandle()];
  const waits = [
    balancer.acquireOrWait("a", undefined, cancels[0]),
    other.acquireOrWait("a", undefined, cancels[1]),
  ];
  assert.equal(await balancer.acquireOrWait("a"), "queue_full");
  assert.equal(await other.acquireOrWait("a"), "queue_full");
  for (const cancel of cancels) cancel.abort(new Error("gone"));
  assert.deepEqual(await Promise.all(waits), ["cancelled", "cancelled"]);
  assert.equal(table.waiting, 0);
});

Deno.test("who has waited too long is told, and leaves its place", async () => {
  const { balancer, table, targets: [target] } = balance([{ maxConnections: 1 }], {
    queue: { maxQueue: 1, timeoutMs: 1 },
  });
  balancer.acquire("a");
  assert.equal(await balancer.acquireOrWait("a"), "queue_timeout");
  assert.equal(table.waiting, 0);
  balancer.release(target);
  assert.equal(balancer.acquireOrWait("a"), target);
});

Deno.test("a client that leaves while it waits takes nothing, and the next in line is served", async () => {
  const { balancer, table, targets: [target] } = balance([{ maxConnections: 1 }]);
  balancer.acquire("a");
  const cancel = new AbortHandle();
  const left = balancer.acquireOrWait("a", undefined, cancel);
  const stays = balancer.acquireOrWait("b");
  cancel.abort(new Error("gone"));
  assert.equal(await left, "cancelled");
  balancer.release(target);
  assert.equal(await stays, target);
  assert.equal(table.active(target.slot), 1);
  assert.equal(await balancer.acquireOrWait("a", undefined, cancel), "cancelled", "one that had left before");
});

Deno.test("after the wait the abort handle is free for the transport", async () => {
  const { balancer, targets: [target] } = balance([{ maxConnections: 1 }]);
  balancer.acquire("a");
  const cancel = new AbortHandle();
  const wait = balancer.acquireOrWait("a", undefined, cancel);
  assert.notEqual(cancel.onabort, null);
  balancer.release(target);
  await wait;
  assert.equal(cancel.onabort, null);
});

Deno.test("who may not have the target with room lets those behind it have it", async () => {
  const { balancer, targets } = balance([{ maxConnections: 1 }, { maxConnections: 1 }]);
  const [first, second] = targets;
  balancer.acquire("a");
  balancer.acquire("a");
  const cancel = new AbortHandle();
  const picky = balancer.acquireOrWait("a", new Set([first.slot]), cancel);
  const any = balancer.acquireOrWait("b");
  balancer.release(first);
  assert.equal(nameOf(await any), "t0");
  balancer.release(second);
  assert.equal(nameOf(await picky), "t1");
});

Deno.test("who waits is served by a target that becomes usable meanwhile", async () => {
  const { balancer, table, targets: [, sick] } = balance([{ maxConnections: 1 }, {}]);
  table.setState(sick.slot, TargetState.Unhealthy);
  balancer.acquire("a");
  const wait = balancer.acquireOrWait("a");
  table.setState(sick.slot, TargetState.Healthy);
  assert.equal(await wait, sick);
});

Deno.test("what a dead thread had in the queue and in flight is taken back, and others get the room", async () => {
  const { balancer, table, targets: [target] } = balance([{ maxConnections: 1 }]);
  const dead = newActiveCounts();
  table.increment(target.slot, dead);
  assert.ok(table.beginWaiting(5, dead));
  const wait = balancer.acquireOrWait("a");
  assert.equal(table.waiting, 2);
  table.takeBack(dead);
  assert.equal(await wait, target);
  assert.deepEqual([table.waiting, table.active(target.slot)], [0, 1]);
});

Deno.test("two threads with many requests: no target goes over its limit, everybody is served", async () => {
  const table = new TargetTable();
  const targets = new SlotAllocator(table).assign(
    ["a", "b"].map((name) => ({ ...targetConfig(name), maxConnections: 3 })),
  );
  const workers = [0, 1].map(() =>
    new Worker(new URL("./waiting_worker.ts", import.meta.url), { type: "module" })
  );
  try {
    const reports = await Promise.all(workers.map((worker) => {
      const report = new Promise<WaitReport>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
      });
      const order: WaitOrder = {
        targets,
        type: "roundrobin",
        sticky: false,
        rotation: 0,
        own: newActiveCounts(),
        tableBuffer: table.buffer,
        queue: { maxQueue: 1000, timeoutMs: 60_000 },
        requests: 300,
      };
      worker.postMessage(order);
      return report;
    }));
    assert.deepEqual(reports.map(({ served, refused }) => ({ served, refused })), [
      { served: 300, refused: [] },
      { served: 300, refused: [] },
    ]);
    assert.equal(Math.max(...reports.map(({ most }) => most)), 3);
    assert.deepEqual([table.waiting, ...targets.map(({ slot }) => table.active(slot))], [0, 0, 0]);
  } finally {
    workers.forEach((worker) => worker.terminate());
  }
});
