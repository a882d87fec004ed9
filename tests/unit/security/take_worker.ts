/** A proxy thread reduced to its token buckets: posts "ready", waits for the gate, takes, posts what it got. */
import { type BucketSettings, TokenBuckets } from "../../../src/security/token_buckets.ts";

export interface TakeOrder {
  memory: SharedArrayBuffer;
  settings: BucketSettings;
  /** The time of day in this test, in ms; it does not pass. */
  nowMs: number;
  /** Opens when word 0 becomes 1. */
  gate: Int32Array<SharedArrayBuffer>;
  keys: string[];
  /** Of each key. */
  takes: number;
}

declare const self: DedicatedWorkerGlobalScope & typeof globalThis;
interface DedicatedWorkerGlobalScope {
  onmessage: ((event: MessageEvent<TakeOrder>) => void) | null;
  postMessage(message: unknown): void;
}

self.onmessage = ({ data }) => {
  const { memory, settings, nowMs, gate, keys, takes } = data;
  const buckets = new TokenBuckets(memory, settings, () => nowMs);
  const got = keys.map(() => 0);
  self.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  for (let turn = 0; turn < takes; turn++) {
    for (let key = 0; key < keys.length; key++) if (buckets.take(keys[key]) === 0) got[key]++;
  }
  self.postMessage(got);
};
