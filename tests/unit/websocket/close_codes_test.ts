import assert from "node:assert/strict";
import { fittingReason, isWireCode, MAX_REASON_BYTES } from "../../../src/websocket/close_codes.ts";

Deno.test("isWireCode allows what is registered and what applications may use", () => {
  for (const code of [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999]) {
    assert.equal(isWireCode(code), true, `${code}`);
  }
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]) {
    assert.equal(isWireCode(code), false, `${code}`);
  }
});

Deno.test("fittingReason keeps what fits and cuts no character in two", () => {
  assert.equal(fittingReason("bye"), "bye");
  assert.equal(fittingReason("a".repeat(124)), "a".repeat(MAX_REASON_BYTES));
  assert.equal(fittingReason("ü".repeat(100)), "ü".repeat(61));
  assert.equal(fittingReason("😀".repeat(40)), "😀".repeat(30));
});
