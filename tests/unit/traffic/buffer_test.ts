import assert from "node:assert/strict";
import { QueueAccount } from "../../../src/traffic/account.ts";
import { FLUSH_AT_BYTES, RecordBuffer } from "../../../src/traffic/buffer.ts";
import { QueueGauge } from "../../../src/traffic/gauge.ts";
import type { RecordBatch } from "../../../src/traffic/record.ts";

function makeGauge(): QueueGauge {
  return new QueueGauge(new SharedArrayBuffer(QueueGauge.BYTES));
}

function makeBuffer(overflow: "drop" | "block", maxQueueBytes: number) {
  const gauge = makeGauge();
  const posted: RecordBatch[] = [];
  const port = { postMessage: (batch: RecordBatch) => void posted.push(batch) };
  return { gauge, posted, buffer: new RecordBuffer(port, gauge, { overflow, maxQueueBytes }) };
}

Deno.test("RecordBuffer posts nothing before its flush and everything after it, in order", () => {
  const { buffer, posted, gauge } = makeBuffer("drop", 1000);
  buffer.add("one\n");
  buffer.add("two\n");
  assert.deepEqual(posted, []);
  buffer.flush();
  buffer.flush();
  assert.deepEqual(posted, [{ type: "records", bytes: new TextEncoder().encode("one\ntwo\n"), count: 2 }]);
  assert.equal(gauge.queuedBytes(), 8);
});

Deno.test("RecordBuffer flushes by itself when it holds a batch's worth", () => {
  const { buffer, posted } = makeBuffer("drop", 1e9);
  const line = "x".repeat(999) + "\n";
  let lines = 0;
  while (posted.length === 0) {
    buffer.add(line);
    lines++;
  }
  // The line that did not fit any more is the first of the next batch.
  assert.equal(posted[0].count, Math.floor(FLUSH_AT_BYTES / 1000));
  assert.equal(posted[0].count, lines - 1);
});

Deno.test("RecordBuffer with overflow drop: a batch over the bound is dropped and counted once", () => {
  const { buffer, posted, gauge } = makeBuffer("drop", 10);
  buffer.add("12345678\n");
  buffer.flush();
  buffer.add("a\n");
  buffer.add("b\n");
  buffer.flush();
  assert.equal(posted.length, 1);
  assert.equal(buffer.ready(), null);
  assert.equal(gauge.takeDropped(), 2);
  assert.equal(gauge.takeDropped(), 0);
  assert.equal(gauge.queuedBytes(), 9);
  gauge.release(9);
  buffer.add("c\n");
  buffer.flush();
  assert.equal(posted.length, 2);
});

Deno.test("RecordBuffer with overflow block: nothing is dropped and ready waits for room", async () => {
  const { buffer, posted, gauge } = makeBuffer("block", 10);
  assert.equal(buffer.ready(), null);
  buffer.add("1234567890\n");
  buffer.flush();
  buffer.add("more\n");
  buffer.flush();
  assert.equal(posted.length, 2);
  let isReady = false;
  const ready = buffer.ready();
  assert.notEqual(ready, null);
  const waited = ready?.then(() => isReady = true);
  gauge.release(5);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(isReady, false);
  gauge.release(11);
  await waited;
  assert.equal(buffer.ready(), null);
  assert.equal(gauge.takeDropped(), 0);
});

Deno.test("QueueGauge counts exactly over two threads", async () => {
  const rounds = 300_000;
  const shared = new SharedArrayBuffer(QueueGauge.BYTES);
  const start = new Int32Array(new SharedArrayBuffer(4));
  const gauge = new QueueGauge(shared);
  const worker = new Worker(new URL("./gauge_worker.ts", import.meta.url), { type: "module" });
  try {
    const said = (word: string) =>
      new Promise<void>((resolve) => worker.onmessage = ({ data }) => data === word && resolve());
    const ready = said("ready");
    worker.postMessage({ shared, start, rounds });
    await ready;
    const done = said("done");
    Atomics.store(start, 0, 1);
    Atomics.notify(start, 0);
    for (let round = 0; round < rounds; round++) {
      gauge.reserve(3);
      gauge.countDropped(1);
    }
    await done;
    assert.equal(gauge.queuedBytes(), rounds * 5);
    assert.equal(gauge.takeDropped(), rounds * 2);
  } finally {
    worker.terminate();
  }
});

Deno.test("RecordBuffer posts a line that is larger than a batch by itself, in its place", () => {
  const { buffer, posted } = makeBuffer("drop", 1e9);
  const large = `${"\u00e9".repeat(FLUSH_AT_BYTES)}\n`;
  for (const line of ["a\n", large, "b\n"]) buffer.add(line);
  buffer.flush();
  const decoder = new TextDecoder();
  assert.deepEqual(posted.map(({ bytes }) => decoder.decode(bytes)), ["a\n", large, "b\n"]);
});

Deno.test("what a writer that died had not settled is counted as dropped, and its room given back", () => {
  const { gauge, posted, buffer } = makeBuffer("drop", 1000);
  const port = { postMessage: (batch: RecordBatch) => void posted.push(batch) };
  const first = new QueueAccount();
  buffer.reconnect(port, first);
  for (let i = 0; i < 3; i++) buffer.add(`${i}\n`);
  assert.deepEqual([first.unposted, first.unsettled.records], [3, 0]);
  buffer.flush();
  buffer.add("3\n");
  buffer.flush();
  buffer.add("4\n");
  assert.deepEqual([first.unposted, first.unsettled], [1, { records: 4, bytes: 8 }]);
  first.settled(3, 6);
  gauge.release(6);
  const second = new QueueAccount();
  buffer.reconnect(port, second);
  assert.deepEqual([gauge.takeDropped(), gauge.queuedBytes()], [1, 0]);
  assert.deepEqual([second.unposted, second.unsettled.records], [1, 0]);
  buffer.flush();
  assert.deepEqual([second.unposted, second.unsettled.records], [0, 1]);
});
