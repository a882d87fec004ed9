import assert from "node:assert/strict";
import fc from "fast-check";
import {
  countInWindow,
  MAX_BUCKET_COUNT,
  WINDOW_BUCKETS,
  windowSum,
} from "../../../src/balancing/window_counts.ts";

const START = 3;
const ring = () => new Int32Array(new SharedArrayBuffer((START + WINDOW_BUCKETS + 1) * 4));

Deno.test("a window sums what was counted in the present period and the nine before it", () => {
  fc.assert(fc.property(
    fc.integer({ min: 20, max: 3_000_000_000 }),
    fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 60 }),
    (first, steps) => {
      const words = ring();
      const counted: number[] = [];
      let period = first;
      for (const step of steps) {
        period += step;
        assert.ok(countInWindow(words, START, period));
        counted.push(period);
        const expected = counted.filter((past) => past > period - WINDOW_BUCKETS).length;
        assert.equal(windowSum(words, START, period), expected);
      }
      assert.deepEqual([words[START - 1], words[START + WINDOW_BUCKETS]], [0, 0], "its neighbours");
    },
  ));
});

Deno.test("a window forgets when the clock is set back or far forward, and counts on", () => {
  const words = ring();
  for (const period of [1_000_000, 999_000, 2_000_000]) {
    countInWindow(words, START, period);
    countInWindow(words, START, period + 1);
    assert.equal(windowSum(words, START, period + 1), 2);
  }
});

Deno.test("a full bucket says so and keeps its count", () => {
  const words = ring();
  countInWindow(words, START, 50);
  words[START + 50 % WINDOW_BUCKETS] += MAX_BUCKET_COUNT - 1;
  assert.equal(countInWindow(words, START, 50), false);
  assert.equal(windowSum(words, START, 50), MAX_BUCKET_COUNT);
  assert.ok(countInWindow(words, START, 51));
});
