/** The other thread of the gauge's test. */
import { QueueGauge } from "../../../src/traffic/gauge.ts";

interface Task {
  shared: SharedArrayBuffer;
  /** One cell: both threads begin when it becomes 1. */
  start: Int32Array<SharedArrayBuffer>;
  rounds: number;
}

declare const self: {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: "ready" | "done"): void;
};

self.onmessage = ({ data: { shared, start, rounds } }) => {
  const gauge = new QueueGauge(shared);
  self.postMessage("ready");
  Atomics.wait(start, 0, 0);
  for (let round = 0; round < rounds; round++) {
    gauge.tryReserve(2, 1e9);
    gauge.countDropped(1);
  }
  self.postMessage("done");
};
