/** Entry point of the writer thread: the only one that ever waits for a disk or a database. */
import { bucketBounds, MetricCells } from "../metrics/mod.ts";
import { QueueAccount } from "../traffic/account.ts";
import { QueueGauge } from "../traffic/gauge.ts";
import type { RecordBatch } from "../traffic/record.ts";
import { reasonOf } from "../traffic/sink.ts";
import { systemClock } from "../traffic/clock.ts";
import { TrafficTap } from "../traffic/tap.ts";
import { TrafficWriter } from "../traffic/writer.ts";
import type { FromWriter, ToWriter } from "./messages.ts";
import { threadScope } from "./thread_scope.ts";
import { CellWriterMetrics } from "./writer_metrics.ts";

/** How long records may take from a proxy thread's port to the sinks when the log or the program ends. */
const DRAIN_TIMEOUT_MS = 5_000;

const scope = threadScope<ToWriter, FromWriter>();
let writer: TrafficWriter | null = null;
let gauge: QueueGauge | null = null;
const tap = new TrafficTap(
  systemClock,
  (lines, skipped) => scope.postMessage({ type: "tapped", lines, skipped }),
);

scope.onmessage = async (event) => {
  const message = event.data;
  if (message.type === "open") {
    gauge = new QueueGauge(message.queue);
    writer = newWriter(message, gauge);
    try {
      await writer.open();
      scope.postMessage({ type: "opened" });
    } catch (fault) {
      scope.postMessage({ type: "open_failed", message: reasonOf(fault) });
    }
    return;
  }
  if (writer === null) throw new Error(`"${message.type}" came before "open"`);
  const opened = writer;
  switch (message.type) {
    case "connect": {
      const account = new QueueAccount(message.account);
      message.port.onmessage = ({ data: batch }: MessageEvent<RecordBatch>) => {
        tap.offer(batch);
        const { length } = batch.bytes;
        opened.write(batch, () => account.settled(batch.count, length));
      };
      break;
    }
    case "tap":
      tap.recordsPerSecond = message.recordsPerSecond;
      break;
    case "reconfigure":
      try {
        // Switched off, nothing new comes, and what is on its way still belongs to the old sinks.
        if (!message.logging.enabled) await within(DRAIN_TIMEOUT_MS, gauge!.room(1));
        await opened.reconfigure(message.logging);
        scope.postMessage({ type: "reconfigured" });
      } catch (fault) {
        scope.postMessage({ type: "reconfigure_failed", message: reasonOf(fault) });
      }
      break;
    case "close":
      // Batches come through ports of their own and may still be behind this message: the gauge knows them.
      await within(DRAIN_TIMEOUT_MS, gauge!.room(1));
      await opened.close();
      scope.postMessage({ type: "closed" });
      break;
  }
};

/** Waits for `promise`, but not longer than `timeoutMs`: a batch may have been lost with a dead proxy thread. */
async function within(timeoutMs: number, promise: Promise<void>): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, timeoutMs);
  await Promise.race([promise, timeout.promise]);
  clearTimeout(timer);
}

function newWriter(message: Extract<ToWriter, { type: "open" }>, gauge: QueueGauge): TrafficWriter {
  const cells = new MetricCells({
    buffer: message.cells,
    announce: (series) => scope.postMessage({ type: "series", series }),
    buckets: bucketBounds(message.bucketsMs),
  });
  return new TrafficWriter({
    logging: message.logging,
    gauge,
    log: (level, text, fields) => scope.postMessage({ type: "log", level, message: text, fields }),
    metrics: new CellWriterMetrics(cells),
  });
}
