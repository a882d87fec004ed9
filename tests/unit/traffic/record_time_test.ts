import assert from "node:assert/strict";
import { TimestampText } from "../../../src/traffic/record.ts";

Deno.test("TimestampText says what toISOString says, also when the clock goes back", () => {
  const text = new TimestampText();
  for (const timeMs of [0, 5, 99, 100, 999, 1000, 1_700_000_000_123, 1_700_000_000_124, 999, 86_399_999]) {
    assert.equal(text.of(timeMs), new Date(timeMs).toISOString());
  }
});
