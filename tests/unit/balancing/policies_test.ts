/** What each policy promises of its own. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type BalancedTarget, Balancer } from "../../../src/balancing/balancer.ts";
import {
  type ActiveCounts,
  newActiveCounts,
  TargetState,
  TargetTable,
} from "../../../src/balancing/target_table.ts";
import { balance, seededRandom, shares } from "./fixture.ts";

Deno.test("round robin gives equal turns, whatever the weights", () => {
  assert.deepEqual(shares(balance([5, 1, 0.1], { type: "roundrobin" }), 600), [200, 200, 200]);
});

Deno.test("round robin and weighted keep exact shares of first attempts while retries run", () => {
  for (
    const [type, weights, expected] of [
      ["roundrobin", [1, 1, 1], [200, 200, 200]],
      ["weighted", [3, 2, 1], [300, 200, 100]],
    ] as const
  ) {
    const fixture = balance(weights, { type });
    const counts = [0, 0, 0];
    for (let request = 0; request < 600; request++) {
      const first = fixture.balancer.acquire("192.0.2.1");
      assert.ok(first !== null);
      counts[fixture.targets.indexOf(first)]++;
      if (request % 7 === 0) fixture.balancer.acquire("192.0.2.1", new Set([first.slot]));
    }
    assert.deepEqual(counts, expected, type);
  }
});

Deno.test("weighted shares are exact: 3:2:1 over 600 requests is 300, 200 and 100", () => {
  assert.deepEqual(shares(balance([3, 2, 1], { type: "weighted" }), 600), [300, 200, 100]);
});

Deno.test("weighted shares are exact for fractional weights", () => {
  assert.deepEqual(shares(balance([1.5, 0.25, 0.75], { type: "weighted" }), 1000), [600, 100, 300]);
});

Deno.test("weighted is smooth: 5:1:1 spreads the two lesser targets between the turns of the first", () => {
  const { balancer } = balance([5, 1, 1], { type: "weighted" });
  const names = Array.from({ length: 7 }, () => balancer.acquire("192.0.2.1")?.config.name);
  assert.deepEqual(names, ["t0", "t0", "t1", "t0", "t2", "t0", "t0"]);
});

Deno.test("weighted follows a weight that changes, and a target that goes and returns", () => {
  const fixture = balance([3, 2, 1], { type: "weighted" });
  fixture.table.setState(fixture.targets[0].slot, TargetState.Unhealthy);
  assert.deepEqual(shares(fixture, 300), [0, 200, 100]);
  fixture.table.setState(fixture.targets[0].slot, TargetState.Healthy);
  assert.deepEqual(shares(fixture, 600), [300, 200, 100]);
  fixture.table.setWeight(fixture.targets[2].slot, 5);
  assert.deepEqual(shares(fixture, 1000), [300, 200, 500]);
});

Deno.test("round robin and weighted go on when the turn counter wraps", () => {
  for (const type of ["roundrobin", "weighted"] as const) {
    const fixture = balance([1, 1, 1], { type });
    // Turn counters begin at word 2; this one has its last turn next.
    Atomics.store(new Int32Array(fixture.table.buffer), 2, -3);
    const counts = shares(fixture, 6);
    assert.ok(counts.every((count) => count >= 1 && count <= 3), `${type}: ${counts}`);
  }
});

Deno.test("random chooses in proportion to the weights", () => {
  const counts = shares(balance([6, 3, 1, 8, 2], { type: "random", random: seededRandom(1) }), 20_000);
  // Standard deviations are 65, 51, 31, 70 and 43.
  [6000, 3000, 1000, 8000, 2000].forEach((expected, index) => {
    assert.ok(Math.abs(counts[index] - expected) < 200, `${counts}`);
  });
});

Deno.test("a retry in round robin, weighted and random falls on the others by weight", () => {
  for (const [type, expected] of [["roundrobin", 500], ["weighted", 750], ["random", 750]] as const) {
    const { balancer, targets } = balance([5, 3, 1], { type, random: seededRandom(2) });
    let second = 0;
    for (let request = 0; request < 1000; request++) {
      if (balancer.acquire("192.0.2.1", new Set([targets[0].slot])) === targets[1]) second++;
    }
    assert.ok(Math.abs(second - expected) < 60, `${type}: ${second} of 1000, not about ${expected}`);
  }
});

Deno.test("least connections takes the target with the fewest in flight for its weight", () => {
  const { balancer, targets, table } = balance([2, 1, 1], { type: "leastconnections" });
  for (let request = 0; request < 400; request++) balancer.acquire("192.0.2.1");
  assert.deepEqual(targets.map(({ slot }) => table.active(slot)), [200, 100, 100]);
  for (let ended = 0; ended < 30; ended++) balancer.release(targets[2]);
  for (let request = 0; request < 30; request++) {
    assert.equal(balancer.acquire("192.0.2.1"), targets[2]);
  }
});

Deno.test("least connections keeps targets within one of each other as connections come", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60 }), (size, requests) => {
    const { balancer, targets, table } = balance(Array(size).fill(1), { type: "leastconnections" });
    for (let request = 0; request < requests; request++) balancer.acquire("192.0.2.1");
    const active = targets.map(({ slot }) => table.active(slot));
    assert.ok(Math.max(...active) - Math.min(...active) <= 1, `${active}`);
  }));
});

Deno.test("least connections gives idle targets equal turns, beside a busy one too", () => {
  const fixture = balance([1, 1, 1, 1], { type: "leastconnections" });
  assert.deepEqual(shares(fixture, 400), [100, 100, 100, 100]);
  fixture.table.increment(fixture.targets[1].slot, fixture.own);
  assert.deepEqual(shares(fixture, 300), [100, 0, 100, 100]);
});

Deno.test("least connections gives idle targets turns by weight where weights differ", () => {
  const fixture = balance([3, 2, 1], { type: "leastconnections" });
  const counts = shares(fixture, 600);
  [300, 200, 100].forEach((expected, index) => {
    assert.ok(Math.abs(counts[index] - expected) <= 5, `${counts}`);
  });
});

/** Runs `others` in place of another thread, between a look at the counts and the next attempt to raise one. */
class ContendedTable extends TargetTable {
  constructor(readonly others: (table: TargetTable, slot: number) => void) {
    super();
  }

  override incrementIf(slot: number, expected: number, own: ActiveCounts): boolean {
    this.others(this, slot);
    return super.incrementIf(slot, expected, own);
  }
}

Deno.test("least connections looks again when another thread takes the same target first", () => {
  const others = newActiveCounts();
  const taken: number[] = [];
  const table = new ContendedTable((table, slot) => {
    if (taken.length === 2) return;
    taken.push(slot);
    table.increment(slot, others);
  });
  const { balancer, targets } = balance([1, 1, 1], { type: "leastconnections", table });
  const chosen = balancer.acquire("192.0.2.1");
  assert.ok(chosen !== null && !taken.includes(chosen.slot));
  assert.deepEqual(targets.map(({ slot }) => table.active(slot)), [1, 1, 1]);
});

Deno.test("least connections chooses in bounded time while other threads take every target it looks at", () => {
  const others = newActiveCounts();
  const table = new ContendedTable((table, slot) => table.increment(slot, others));
  const { balancer, targets, own } = balance([1, 1, 1], { type: "leastconnections", table });
  const chosen = balancer.acquire("192.0.2.1");
  assert.ok(chosen !== null);
  assert.deepEqual(targets.map(({ slot }) => own[slot]), targets.map((target) => target === chosen ? 1 : 0));
});

const clients = Array.from({ length: 20_000 }, (_, index) => `10.${index % 7}.${index >> 8}.${index & 255}`);

function homes(balancer: Balancer): BalancedTarget[] {
  return clients.map((clientIp) => {
    const target = balancer.acquire(clientIp);
    assert.ok(target !== null);
    balancer.release(target);
    return target;
  });
}

/** The first few clients whose targets differ; a whole comparison of 20,000 takes minutes to print. */
function movers(before: (BalancedTarget | null)[], after: (BalancedTarget | null)[]): string[] {
  return clients.filter((_, index) => before[index] !== after[index]).slice(0, 5);
}

Deno.test("sticky sessions keep every client on its target, in every thread's balancer", () => {
  const { balancer, targets, table, own } = balance([1, 2, 3], { type: "weighted", sticky: true });
  const other = new Balancer({ targets, type: "weighted", sticky: true, rotation: 3, table, own });
  const first = homes(balancer);
  assert.deepEqual(movers(first, homes(balancer)), []);
  assert.deepEqual(movers(first, homes(other)), []);
});

Deno.test("sticky sessions move only the clients of a target that goes away, and take them back", () => {
  for (const weights of [[1, 1, 1, 1, 1], [1, 1, 4, 0.5, 2.5], [2, 1, 1, 1, 1]]) {
    const { balancer, targets, table } = balance(weights, { type: "weighted", sticky: true });
    const before = homes(balancer);
    table.setState(targets[0].slot, TargetState.Unhealthy);
    const without = homes(balancer);
    const moved = new Set<string>();
    before.forEach((home, client) => {
      if (home !== targets[0]) assert.equal(without[client], home);
      else moved.add(without[client].config.name);
    });
    assert.deepEqual([...moved].sort(), ["t1", "t2", "t3", "t4"]);
    table.setState(targets[0].slot, TargetState.Healthy);
    assert.deepEqual(movers(before, homes(balancer)), []);
  }
});

Deno.test("sticky sessions spread clients in proportion to the weights", () => {
  for (
    const [type, weights, expected] of [
      ["weighted", [1, 1, 1, 1], [5000, 5000, 5000, 5000]],
      ["weighted", [4, 3, 2, 1], [8000, 6000, 4000, 2000]],
      ["roundrobin", [4, 3, 2, 1], [5000, 5000, 5000, 5000]],
    ] as const
  ) {
    const { balancer, targets } = balance(weights, { type, sticky: true });
    const found = homes(balancer);
    targets.forEach((target, index) => {
      const count = found.filter((home) => home === target).length;
      // Four standard deviations of a fair draw: 4 × sqrt(20,000 × p × (1 - p)), at most 277.
      assert.ok(Math.abs(count - expected[index]) < 277, `${target.config.name} has ${count} clients`);
    });
  }
});

Deno.test("sticky sessions send a retry where the client would go without the target it tried", () => {
  const { balancer, targets, table } = balance([1, 2, 3], { type: "weighted", sticky: true });
  const retried = clients.map((clientIp) => balancer.acquire(clientIp, new Set([targets[2].slot])));
  table.setState(targets[2].slot, TargetState.Unhealthy);
  assert.deepEqual(movers(retried, homes(balancer)), []);
});
