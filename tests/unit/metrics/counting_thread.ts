/// <reference lib="deno.worker" />
/** A thread for threads_test.ts that counts requests as fast as it can until it is told to stop. */
import type { BucketBounds } from "../../../src/metrics/buckets.ts";
import { MetricCells, type SeriesAnnouncement } from "../../../src/metrics/cells.ts";
import { RequestMetrics } from "../../../src/metrics/request_metrics.ts";

export interface ToCounting {
  buffer: SharedArrayBuffer;
  buckets: BucketBounds;
  domain: string;
  /** One word; not 0: stop. */
  stop: Int32Array;
}

export type FromCounting =
  | { type: "series"; series: SeriesAnnouncement }
  /** Wakes the other side, which reads while this one goes on counting. */
  | { type: "progress" }
  | { type: "done"; counted: number };

const ROUND = 10_000;
const post = (message: FromCounting) => self.postMessage(message);

self.onmessage = ({ data: { buffer, buckets, domain, stop } }: MessageEvent<ToCounting>) => {
  const cells = new MetricCells({ buffer, buckets, announce: (series) => post({ type: "series", series }) });
  const metrics = new RequestMetrics(cells);
  let counted = 0;
  while (Atomics.load(stop, 0) === 0) {
    for (let n = 0; n < ROUND; n++) metrics.requestFinished(domain, "GET", 200, 3000);
    counted += ROUND;
    post({ type: "progress" });
  }
  post({ type: "done", counted });
};
