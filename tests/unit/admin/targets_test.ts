/** What operators make of targets. */
import assert from "node:assert/strict";
import { TargetOverrides } from "../../../src/admin/target_overrides.ts";
import type { BalancedTarget } from "../../../src/balancing/balancer.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import { FakeTime } from "./fake_time.ts";
import { AdminFixture, body } from "./support.ts";

Deno.test("a target is drained and resumed, and all see it", async () => {
  await using fixture = await AdminFixture.create();
  const [one] = fixture.source.targets();
  const drained = await body(
    "TargetChanged",
    await fixture.post("/admin/targets", { target: "one", action: "drain" }, { as: "editor" }),
  );
  assert.deepEqual([drained.target.draining, drained.target.usable, drained.note], [true, false, null]);
  assert.ok(fixture.table.isDraining(one.slot));
  const last = await fixture.post("/admin/targets", { target: "two", action: "drain" }, { as: "editor" });
  assert.match((await body("TargetChanged", last)).note!, /503/);
  const resumed = await fixture.post("/admin/targets", { target: "one", action: "resume" }, { as: "editor" });
  assert.equal((await body("TargetChanged", resumed)).target.usable, true);
  const { targets } = await body("Targets", await fixture.request("/admin/targets", { as: "viewer" }));
  assert.deepEqual(targets.map(({ name, draining }) => [name, draining]), [["one", false], ["two", true]]);
  assert.deepEqual(fixture.audit().map(({ action, subject, result }) => [action, subject, result]), [
    ["target.drain", "one", "ok"],
    ["target.drain", "two", "ok"],
    ["target.resume", "one", "ok"],
  ]);
});

Deno.test("a weight holds until it is taken back", async () => {
  await using fixture = await AdminFixture.create();
  const weigh = async (weight: number | null) => {
    const action = { target: "one", action: "weight", weight };
    const response = await fixture.post("/admin/targets", action, { as: "editor" });
    const { target } = await body("TargetChanged", response);
    return [target.configured_weight, target.weight];
  };
  assert.deepEqual(await weigh(7.5), [2, 7.5]);
  assert.deepEqual(await weigh(null), [2, 2]);
});

Deno.test("a malformed action is refused in words, and nothing changes", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.table.generation;
  for (
    const [action, message] of [
      [{}, /target is missing/],
      [{ target: 5, action: "drain" }, /target is 5/],
      [{ target: "one" }, /action is missing/],
      [{ target: "one", action: "explode" }, /action is "explode"/],
      [{ target: "one", action: "weight" }, /weight is missing/],
      [{ target: "one", action: "weight", weight: 0 }, /weight is 0/],
      [{ target: "one", action: "weight", weight: 1e7 }, /weight is 10000000/],
      [{ target: "one", action: "force", state: "ill", seconds: 5 }, /state is "ill"/],
      [{ target: "one", action: "force", state: "healthy" }, /seconds is missing/],
      [{ target: "one", action: "force", state: "healthy", seconds: 1.5 }, /seconds is 1.5/],
      [{ target: "one", action: "force", state: "healthy", seconds: 86_401 }, /seconds is 86401/],
    ] as [unknown, RegExp][]
  ) {
    const response = await fixture.post("/admin/targets", action, { as: "editor" });
    assert.match((await body("Failure", response, 400)).error.message, message);
  }
  const broken = await fixture.request("/admin/targets", { method: "POST", body: "{", as: "editor" });
  assert.equal(broken.status, 400);
  const unknown = await fixture.post("/admin/targets", { target: "three", action: "drain" }, {
    as: "editor",
  });
  assert.match((await body("Failure", unknown, 404)).error.message, /known are one, two/);
  assert.equal(fixture.table.generation, before);
});

const CONFIGURED = { name: "one", url: "http://127.0.0.1:1", weight: 2 } as BalancedTarget["config"];

function overridden(): { table: TargetTable; slots: SlotAllocator; overrides: TargetOverrides } {
  const table = new TargetTable();
  return { table, slots: new SlotAllocator(table), overrides: new TargetOverrides(table) };
}

Deno.test("a forced state outlasts checks that say otherwise, and ends with its time", () => {
  using time = new FakeTime();
  const { table, slots, overrides } = overridden();
  const [target] = slots.assign([CONFIGURED]);
  overrides.apply([target]);
  overrides.setState(target.slot, TargetState.Healthy);
  overrides.force(target, "unhealthy", 5_000);
  assert.equal(table.state(target.slot), TargetState.Unhealthy);
  overrides.setState(target.slot, TargetState.Healthy);
  assert.equal(table.state(target.slot), TargetState.Unhealthy);
  assert.equal(overrides.forced(target)?.state, "unhealthy");
  time.tick(4_999);
  assert.equal(table.state(target.slot), TargetState.Unhealthy);
  time.tick(1);
  assert.equal(table.state(target.slot), TargetState.Healthy);
  assert.equal(overrides.forced(target), null);
});

Deno.test("what the checks found meanwhile counts when a forced state ends", () => {
  using time = new FakeTime();
  const { table, slots, overrides } = overridden();
  const [target] = slots.assign([CONFIGURED]);
  overrides.apply([target]);
  overrides.force(target, "healthy", 5_000);
  overrides.setState(target.slot, TargetState.Unhealthy);
  overrides.force(target, "healthy", 60_000);
  time.tick(5_000);
  assert.equal(table.state(target.slot), TargetState.Healthy, "the second order replaces the first");
  overrides.unforce(target);
  assert.equal(table.state(target.slot), TargetState.Unhealthy);
  overrides.close();
});

Deno.test("weight and forced state survive a reload that does not touch them", () => {
  using _time = new FakeTime();
  const { table, slots, overrides } = overridden();
  const [target] = slots.assign([CONFIGURED]);
  overrides.apply([target]);
  overrides.setWeight(target, 9);
  overrides.force(target, "unhealthy", 60_000);
  const again = slots.assign([CONFIGURED, { ...CONFIGURED, name: "two" }]);
  overrides.apply(again);
  assert.equal(table.weightThousandths(target.slot), 9_000);
  overrides.setState(target.slot, TargetState.Healthy);
  assert.equal(table.state(target.slot), TargetState.Unhealthy);

  const changed = slots.assign([{ ...CONFIGURED, weight: 3 }]);
  overrides.apply(changed);
  assert.equal(table.weightThousandths(target.slot), 3_000, "the configuration has spoken last");
  overrides.close();
});

Deno.test("a target that leaves the configuration takes its orders with it", () => {
  using time = new FakeTime();
  const { table, slots, overrides } = overridden();
  const [target] = slots.assign([CONFIGURED]);
  overrides.apply([target]);
  overrides.setDraining(target, true);
  overrides.force(target, "unhealthy", 5_000);
  overrides.apply(slots.assign([{ ...CONFIGURED, name: "other" }]));
  assert.equal(table.isDraining(target.slot), false);
  time.tick(5_000);
  overrides.apply(slots.assign([CONFIGURED]));
  assert.equal(overrides.forced(target), null);
});
