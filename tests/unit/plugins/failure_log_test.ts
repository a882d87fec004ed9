import assert from "node:assert/strict";
import { FailureLog } from "../../../src/plugins/failure_log.ts";
import { Observed } from "./support.ts";

Deno.test("a plugin that fails all the time is told once a second, with the number of what was not told", () => {
  const { log, lines } = new Observed();
  let nowMs = 0;
  const failures = new FailureLog(log, "warn", () => nowMs);
  for (nowMs = 0; nowMs < 2000; nowMs += 100) failures.add("io", "broken", `request-${nowMs}`);
  nowMs = 9000;
  failures.add("timeout", "late", "last");
  assert.deepEqual(lines, [
    ["warn", "plugin failed", { kind: "io", error: "broken", request_id: "request-0" }],
    ["warn", "plugin failed", {
      kind: "io",
      error: "broken",
      request_id: "request-1000",
      more_since_last_line: 9,
    }],
    ["warn", "plugin failed", {
      kind: "timeout",
      error: "late",
      request_id: "last",
      more_since_last_line: 9,
    }],
  ]);
});
