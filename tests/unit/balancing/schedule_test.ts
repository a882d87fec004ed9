import assert from "node:assert/strict";
import fc from "fast-check";
import { smoothSchedule, turnsByWeight } from "../../../src/balancing/schedule.ts";

/** nginx's algorithm word for word: raise all, take the highest (the first of equals), lower it by the sum. */
function nginxOrder(weights: number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const current = weights.map(() => 0);
  return Array.from({ length: total }, () => {
    weights.forEach((weight, index) => current[index] += weight);
    const best = current.indexOf(Math.max(...current));
    current[best] -= total;
    return best;
  });
}

const weights = (max: number, maxLength: number) =>
  fc.array(fc.integer({ min: 1, max }), { minLength: 1, maxLength });

Deno.test("smoothSchedule gives nginx's order", () => {
  fc.assert(fc.property(weights(12, 12), (turns) => {
    assert.deepEqual([...smoothSchedule(turns)], nginxOrder(turns));
  }));
});

Deno.test("smoothSchedule gives each target exactly its turns", () => {
  fc.assert(
    fc.property(weights(400, 60), (turns) => {
      const counts = turns.map(() => 0);
      for (const target of smoothSchedule(turns)) counts[target]++;
      assert.deepEqual(counts, turns);
    }),
    { numRuns: 30 },
  );
});

Deno.test("turnsByWeight brings weights to lowest terms and leaves them exact where they fit", () => {
  assert.deepEqual(turnsByWeight([3000, 2000, 1000]), [3, 2, 1]);
  assert.deepEqual(turnsByWeight([1500, 250, 750]), [6, 1, 3]);
  assert.deepEqual(turnsByWeight([1_000_000_000]), [1]);
});

Deno.test("turnsByWeight bounds the period and the error of each share, and drops no target", () => {
  const cases = fc.tuple(weights(1_000_000_000, 40), fc.integer({ min: 160, max: 65_536 }));
  fc.assert(fc.property(cases, ([wanted, maxPeriod]) => {
    const turns = turnsByWeight(wanted, maxPeriod);
    const period = turns.reduce((sum, turn) => sum + turn, 0);
    const total = wanted.reduce((sum, weight) => sum + weight, 0);
    assert.ok(period <= maxPeriod, `period ${period} of at most ${maxPeriod}`);
    turns.forEach((turn, index) => {
      const share = wanted[index] / total;
      assert.ok(Number.isInteger(turn) && turn >= 1);
      const bound = (1 + share * wanted.length) / (maxPeriod - 2 * wanted.length);
      assert.ok(Math.abs(turn / period - share) <= bound, `share ${turn / period} for ${share}`);
    });
  }));
});

Deno.test("turnsByWeight keeps a tiny weight beside a huge one", () => {
  const [huge, tiny] = turnsByWeight([1_000_000_000, 1]);
  assert.equal(tiny, 1);
  assert.ok(huge > 65_000 && huge < 65_536);
});
