import assert from "node:assert/strict";
import fc from "fast-check";
import { RetryBudget } from "../../../src/retry/budget.ts";

function budget(percent: number, minPerSecond: number) {
  const buffer = new SharedArrayBuffer(RetryBudget.BYTES);
  const time = { nowMs: 1_700_000_000_000 };
  const make = () => new RetryBudget(buffer, { percent, minPerSecond }, () => time.nowMs);
  return { time, make, budget: make() };
}

function retries(budget: RetryBudget, asked: number): number {
  let allowed = 0;
  for (let ask = 0; ask < asked; ask++) if (budget.tryRetry()) allowed++;
  return allowed;
}

Deno.test("retries are a share of the requests of the last ten seconds, and some besides", () => {
  const { budget: it, time } = budget(20, 0.5);
  assert.equal(retries(it, 100), 5, "half a retry a second for ten seconds");
  for (let request = 0; request < 100; request++) it.request();
  assert.equal(retries(it, 100), 20);
  time.nowMs += 9000;
  assert.equal(retries(it, 100), 0);
  time.nowMs += 1000;
  assert.equal(retries(it, 100), 5);
});

Deno.test("a budget of nothing allows nothing", () => {
  const { budget: it } = budget(0, 0);
  it.request();
  assert.equal(retries(it, 3), 0);
});

Deno.test("threads share one budget", () => {
  const { budget: one, make } = budget(50, 0);
  const other = make();
  for (let request = 0; request < 10; request++) (request % 2 ? one : other).request();
  assert.equal(retries(one, 3), 3);
  assert.equal(retries(other, 10), 2);
});

Deno.test("a clock that is set back or forward begins a new window", () => {
  for (const jumpMs of [-3_600_000, 3_600_000]) {
    const { budget: it, time } = budget(10, 1);
    retries(it, 100);
    time.nowMs += jumpMs;
    assert.equal(retries(it, 100), 10);
  }
});

Deno.test("at no time there are more retries than share and rate allow", () => {
  fc.assert(fc.property(
    fc.array(fc.constantFrom("request", "retry", "retry", "wait"), { maxLength: 300 }),
    fc.integer({ min: 0, max: 200 }),
    (steps, percent) => {
      const { budget: it, time } = budget(percent, 0.2);
      const requests: number[] = [];
      const retried: number[] = [];
      for (const step of steps) {
        const second = Math.floor(time.nowMs / 1000);
        if (step === "wait") time.nowMs += 700;
        else if (step === "request") {
          it.request();
          requests.push(second);
        } else {
          const recent = (seconds: number[]) => seconds.filter((past) => past > second - 10).length;
          const mayRetry = recent(retried) + 1 <= 2 + recent(requests) * (percent / 100);
          assert.equal(it.tryRetry(), mayRetry);
          if (mayRetry) retried.push(second);
        }
      }
    },
  ));
});
