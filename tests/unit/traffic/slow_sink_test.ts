import assert from "node:assert/strict";
import { REPLAY_BYTES } from "../../../src/traffic/backlog.ts";
import type { SinkBatch } from "../../../src/traffic/batch.ts";
import { QueueGauge } from "../../../src/traffic/gauge.ts";
import type { Sink } from "../../../src/traffic/sink.ts";
import { Spool } from "../../../src/traffic/spool.ts";
import { TrafficWriter } from "../../../src/traffic/writer.ts";
import {
  CountingMetrics,
  makeBatch,
  makeLogging,
  makeRecords,
  MemoryLog,
  withFolder,
} from "../../support/traffic.ts";

/** A database that answers when it is told to, and knows a record by its id. */
class GatedSink implements Sink {
  readonly name = "postgres";
  readonly kept = new Set<string>();
  readonly gate = Promise.withResolvers<void>();
  open(): void {}
  async write(batch: SinkBatch): Promise<void> {
    await this.gate.promise;
    for (const row of batch.rows) this.kept.add(row.request_id);
  }
  maintain(): void {}
  close(): void {}
}

Deno.test("SinkLane: what a slow database leaves waiting goes to the spool before it fills the queue", () =>
  withFolder(async (folder) => {
    const sink = new GatedSink();
    const logging = makeLogging(folder, { type: "database" });
    const { spoolDirectory: directory, spoolMaxBytes: maxBytes } = logging.database;
    const gauge = new QueueGauge(new SharedArrayBuffer(QueueGauge.BYTES));
    const metrics = new CountingMetrics();
    const { log } = new MemoryLog();
    const writer = new TrafficWriter({
      logging,
      gauge,
      metrics,
      log,
      // Only the amount counts here, not the time.
      timings: { firstRetryMs: 1, longestRetryMs: 1, slowWriteMs: 60_000 },
      newSinks: () => [{
        sink,
        identity: "gated",
        required: true,
        newBacklog: () => new Spool({ directory, maxBytes, log }),
      }],
    });
    await writer.open();
    // Nothing was in the spool: writing goes directly from now on.
    await new Promise((resolve) => setTimeout(resolve, 0));
    let sent = 0;
    let most = 0;
    for (let bytes = 0; bytes < 4 * REPLAY_BYTES;) {
      const batch = makeBatch(makeRecords(sent, 200));
      gauge.reserve(batch.bytes.length);
      writer.write(batch);
      bytes += batch.bytes.length;
      sent += batch.count;
      most = Math.max(most, gauge.queuedBytes());
    }
    assert.ok(most > REPLAY_BYTES / 2 && most <= 2.5 * REPLAY_BYTES, `${most} bytes were in the queue`);
    assert.equal(gauge.queuedBytes(), 0);
    sink.gate.resolve();
    await writer.close();
    assert.deepEqual([...sink.kept], Array.from({ length: sent }, (_, index) => `request-${index}`));
    assert.deepEqual([metrics.dropped, metrics.errors.postgres], [0, undefined]);
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  }));
