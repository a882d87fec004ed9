import assert from "node:assert/strict";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import {
  MAX_ROTATIONS,
  MAX_TARGETS,
  newActiveCounts,
  TargetState,
  TargetTable,
} from "../../../src/balancing/target_table.ts";
import { targetConfig } from "./fixture.ts";

function allocate() {
  const table = new TargetTable();
  return { table, slots: new SlotAllocator(table), own: newActiveCounts() };
}

function numbered(count: number, prefix = "t") {
  return Array.from({ length: count }, (_, index) => targetConfig(`${prefix}${index}`));
}

Deno.test("assign gives each target a slot of its own and writes its weight", () => {
  const { table, slots } = allocate();
  const assigned = slots.assign([targetConfig("a", 2.5), targetConfig("b", 0.0001), targetConfig("c")]);
  assert.equal(new Set(assigned.map(({ slot }) => slot)).size, 3);
  assert.deepEqual(assigned.map(({ slot }) => table.weightThousandths(slot)), [2500, 1, 1000]);
});

Deno.test("assign keeps slot, health and active count of an unchanged target, wherever it now stands", () => {
  const { table, slots, own } = allocate();
  const [, before] = slots.assign([targetConfig("a"), targetConfig("b")]);
  table.setState(before.slot, TargetState.Unhealthy);
  table.increment(before.slot, own);
  const [after] = slots.assign([targetConfig("b", 7), targetConfig("c")]);
  assert.equal(after.slot, before.slot);
  assert.equal(after.config.weight, 7);
  assert.equal(table.weightThousandths(after.slot), 7000);
  assert.equal(table.state(after.slot), TargetState.Unhealthy);
  assert.equal(table.active(after.slot), 1);
});

Deno.test("assign gives a target with the same name and another url another slot", () => {
  const { slots } = allocate();
  const [before] = slots.assign([targetConfig("a", 1, 80)]);
  const [after] = slots.assign([targetConfig("a", 1, 81)]);
  assert.notEqual(after.slot, before.slot);
});

Deno.test("assign frees the slot of a removed target only when its requests have ended, and clears it", () => {
  const { table, slots, own } = allocate();
  const [removed] = slots.assign([targetConfig("a")]);
  table.setState(removed.slot, TargetState.Unhealthy);
  table.increment(removed.slot, own);
  for (let reload = 0; reload < 3; reload++) {
    const [other] = slots.assign([targetConfig(`busy${reload}`)]);
    assert.notEqual(other.slot, removed.slot);
    assert.equal(table.active(removed.slot), 1);
  }
  table.decrement(removed.slot, own);
  const all = slots.assign(numbered(MAX_TARGETS));
  assert.ok(all.some(({ slot }) => slot === removed.slot));
  assert.equal(table.state(removed.slot), TargetState.Unknown);
});

Deno.test("assign does not give a slot away in the same reload that removes its target", () => {
  const { slots } = allocate();
  const [removed] = slots.assign([targetConfig("a")]);
  const [added] = slots.assign([targetConfig("b")]);
  assert.notEqual(added.slot, removed.slot);
});

Deno.test("assign gives a target that returns while its requests run the slot it had", () => {
  const { table, slots, own } = allocate();
  const [first] = slots.assign([targetConfig("a")]);
  table.increment(first.slot, own);
  slots.assign([targetConfig("b")]);
  slots.assign([targetConfig("b"), targetConfig("c")]);
  const [, again] = slots.assign([targetConfig("b"), targetConfig("a")]);
  assert.equal(again.slot, first.slot);
  assert.equal(table.active(again.slot), 1);
});

Deno.test("assign gives a target that returns in the next reload its slot and its drain", () => {
  const { table, slots } = allocate();
  const [first] = slots.assign([targetConfig("a")]);
  table.setDraining(first.slot, true);
  slots.assign([targetConfig("b")]);
  assert.equal(slots.assign([targetConfig("b"), targetConfig("a")])[1].slot, first.slot);
  assert.ok(table.isDraining(first.slot));
});

Deno.test("assign lets a target go and return and go without giving its slot to two others", () => {
  const { slots } = allocate();
  slots.assign([targetConfig("a")]);
  slots.assign([targetConfig("b")]);
  slots.assign([targetConfig("b"), targetConfig("a")]);
  slots.assign([targetConfig("b")]);
  const assigned = slots.assign([targetConfig("b"), targetConfig("c"), targetConfig("d"), targetConfig("e")]);
  assert.equal(new Set(assigned.map(({ slot }) => slot)).size, 4);
});

Deno.test("assign replaces all of the most possible targets at once, reload after reload", () => {
  const { slots } = allocate();
  for (const prefix of ["a", "b", "c"]) {
    const assigned = slots.assign(numbered(MAX_TARGETS, prefix));
    assert.equal(new Set(assigned.map(({ slot }) => slot)).size, MAX_TARGETS);
  }
});

Deno.test("assign refuses what does not fit beside requests in flight, and leaves every slot as it was", () => {
  const { table, slots, own } = allocate();
  const [busy, kept] = slots.assign(numbered(2));
  table.increment(busy.slot, own);
  assert.throws(() => slots.assign(numbered(MAX_TARGETS, "new")), {
    name: "RangeError",
    message: "cannot assign slots to 4096 targets: at most 4096 are possible, of which 1 are taken by " +
      "removed targets with requests in flight",
  });
  assert.throws(() => slots.assign(numbered(MAX_TARGETS + 1)), {
    message: /^cannot assign slots to 4097 targets/,
  });
  assert.deepEqual(slots.assign(numbered(2)).map(({ slot }) => slot), [busy.slot, kept.slot]);
  assert.equal(table.active(busy.slot), 1);
});

Deno.test("assign refuses a target that is there twice", () => {
  assert.throws(() => allocate().slots.assign([targetConfig("a"), targetConfig("a", 2)]), {
    message: "cannot assign slots: of 2 targets some have the same name and url",
  });
});

Deno.test("assignRotations keeps the counter of each group that stays and reuses those of the gone", () => {
  const { slots } = allocate();
  const [kept] = slots.assignRotations(["kept", "gone"]);
  const [added, another, still] = slots.assignRotations(["added", "another", "kept"]);
  assert.equal(still, kept);
  assert.equal(new Set([added, another, kept]).size, 3);
  for (let reload = 0; reload < 2 * MAX_ROTATIONS; reload++) {
    const [rotation] = slots.assignRotations([`group${reload}`, "kept"]);
    assert.ok(rotation >= 0 && rotation < MAX_ROTATIONS);
  }
});

Deno.test("assignRotations refuses more groups than there are counters, and keeps the ones given", () => {
  const { slots } = allocate();
  const before = slots.assignRotations(["a", "b"]);
  const groups = Array.from({ length: MAX_ROTATIONS + 1 }, (_, index) => `group${index}`);
  assert.throws(() => slots.assignRotations(groups), {
    message: "cannot assign rotations to 4097 groups of targets: at most 4096 are possible",
  });
  assert.deepEqual(slots.assignRotations(["b", "a"]), before.reverse());
});
