import assert from "node:assert/strict";
import * as format from "../../../../src/admin/console/format.ts";

/** Each text with plain spaces where numbers and units are kept together. */
const plain = (texts: string[]) => texts.map((text) => text.replaceAll("\u00a0", " "));

Deno.test("numbers keep three significant digits and group thousands", () => {
  assert.deepEqual([0, 0.123, 1, 18.34, 123.4, 12345.6].map(format.number), [
    "0",
    "0.12",
    "1",
    "18.3",
    "123",
    "12,346",
  ]);
});

Deno.test("units change where numbers get long", () => {
  assert.deepEqual(plain([0.4, 999, 1500].map(format.milliseconds)), ["0.40 ms", "999 ms", "1.50 s"]);
  assert.deepEqual(plain([999, 1000, 61.4e6, 2e9].map(format.bytes)), ["999 B", "1 kB", "61.4 MB", "2 GB"]);
  assert.deepEqual(plain([0, 0.004, 0.5, 1].map(format.percent)), ["0 %", "0.40 %", "50.0 %", "100 %"]);
  assert.deepEqual(plain([0, 59, 3600, 90061].map(format.duration)), ["0 s", "59 s", "1 h", "1 d 1 h"]);
});

Deno.test("a value that is not known is a dash, never a number", () => {
  for (const write of [format.number, format.percent, format.milliseconds, format.bytes, format.duration]) {
    assert.deepEqual([null, undefined, NaN].map(write), ["–", "–", "–"]);
  }
});
