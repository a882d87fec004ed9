import assert from "node:assert/strict";
import { CallSlots } from "../../../src/plugins/call_slots.ts";

function slots(limit: number, leaseMs = 1000, nowMs: () => number = () => 0) {
  const shared = new SharedArrayBuffer(CallSlots.bytes(limit));
  return { one: new CallSlots(shared, leaseMs, nowMs), other: new CallSlots(shared, leaseMs, nowMs) };
}

Deno.test("slots are shared: what one thread holds, another cannot take", () => {
  const { one, other } = slots(2);
  const give = one.take();
  assert.ok(give);
  assert.ok(other.take());
  assert.equal(one.take(), null);
  assert.equal(other.take(), null);
  give();
  assert.ok(other.take());
});

Deno.test("a slot whose thread has died falls free after its lease, and not before", () => {
  let now = 5;
  const { one, other } = slots(1, 1000, () => now);
  assert.ok(one.take());
  now = 1004;
  assert.equal(other.take(), null);
  now = 1005;
  assert.ok(other.take());
});

Deno.test("who gives a slot back after its lease takes it from nobody else", () => {
  let now = 5;
  const { one, other } = slots(1, 1000, () => now);
  const late = one.take();
  now = 2000;
  assert.ok(other.take());
  late?.();
  assert.equal(one.take(), null);
});

Deno.test("leases hold where the clock's 32 bits run over, and at the value that means free", () => {
  for (const start of [2 ** 31 - 10, 2 ** 32 - 10, 2 ** 32 - 1000, 1_750_000_000_000]) {
    let now = start;
    const { one } = slots(1, 1000, () => now);
    assert.ok(one.take());
    now = start + 999;
    assert.equal(one.take(), null, `lease from ${start}`);
    now = start + 1001;
    assert.ok(one.take(), `after the lease from ${start}`);
  }
});

Deno.test("a clock that is set back holds no slot for longer than a lease", () => {
  let nowMs = 10_000_000;
  const slots = new CallSlots(new SharedArrayBuffer(CallSlots.bytes(1)), 1000, () => nowMs);
  // Its thread dies: it is never given back.
  assert.notEqual(slots.take(), null);
  nowMs -= 3_600_000;
  assert.notEqual(slots.take(), null);
  assert.equal(slots.take(), null);
});
