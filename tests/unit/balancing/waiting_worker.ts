/** A proxy thread reduced to a balancer with a queue: sends requests at once, each held for a turn of the loop. */
import { type BalancedTarget, Balancer, type BalancerOptions } from "../../../src/balancing/balancer.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";

export interface WaitOrder extends Omit<BalancerOptions, "table"> {
  tableBuffer: SharedArrayBuffer;
  requests: number;
}

export interface WaitReport {
  served: number;
  /** Most connections to any one target that were seen in flight. */
  most: number;
  refused: string[];
}

declare const self: DedicatedWorkerGlobalScope & typeof globalThis;
interface DedicatedWorkerGlobalScope {
  onmessage: ((event: MessageEvent<WaitOrder>) => void) | null;
  postMessage(message: WaitReport): void;
}

self.onmessage = async ({ data: { tableBuffer, requests, ...options } }) => {
  const table = new TargetTable(tableBuffer);
  const balancer = new Balancer({ ...options, table });
  const report: WaitReport = { served: 0, most: 0, refused: [] };
  const one = async () => {
    const target: BalancedTarget | string = await balancer.acquireOrWait("192.0.2.1");
    if (typeof target === "string") {
      report.refused.push(target);
      return;
    }
    report.served++;
    for (const { slot } of options.targets) report.most = Math.max(report.most, table.active(slot));
    await new Promise((resolve) => setTimeout(resolve, 0));
    balancer.release(target);
  };
  // A worker's loop ends when only a wait for other threads is left: a proxy thread has its ticker.
  const ticker = setInterval(() => {}, 50);
  await Promise.all(Array.from({ length: requests }, one));
  clearInterval(ticker);
  self.postMessage(report);
};
