import assert from "node:assert/strict";
import fc from "fast-check";
import {
  afterCheck,
  type HealthState,
  newTargetHealth,
  type Thresholds,
} from "../../../src/health/target_health.ts";
import { localTarget } from "./fixture.ts";

const GOOD = { ok: true, detail: "status 200 from /" };
const BAD = { ok: false, detail: "connection refused" };

/** States after each result: `+` is a success, `-` a failure. */
function states(results: string, thresholds: Thresholds): HealthState[] {
  let health = newTargetHealth(localTarget(80), 0);
  return Array.from(results, (result, index) => {
    health = afterCheck(health, result === "+" ? GOOD : BAD, index, 0, thresholds);
    return health.state;
  });
}

const THRESHOLDS = { healthyThreshold: 2, unhealthyThreshold: 3 };

Deno.test("an unknown target is healthy at its first success", () => {
  assert.deepEqual(states("+", THRESHOLDS), ["healthy"]);
  assert.deepEqual(states("--+", THRESHOLDS), ["unknown", "unknown", "healthy"]);
});

Deno.test("an unknown target stays in use until it has failed as often as the threshold says", () => {
  assert.deepEqual(states("---", THRESHOLDS), ["unknown", "unknown", "unhealthy"]);
});

Deno.test("only consecutive results count towards the thresholds", () => {
  assert.deepEqual(states("+--+--+---", THRESHOLDS).at(-2), "healthy");
  assert.deepEqual(states("+--+--+---", THRESHOLDS).at(-1), "unhealthy");
  assert.deepEqual(states("---+-+-+", THRESHOLDS).at(-1), "unhealthy");
  assert.deepEqual(states("---+-+-++", THRESHOLDS).at(-1), "healthy");
});

Deno.test("whatever the results, the last change of state was earned by a full streak", () => {
  fc.assert(fc.property(
    fc.array(fc.constantFrom("+", "-"), { maxLength: 40 }),
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 1, max: 5 }),
    (results, healthyThreshold, unhealthyThreshold) => {
      const text = results.join("");
      const seen: HealthState[] = ["unknown", ...states(text, { healthyThreshold, unhealthyThreshold })];
      seen.forEach((state, index) => {
        if (index === 0) return;
        const before = seen[index - 1];
        const earnedBad = text.slice(0, index).endsWith("-".repeat(unhealthyThreshold));
        const earnedGood = text.slice(0, index).endsWith(
          "+".repeat(before === "unknown" ? 1 : healthyThreshold),
        );
        const expected = earnedBad ? "unhealthy" : earnedGood ? "healthy" : before;
        assert.equal(state, expected, `after ${text.slice(0, index)}`);
      });
    },
  ));
});

Deno.test("health tells when its state began and what the last check was", () => {
  const first = afterCheck(newTargetHealth(localTarget(80, "a"), 500), BAD, 1000, 30, THRESHOLDS);
  assert.deepEqual(first, {
    name: "a",
    url: "http://127.0.0.1:80",
    state: "unknown",
    since: 500,
    lastCheckAt: 970,
    lastDurationMs: 30,
    lastError: "connection refused",
    consecutiveSuccesses: 0,
    consecutiveFailures: 1,
  });
  const second = afterCheck(first, GOOD, 2000, 20, THRESHOLDS);
  assert.equal(second.since, 2000);
  assert.equal(second.lastError, null);
  assert.equal(afterCheck(second, GOOD, 3000, 20, THRESHOLDS).since, 2000);
});
