/** A proxy thread reduced to its counts: waits for the gate, then lets connections in and out as fast as it can. */
import { ConnectionCounts, type OwnConnections } from "../../../src/proxy/connection_counts.ts";

export interface CountOrder {
  buffer: SharedArrayBuffer;
  own: OwnConnections;
  thread: number;
  /** Opens when word 0 becomes 1. Words 1 and 2: highest count seen in all, and how often a limit refused. */
  gate: Int32Array<SharedArrayBuffer>;
  rounds: number;
  maxConnections: number;
  maxPerIp: number;
  ips: string[];
  /** Connections left open at the end. */
  leave: number;
}

declare const self: {
  onmessage: ((event: MessageEvent<CountOrder>) => void) | null;
  postMessage(message: unknown): void;
};

self.onmessage = ({ data }) => {
  const { own, thread, gate, rounds, maxConnections, maxPerIp, ips, leave } = data;
  const counts = new ConnectionCounts(data.buffer);
  self.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  const open: number[] = [];
  for (let round = 0; round < rounds; round++) {
    if (counts.enter(maxConnections, own)) {
      const slot = counts.enterAddress(ips[round % ips.length], maxPerIp, own, thread);
      if (slot === null) {
        counts.leave(own);
        Atomics.add(gate, 2, 1);
      } else {
        open.push(slot);
      }
    } else {
      Atomics.add(gate, 2, 1);
    }
    const total = counts.total;
    for (let seen = Atomics.load(gate, 1); total > seen; seen = Atomics.load(gate, 1)) {
      Atomics.compareExchange(gate, 1, seen, total);
    }
    if (open.length > leave) {
      counts.leave(own);
      counts.leaveAddress(open.shift()!, own, thread);
    }
  }
  self.postMessage(open.length);
};
