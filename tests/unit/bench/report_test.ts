import assert from "node:assert/strict";
import { BEGIN_MARK, END_MARK, replaceReport } from "../../../bench/report.ts";
import { median } from "../../../bench/results.ts";
import { parseWrkOutput } from "../../../bench/wrk.ts";

function wrkOutput(errors: Partial<Record<string, number>>, requests = 100): string {
  const all = { connect: 0, read: 0, write: 0, status: 0, timeout: 0, ...errors };
  const report = { requests, durationUs: 2_000_000, p50Us: 1500, p99Us: 4000, errors: all };
  return `Running 2s test\nBENCH ${JSON.stringify(report)}\n`;
}

Deno.test("parseWrkOutput() gives rates in seconds and latencies in milliseconds", () => {
  assert.deepEqual(parseWrkOutput(wrkOutput({})), {
    requests: 100,
    requestsPerSecond: 50,
    p50Ms: 1.5,
    p99Ms: 4,
  });
});

for (const kind of ["connect", "read", "write", "status", "timeout"]) {
  Deno.test(`parseWrkOutput() refuses a run with one ${kind} error`, () => {
    assert.throws(() => parseWrkOutput(wrkOutput({ [kind]: 1 })), new RegExp(`1 ${kind}`));
  });
}

Deno.test("parseWrkOutput() refuses a run without an answer, and output without a result", () => {
  assert.throws(() => parseWrkOutput(wrkOutput({}, 0)), /no request was answered/);
  assert.throws(() => parseWrkOutput("unable to connect"), /printed no result: "unable to connect"/);
});

Deno.test("median() takes the middle, of an even number the mean of both, and leaves its argument alone", () => {
  const values = [9, 1, 10];
  assert.equal(median(values), 9);
  assert.deepEqual(values, [9, 1, 10]);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});

Deno.test("replaceReport() changes what is between the marks, again and again, and nothing else", () => {
  const once = replaceReport(`before\n\n${BEGIN_MARK}\nold\n${END_MARK}\n\nafter\n`, "first\n");
  assert.equal(once, `before\n\n${BEGIN_MARK}\n\nfirst\n\n${END_MARK}\n\nafter\n`);
  assert.equal(
    replaceReport(once, "second\n"),
    `before\n\n${BEGIN_MARK}\n\nsecond\n\n${END_MARK}\n\nafter\n`,
  );
});

Deno.test("replaceReport() refuses a document without one pair of marks in their order", () => {
  for (
    const document of [
      "",
      BEGIN_MARK,
      END_MARK + BEGIN_MARK,
      BEGIN_MARK + END_MARK + BEGIN_MARK + END_MARK,
    ]
  ) {
    assert.throws(() => replaceReport(document, "report"), /no one place for the report/);
  }
});
