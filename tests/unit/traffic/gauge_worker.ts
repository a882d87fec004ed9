/** The other thread of the gauge's test. */
import { QueueGauge } from "../../../src/traffic/gauge.ts";

interface Task {
  shared: SharedArrayBuffer;
  rounds: number;
}

declare const self: {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(message: string): void;
};

self.onmessage = ({ data }) => {
  const gauge = new QueueGauge(data.shared);
  for (let round = 0; round < data.rounds; round++) {
    gauge.tryReserve(2, 1e9);
    gauge.countDropped(1);
  }
  self.postMessage("done");
};
