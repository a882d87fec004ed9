import assert from "node:assert/strict";
import fc from "fast-check";
import { Distribution } from "../../../src/traffic/distribution.ts";
import { parseDuration, parseStatus, parseTime } from "../../../src/traffic/filter.ts";

const NOW = Date.parse("2026-03-10T12:00:00Z");

Deno.test("parseTime: a time ago, a day, a time with and without a zone", () => {
  const iso = (text: string) => {
    const time = parseTime(text, NOW);
    return time === null ? null : new Date(time).toISOString();
  };
  assert.equal(iso("1h"), "2026-03-10T11:00:00.000Z");
  assert.equal(iso("90s"), "2026-03-10T11:58:30.000Z");
  assert.equal(iso("1.5d"), "2026-03-09T00:00:00.000Z");
  assert.equal(iso("2026-03-09"), "2026-03-09T00:00:00.000Z");
  assert.equal(iso("2026-03-09T10:20"), "2026-03-09T10:20:00.000Z");
  assert.equal(iso("2026-03-09 10:20:30.5"), "2026-03-09T10:20:30.500Z");
  assert.equal(iso("2026-03-09T10:20:30+02:00"), "2026-03-09T08:20:30.000Z");
  assert.equal(parseTime("100000000w", NOW), 0);
  for (
    const bad of ["", "1", "h", "-1h", "1 h", "1y", "yesterday", "2026-13-01", "2026-03-09T25:00", "10:20"]
  ) {
    assert.equal(parseTime(bad, NOW), null, bad);
  }
  assert.equal(parseDuration("2w"), 14 * 86_400_000);
});

Deno.test("parseStatus: one, a class, a range", () => {
  assert.deepEqual(parseStatus("404"), { from: 404, to: 404 });
  assert.deepEqual(parseStatus("5xx"), { from: 500, to: 599 });
  assert.deepEqual(parseStatus("5XX"), { from: 500, to: 599 });
  assert.deepEqual(parseStatus("500-504"), { from: 500, to: 504 });
  for (const bad of ["", "5", "xx", "0xx", "5x", "504-500", "4xx-5xx", "1000"]) {
    assert.equal(parseStatus(bad), null, bad);
  }
});

Deno.test("Distribution: percentiles by nearest rank, at most 0.4 % off", () => {
  const duration = fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    fc.integer({ min: 0, max: 10_000_000 }),
    fc.integer({ min: 0, max: 10 ** 13 }),
  );
  fc.assert(
    fc.property(
      fc.array(duration, { minLength: 1 }),
      fc.constantFrom(0, 0.5, 0.95, 0.99, 1),
      (values, share) => {
        const distribution = new Distribution();
        for (const value of values) distribution.addMicroseconds(value);
        const rank = Math.max(Math.ceil(share * values.length), 1);
        const exact = values.toSorted((a, b) => a - b)[rank - 1] / 1000;
        const found = distribution.percentileMs(share) ?? NaN;
        assert.ok(Math.abs(found - exact) <= exact * 0.004, `${found} for ${exact}`);
      },
    ),
    { numRuns: 300 },
  );
  assert.equal(new Distribution().percentileMs(0.5), null);
});
