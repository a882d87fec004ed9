import assert from "node:assert/strict";
import { RequestIds } from "../../../src/proxy/request_id.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

Deno.test("RequestIds gives UUIDs version 7 that differ and sort in the order they were made", () => {
  const ids = new RequestIds();
  const made = Array.from({ length: 20_000 }, (_, i) => ids.next(1_700_000_000_000 + Math.floor(i / 9000)));
  for (const id of made) assert.match(id, UUID_V7);
  assert.equal(new Set(made).size, made.length);
  assert.deepEqual([...made].sort(), made);
});

Deno.test("RequestIds keeps the order when the clock goes back", () => {
  const ids = new RequestIds();
  const first = ids.next(2000);
  const second = ids.next(1000);
  assert.ok(second > first);
});

Deno.test("RequestIds of two threads differ within the same millisecond", () => {
  assert.notEqual(new RequestIds().next(5), new RequestIds().next(5));
});
