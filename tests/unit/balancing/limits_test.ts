/** What balancers make of full targets, trials, slow starts and groups. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type BalancedTarget, Balancer, type BalancerOptions } from "../../../src/balancing/balancer.ts";
import { CircuitState } from "../../../src/balancing/circuit_table.ts";
import { ALL_TARGETS, BalancerSet, groupKey } from "../../../src/balancing/groups.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { newActiveCounts, TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import type { BalancingType, TargetConfig } from "../../../src/config/model.ts";
import { checkConfig } from "../../../src/config/mod.ts";
import { seededRandom, shares, targetConfig } from "./fixture.ts";

const TYPES: BalancingType[] = ["roundrobin", "weighted", "random", "leastconnections"];
const POLICIES = TYPES.flatMap((type) => [{ type, sticky: false }, { type, sticky: true }]);

function balance(configs: readonly Partial<TargetConfig>[], options: Partial<BalancerOptions> = {}) {
  const table = options.table ?? new TargetTable();
  const own = newActiveCounts();
  const targets = new SlotAllocator(table).assign(
    configs.map((config, index) => ({ ...targetConfig(`t${index}`), ...config })),
  );
  const balancer = new Balancer({
    targets,
    type: "roundrobin",
    sticky: false,
    rotation: 0,
    own,
    random: seededRandom(3),
    ...options,
    table,
  });
  return { table, own, targets, balancer };
}

const names = (targets: Iterable<BalancedTarget | null>) =>
  Array.from(targets, (target) => target?.config.name ?? null);

for (const { type, sticky } of POLICIES) {
  const policy = sticky ? `sticky ${type}` : type;

  Deno.test(`${policy}: no target gets more than its limit, and room is found wherever it is`, () => {
    fc.assert(fc.property(
      fc.array(fc.option(fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 5 }),
      fc.array(fc.boolean(), { maxLength: 60 }),
      (limits, steps) => {
        const { balancer, table, targets, own } = balance(
          limits.map((maxConnections) => ({ maxConnections })),
          { type, sticky, random: seededRandom(1) },
        );
        const held: BalancedTarget[] = [];
        for (const acquires of steps) {
          if (!acquires) {
            const target = held.shift();
            if (target !== undefined) balancer.release(target);
            continue;
          }
          const foreseen = balancer.peek("192.0.2.1");
          const target = balancer.acquire("192.0.2.1");
          const room = targets.some(({ slot }, index) => table.active(slot) < (limits[index] ?? Infinity));
          if (target === null) {
            assert.ok(!room);
            assert.equal(balancer.whyNone(), "full");
            assert.equal(foreseen, null);
          } else {
            held.push(target);
            if (foreseen?.byChance === false) assert.equal(foreseen.target, target);
          }
          targets.forEach(({ slot }, index) => {
            assert.ok(table.active(slot) <= (limits[index] ?? Infinity));
            assert.equal(table.active(slot), held.filter((target) => target.slot === slot).length);
            assert.equal(own[slot], table.active(slot));
          });
        }
      },
    ));
  });
}

Deno.test("weighted keeps its exact shares while no limit is reached", () => {
  const fixture = balance([{ weight: 3, maxConnections: 1 }, { weight: 2 }, { weight: 1 }], {
    type: "weighted",
  });
  assert.deepEqual(shares(fixture, 600), [300, 200, 100]);
});

Deno.test("a target at its limit is passed over, and taken again when it has room", () => {
  const { balancer, targets } = balance([{ maxConnections: 1 }, {}]);
  const first = [balancer.acquire("a"), balancer.acquire("a"), balancer.acquire("a")];
  assert.deepEqual(names(first), ["t0", "t1", "t1"]);
  assert.equal(balancer.acquire("a", new Set([targets[1].slot])), null);
  assert.equal(balancer.whyNone(new Set([targets[1].slot])), "full");
  assert.equal(balancer.whyNone(new Set(targets.map(({ slot }) => slot))), "tried");
  balancer.release(targets[0]);
  assert.equal(balancer.acquire("a", new Set([targets[1].slot])), targets[0]);
});

Deno.test("whyNone says when no target is usable", () => {
  const { balancer, table, targets } = balance([{}]);
  table.setState(targets[0].slot, TargetState.Unhealthy);
  assert.equal(balancer.acquire("a"), null);
  assert.equal(balancer.whyNone(), "no_target");
});

Deno.test("a half-open target gets exactly its trials, whoever balances", () => {
  const { balancer, table, targets, own } = balance([{}, {}], { maxEjectedPercent: 50 });
  const other = new Balancer({
    targets,
    type: "leastconnections",
    sticky: false,
    rotation: 1,
    table,
    own,
    maxEjectedPercent: 50,
  });
  const { slot } = targets[0];
  table.circuits.open(slot, CircuitState.Closed, 1000, 1, Date.now());
  assert.deepEqual(names([balancer.acquire("a"), other.acquire("a"), balancer.acquire("a")]), [
    "t1",
    "t1",
    "t1",
  ]);
  table.circuits.halfOpen(slot, 3, Date.now());
  const got = Array.from({ length: 20 }, (_, turn) => (turn % 2 ? balancer : other).acquire("a"));
  assert.equal(got.filter((target) => target === targets[0]).length, 3);
  assert.equal(table.active(slot), 3, "what was given back for want of a trial is counted out");
  table.circuits.returnTrial(slot, 3);
  const more = Array.from({ length: 20 }, () => balancer.acquire("a"));
  assert.equal(more.filter((target) => target === targets[0]).length, 1);
  table.circuits.close(slot, Date.now());
  assert.deepEqual(shares({ balancer, targets }, 10), [5, 5]);
});

Deno.test("beside its trials a half-open target leaves requests to the backup", () => {
  const { balancer, table, targets: [target] } = balance([{}, { backup: true }], { maxEjectedPercent: 100 });
  table.circuits.open(target.slot, CircuitState.Closed, 1000, 1, Date.now());
  table.circuits.halfOpen(target.slot, 1, Date.now());
  assert.deepEqual(names([balancer.acquire("a"), balancer.acquire("a"), balancer.acquire("a")]), [
    "t0",
    "t1",
    "t1",
  ]);
});

Deno.test("the last trial may be taken between the look and the grasp: the request goes elsewhere", () => {
  class Rival extends TargetTable {
    override increment(slot: number, own: ReturnType<typeof newActiveCounts>): void {
      super.increment(slot, own);
      this.circuits.takeTrial(slot);
    }
  }
  const { balancer, table, targets } = balance([{}, {}], { maxEjectedPercent: 50, table: new Rival() });
  table.circuits.open(targets[0].slot, CircuitState.Closed, 1000, 1, Date.now());
  table.circuits.halfOpen(targets[0].slot, 1, Date.now());
  assert.deepEqual(names([balancer.acquire("a"), balancer.acquire("a")]), ["t1", "t1"]);
  assert.deepEqual(targets.map(({ slot }) => table.active(slot)), [0, 2]);
});

Deno.test("backups are used when the others are out, and left when one is back", () => {
  const { balancer, table, targets } = balance([{}, {}, { backup: true }]);
  const all = { balancer, targets };
  assert.deepEqual(shares(all, 4), [2, 2, 0]);
  table.setState(targets[0].slot, TargetState.Unhealthy);
  table.setDraining(targets[1].slot, true);
  assert.deepEqual(shares(all, 4), [0, 0, 4]);
  table.setDraining(targets[1].slot, false);
  assert.deepEqual(shares(all, 4), [0, 4, 0]);
});

Deno.test("a full target does not call for the backup", () => {
  const { balancer } = balance([{ maxConnections: 1 }, { backup: true }]);
  assert.deepEqual(names([balancer.acquire("a"), balancer.acquire("a")]), ["t0", null]);
  assert.equal(balancer.whyNone(), "full");
});

for (const type of ["roundrobin", "weighted"] as const) {
  Deno.test(`${type}: a target that returns takes up its share in steps`, () => {
    let nowMs = 1_700_000_000_000;
    const table = new TargetTable(undefined, () => nowMs);
    table.slowStartMs = 10_000;
    const { balancer, targets } = balance([{}, {}], { type, table });
    const all = { balancer, targets };
    const [returning] = targets;
    const slots = targets.map(({ slot }) => slot);
    assert.deepEqual(shares(all, 22), [11, 11]);
    table.setState(returning.slot, TargetState.Unhealthy);
    assert.deepEqual(shares(all, 22), [0, 22]);
    table.setState(returning.slot, TargetState.Healthy);
    // 1 to 10.
    assert.deepEqual(shares(all, 22), [2, 20]);
    nowMs += 4500;
    table.circuits.advanceRamps(slots, nowMs);
    // 5 to 10.
    assert.deepEqual(shares(all, 30), [10, 20]);
    nowMs += 4500;
    table.circuits.advanceRamps(slots, nowMs);
    assert.deepEqual(shares(all, 22), [11, 11]);
  });
}

Deno.test("a slow start begins after draining and after an open circuit, not before the first check", () => {
  const table = new TargetTable();
  table.slowStartMs = 10_000;
  const { circuits } = table;
  const share = (slot: number) => circuits.rampThousandths(slot);
  table.setState(1, TargetState.Healthy);
  assert.equal(share(1), 1000);
  table.setDraining(1, false);
  assert.equal(share(1), 1000, "it was not drained");
  table.setDraining(1, true);
  table.setDraining(1, false);
  assert.equal(share(1), 100);
  circuits.open(2, CircuitState.Closed, 1, 1, 0);
  circuits.halfOpen(2, 1, 0);
  assert.equal(share(2), 1000);
  circuits.close(2, 0);
  assert.equal(share(2), 100);
  table.slowStartMs = 0;
  circuits.advanceRamps([1, 2], Date.now());
  assert.deepEqual([share(1), share(2)], [1000, 1000]);
});

Deno.test("a clock that is set back ends a slow start, and one set forward too", () => {
  for (const jumpMs of [-3_600_000, 3_600_000]) {
    let nowMs = 1_700_000_000_000;
    const table = new TargetTable(undefined, () => nowMs);
    table.slowStartMs = 60_000;
    table.setState(0, TargetState.Unhealthy);
    table.setState(0, TargetState.Healthy);
    nowMs += jumpMs;
    table.circuits.advanceRamps([0], nowMs);
    assert.equal(table.circuits.rampThousandths(0), 1000);
  }
});

for (const { type, sticky } of POLICIES.filter(({ type, sticky }) => type !== "random" || sticky)) {
  Deno.test(`${sticky ? "sticky " : ""}${type}: peek tells what acquire then chooses, and changes nothing`, () => {
    const { balancer, table, targets } = balance([{ weight: 5 }, { weight: 2 }, { weight: 1 }], {
      type,
      sticky,
    });
    for (let request = 0; request < 30; request++) {
      const clientIp = `192.0.2.${request % 5}`;
      const foreseen = balancer.peek(clientIp);
      assert.deepEqual(balancer.peek(clientIp), foreseen, "asking twice");
      assert.equal(foreseen?.byChance, false);
      assert.equal(balancer.acquire(clientIp), foreseen.target);
    }
    assert.equal(targets.reduce((sum, { slot }) => sum + table.active(slot), 0), 30);
  });
}

Deno.test("peek says where chance decides: random, and others' retries", () => {
  assert.equal(balance([{}, {}], { type: "random" }).balancer.peek("a")?.byChance, true);
  const { balancer, targets } = balance([{}, {}, {}]);
  assert.equal(balancer.peek("a", new Set([targets[0].slot]))?.byChance, true);
  assert.equal(balancer.peek("a", new Set(targets.map(({ slot }) => slot))), null);
});

Deno.test("candidates tells of every target what it weighs and why it is not used", () => {
  const { balancer, table, targets } = balance(
    [{ weight: 2 }, { weight: 3, maxConnections: 1 }, {}, {}, { backup: true }],
    { type: "weighted", maxEjectedPercent: 50 },
  );
  const [, full, unhealthy, ejected] = targets;
  table.increment(full.slot, newActiveCounts());
  table.setState(unhealthy.slot, TargetState.Unhealthy);
  table.circuits.open(ejected.slot, CircuitState.Closed, 1000, 1, Date.now());
  assert.deepEqual(
    balancer.candidates().map(({ target, state, circuit, active, weight, unusable }) => [
      target.config.name,
      state,
      circuit,
      active,
      weight,
      unusable,
    ]),
    [
      ["t0", TargetState.Unknown, CircuitState.Closed, 0, 2, null],
      ["t1", TargetState.Unknown, CircuitState.Closed, 1, 3, "full"],
      ["t2", TargetState.Unhealthy, CircuitState.Closed, 0, 1, "unhealthy"],
      ["t3", TargetState.Unknown, CircuitState.Open, 0, 1, "circuit_open"],
      ["t4", TargetState.Unknown, CircuitState.Closed, 0, 1, "backup"],
    ],
  );
});

async function groups(names: string[], asked: string[][]) {
  const targets = names.map((name) => `[[targets.targets]]\nname = "${name}"\nurl = "http://${name}"\n`).join(
    "",
  );
  const checked = await checkConfig(targets, { path: "x.toml", environment: new Map() });
  assert.ok(checked.ok);
  const table = new TargetTable();
  const slots = new SlotAllocator(table);
  const config = checked.config.targets;
  const options = { targets: slots.assign(config.targets), config, table, own: newActiveCounts() };
  return { slots, set: new BalancerSet({ ...options, rotations: slots.rotations(asked) }) };
}

Deno.test("each group has turns of its own, shared by all who name the same targets", async () => {
  const { set } = await groups(["a", "b", "c"], [["a", "b"], ["b", "a", "a"], ["c", "b"]]);
  assert.equal(set.for(["a", "b"]), set.for(["b", "a"]));
  assert.equal(set.for(["c", "b", "a"]), set.all);
  const take = (balancer: Balancer) => balancer.acquire("192.0.2.1")?.config.name;
  assert.deepEqual([1, 2, 3].map(() => take(set.for(["a", "b"]))), ["a", "b", "a"]);
  assert.deepEqual([1, 2, 3].map(() => take(set.for(["b", "c"]))), ["b", "c", "b"]);
  assert.deepEqual([1, 2, 3, 4].map(() => take(set.all)), ["a", "b", "c", "a"]);
});

Deno.test("a group of targets that are not there, or of none, or without turns, is refused", async () => {
  const { set } = await groups(["a", "b"], []);
  assert.throws(() => set.for(["a", "x"]), { message: "cannot balance over unknown targets: x" });
  assert.throws(() => set.for([]), { message: "cannot balance over a group without targets" });
  assert.throws(() => set.for(["a"]), { message: "cannot balance over a: the group has no rotation" });
});

Deno.test("rotations are kept by group over reloads", async () => {
  const { slots } = await groups(["a", "b", "c"], [["a", "b"]]);
  const before = slots.rotations([["a", "b"], ["c"]]);
  const after = slots.rotations([["c"], ["b", "a"], ["b"]]);
  for (const key of [ALL_TARGETS, groupKey(["a", "b"]), groupKey(["c"])]) {
    assert.equal(after[key], before[key]);
  }
  assert.equal(new Set(Object.values(after)).size, 4);
});
