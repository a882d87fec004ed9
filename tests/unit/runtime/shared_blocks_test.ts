import assert from "node:assert/strict";
import { SharedBlocks } from "../../../src/runtime/shared_blocks.ts";

Deno.test("SharedBlocks keeps memory over a reload that leaves its settings, and only then", () => {
  const first = new SharedBlocks([
    { key: "kept", bytes: 8, settings: { rate: 1 } },
    { key: "changed", bytes: 8, settings: { rate: 1 } },
    { key: "gone", bytes: 8, settings: null },
  ]);
  const second = new SharedBlocks([
    { key: "kept", bytes: 8, settings: { rate: 1 } },
    { key: "changed", bytes: 8, settings: { rate: 2 } },
    { key: "none", bytes: 0, settings: null },
  ], first);
  assert.equal(second.buffers.kept, first.buffers.kept);
  assert.notEqual(second.buffers.changed, first.buffers.changed);
  assert.deepEqual(Object.keys(second.buffers).sort(), ["changed", "kept"]);
});
