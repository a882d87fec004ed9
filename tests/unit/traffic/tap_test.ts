/** The part of the records that goes to who watches. */
import assert from "node:assert/strict";
import { Slowest } from "../../../src/traffic/slowest.ts";
import { decodeLines, encodeRecord, type RecordBatch } from "../../../src/traffic/record.ts";
import { TrafficTap } from "../../../src/traffic/tap.ts";
import type { Clock } from "../../../src/traffic/clock.ts";
import { makeRecord } from "../../support/traffic.ts";

function batch(from: number, count: number): RecordBatch {
  const lines = Array.from({ length: count }, (_, index) => encodeRecord(makeRecord(from + index))).join("");
  return { type: "records", bytes: new TextEncoder().encode(lines), count };
}

Deno.test("the tap passes on whole lines up to its rate and says what it left out", () => {
  let nowMs = 10_000;
  const seen: [string[], number][] = [];
  const clock: Clock = { now: () => nowMs, after: () => () => {} };
  const tap = new TrafficTap(clock, (lines, skipped) => {
    seen.push([decodeLines(lines).map((row) => row.request_id), skipped]);
  });
  tap.offer(batch(0, 2));
  assert.deepEqual(seen, [], "it is off at first");
  tap.recordsPerSecond = 3;
  tap.offer(batch(2, 2));
  tap.offer(batch(4, 4));
  tap.offer(batch(8, 2));
  nowMs += 1_000;
  tap.offer(batch(10, 1));
  assert.deepEqual(seen, [
    [["request-2", "request-3"], 0],
    [["request-4"], 3],
    [["request-10"], 2],
  ]);
  tap.recordsPerSecond = 0;
  nowMs += 1_000;
  tap.offer(batch(11, 1));
  assert.equal(seen.length, 3);
});

Deno.test("the slowest of many are found with little room", () => {
  const durations = Array.from({ length: 1_000 }, (_, index) => (index * 7919) % 1_009);
  const slowest = new Slowest(10);
  for (const [index, durationMs] of durations.entries()) {
    const [row] = decodeLines(encodeRecord(makeRecord(index, { durationMs })));
    slowest.add(row);
  }
  const wanted = durations.toSorted((a, b) => b - a).slice(0, 10);
  assert.deepEqual(slowest.records().map((row) => row.duration_ms), wanted);
});

Deno.test("fewer records than are asked for come all, slowest first", () => {
  const slowest = new Slowest(10);
  for (const durationMs of [1, 0, 3]) {
    const [row] = decodeLines(encodeRecord(makeRecord(durationMs, { durationMs })));
    slowest.add(row);
  }
  assert.deepEqual(slowest.records().map((row) => row.duration_ms), [3, 1, 0]);
});
