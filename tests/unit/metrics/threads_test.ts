import { equal, ok } from "node:assert/strict";
import { bucketBounds } from "../../../src/metrics/buckets.ts";
import { MetricCells } from "../../../src/metrics/cells.ts";
import { FAMILIES } from "../../../src/metrics/families.ts";
import type { FromCounting, ToCounting } from "./counting_thread.ts";
import { Metrics } from "./support.ts";

const MOVES_WANTED = 200;

Deno.test("what real threads count is whole at any moment, survives a killed thread, and is exact at the end", async () => {
  const metrics = new Metrics();
  const stop = new Int32Array(new SharedArrayBuffer(4));

  let moves = 0;
  let [lastTotal, lastCount, lastSum] = [0, 0, 0];
  const seenEnough = Promise.withResolvers<void>();
  const read = () => {
    const counts = Object.values(metrics.scalars(FAMILIES.requests));
    const total = counts.reduce((sum, n) => sum + n, 0);
    const [{ count, sum }] = metrics.histograms(FAMILIES.requestDuration);
    ok([total, count, sum].every(Number.isSafeInteger), `torn: ${total}, ${count}, ${sum}`);
    ok(total >= lastTotal && count >= lastCount && sum >= lastSum, "counters never go down");
    if (total > lastTotal) moves++;
    // A thread that started late has counted nothing yet; all must have.
    if (moves >= MOVES_WANTED && counts.filter((n) => n > 0).length === 3) seenEnough.resolve();
    [lastTotal, lastCount, lastSum] = [total, count, sum];
  };

  const threads = [0, 1, 2].map((id) => {
    const worker = new Worker(new URL("./counting_thread.ts", import.meta.url), { type: "module" });
    const buffer = new SharedArrayBuffer(MetricCells.BYTES);
    metrics.registry.attach(id, buffer);
    const done = Promise.withResolvers<number>();
    worker.onerror = (event) => {
      event.preventDefault();
      done.reject(new Error(event.message));
      seenEnough.reject(new Error(event.message));
    };
    worker.onmessage = ({ data }: MessageEvent<FromCounting>) => {
      if (data.type === "series") metrics.registry.announce(id, data.series);
      else if (data.type === "done") done.resolve(data.counted);
      read();
    };
    const message: ToCounting = { buffer, buckets: bucketBounds(), domain: `thread ${id}`, stop };
    worker.postMessage(message);
    return { worker, counted: done.promise };
  });

  try {
    await seenEnough.promise;
    threads[0].worker.terminate();
    metrics.registry.retire(0);
    read();
    Atomics.store(stop, 0, 1);
    const counted = [null, await threads[1].counted, await threads[2].counted];
    read();
    for (const id of [1, 2]) {
      equal(metrics.scalars(FAMILIES.requests)[`thread ${id},GET,200`], counted[id]);
      metrics.registry.retire(id);
      equal(metrics.scalars(FAMILIES.requests)[`thread ${id},GET,200`], counted[id]);
    }
    read();
  } finally {
    for (const { worker } of threads) worker.terminate();
  }
});
