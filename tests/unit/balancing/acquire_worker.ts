/** A proxy thread reduced to its balancer: posts "ready", waits for the gate, acquires, releases, posts counts. */
import { type BalancedTarget, Balancer, type BalancerOptions } from "../../../src/balancing/balancer.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";

export interface AcquireOrder extends Omit<BalancerOptions, "table"> {
  tableBuffer: SharedArrayBuffer;
  /** Opens when word 0 becomes 1. */
  gate: Int32Array;
  acquisitions: number;
  /** Most connections held at once; the oldest is released first. */
  heldAtOnce: number;
  /** Whether what is held at the end is released. */
  releaseAll: boolean;
}

declare const self: DedicatedWorkerGlobalScope & typeof globalThis;
interface DedicatedWorkerGlobalScope {
  onmessage: ((event: MessageEvent<AcquireOrder>) => void) | null;
  postMessage(message: unknown): void;
}

self.onmessage = ({ data }) => {
  const { tableBuffer, gate, acquisitions, heldAtOnce, releaseAll, ...options } = data;
  const balancer = new Balancer({ ...options, table: new TargetTable(tableBuffer) });
  const counts = options.targets.map(() => 0);
  const held: BalancedTarget[] = [];
  self.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  for (let request = 0; request < acquisitions; request++) {
    const target = balancer.acquire("192.0.2.1");
    if (target === null) throw new Error("no target was usable");
    counts[options.targets.indexOf(target)]++;
    held.push(target);
    if (held.length > heldAtOnce) balancer.release(held.shift()!);
  }
  if (releaseAll) held.forEach((target) => balancer.release(target));
  self.postMessage(counts);
};
