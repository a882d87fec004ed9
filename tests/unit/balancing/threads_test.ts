/** Balancing is exact for the process: real threads over one target table. */
import assert from "node:assert/strict";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { newActiveCounts, TargetTable } from "../../../src/balancing/target_table.ts";
import type { BalancingType } from "../../../src/config/model.ts";
import type { AcquireOrder } from "./acquire_worker.ts";
import { targetConfig } from "./fixture.ts";

interface Run {
  threads: number;
  type: BalancingType;
  weights: number[];
  /** Of each thread. */
  acquisitions: number;
  heldAtOnce: number;
  releaseAll: boolean;
  /** Connections that are in flight before, by target. */
  before?: number[];
}

function nextMessage<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.onmessage = (event: MessageEvent<T>) => resolve(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
}

/** Lets the threads acquire at the same time. `chosen` sums up their choices; `ownCounts` are their counts. */
async function run({ threads, type, weights, before = [], ...work }: Run) {
  const table = new TargetTable();
  const targets = new SlotAllocator(table).assign(
    weights.map((weight, index) => targetConfig(`t${index}`, weight)),
  );
  const control = newActiveCounts();
  before.forEach((count, index) => {
    for (let done = 0; done < count; done++) table.increment(targets[index].slot, control);
  });
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./acquire_worker.ts", import.meta.url), { type: "module" }),
  );
  const ownCounts = workers.map(() => newActiveCounts());
  try {
    await Promise.all(workers.map((worker, index) => {
      const ready = nextMessage(worker);
      const order: AcquireOrder = {
        targets,
        type,
        sticky: false,
        rotation: 5,
        own: ownCounts[index],
        tableBuffer: table.buffer,
        gate,
        ...work,
      };
      worker.postMessage(order);
      return ready;
    }));
    const done = Promise.all(workers.map(nextMessage<number[]>));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const counts = await done;
    return {
      table,
      targets,
      ownCounts,
      chosen: targets.map((_, index) => counts.reduce((sum, count) => sum + count[index], 0)),
      active: targets.map(({ slot }) => table.active(slot)),
    };
  } finally {
    workers.forEach((worker) => worker.terminate());
  }
}

// Of several threads none does whole rounds: turns of its own would leave the shares unequal.
const ROUNDS: [threads: number, acquisitions: number][] = [[1, 60_000], [2, 30_003], [8, 7_503]];

for (const [threads, acquisitions] of ROUNDS) {
  const total = threads * acquisitions;
  const how = `with ${threads} thread${threads > 1 ? "s" : ""}`;
  const work = { threads, acquisitions, heldAtOnce: 7, releaseAll: true };

  Deno.test(`round robin gives exactly equal shares ${how}`, async () => {
    const { chosen, active } = await run({ ...work, type: "roundrobin", weights: [9, 1, 1, 1, 1, 1] });
    assert.deepEqual(chosen, Array(6).fill(total / 6));
    assert.deepEqual(active, Array(6).fill(0));
  });

  Deno.test(`weighted gives exact shares ${how}`, async () => {
    const { chosen, active } = await run({ ...work, type: "weighted", weights: [3, 2, 1] });
    assert.deepEqual(chosen, [total / 2, total / 3, total / 6]);
    assert.deepEqual(active, [0, 0, 0]);
  });

  Deno.test(`least connections evens out what was uneven, to within one connection, ${how}`, async () => {
    const { chosen, active } = await run({
      ...work,
      type: "leastconnections",
      weights: [1, 1, 1, 1, 1],
      before: [100, 0, 3000, 7, 500],
      heldAtOnce: Infinity,
      releaseAll: false,
    });
    assert.equal(chosen.reduce((sum, count) => sum + count), total);
    assert.ok(Math.max(...active) - Math.min(...active) <= 1, `active ${active}`);
  });

  Deno.test(`least connections counts down to nothing ${how}`, async () => {
    const { chosen, active, ownCounts, targets } = await run({
      ...work,
      type: "leastconnections",
      weights: [2, 1, 1],
    });
    assert.equal(chosen.reduce((sum, count) => sum + count), total);
    assert.deepEqual(active, [0, 0, 0]);
    for (const own of ownCounts) assert.deepEqual(targets.map(({ slot }) => own[slot]), [0, 0, 0]);
  });
}

Deno.test("takeBack counts out what an ended thread held, and nothing of the others", async () => {
  const { table, targets, ownCounts, active } = await run({
    threads: 2,
    type: "random",
    weights: [1, 2, 3],
    acquisitions: 500,
    heldAtOnce: 123,
    releaseAll: false,
  });
  assert.equal(active.reduce((sum, count) => sum + count), 246);
  const [ended, other] = ownCounts;
  const others = targets.map(({ slot }) => other[slot]);
  assert.equal(others.reduce((sum, count) => sum + count), 123);
  table.takeBack(ended);
  assert.deepEqual(targets.map(({ slot }) => table.active(slot)), others);
  table.takeBack(ended);
  assert.deepEqual(targets.map(({ slot }) => table.active(slot)), others);
});
