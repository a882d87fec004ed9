/** Where records wait while their sink cannot take them. */

import { SinkBatch } from "./batch.ts";

/** At most this much of a backlog is handed to a sink at once, in bytes. */
export const REPLAY_BYTES = 1024 * 1024;

export interface Backlog {
  /** Whether what is in it survives the end of the process. */
  readonly durable: boolean;
  isEmpty(): boolean;
  /** Takes the batch behind all others; returns how many of its records found no room. */
  push(batch: SinkBatch): number;
  /** The oldest records, the same ones until `advance`; null where there are none. */
  peek(): SinkBatch | null;
  /** The first `count` records of the last `peek` are kept by the sink now. */
  advance(count: number): void;
  close(): void;
}

/** A backlog in memory, for sinks that have no spool. What comes when it is full is refused. */
export class MemoryBacklog implements Backlog {
  readonly durable = false;
  readonly #maxBytes: number;
  #batches: SinkBatch[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  push(batch: SinkBatch): number {
    if (this.#bytes + batch.size > this.#maxBytes) return batch.count;
    this.#batches.push(batch);
    this.#bytes += batch.size;
    return 0;
  }

  peek(): SinkBatch | null {
    if (this.#batches.length === 0) return null;
    let taken = 1;
    for (let bytes = this.#batches[0].size; taken < this.#batches.length; taken++) {
      bytes += this.#batches[taken].size;
      if (bytes > REPLAY_BYTES) break;
    }
    // Joined in place, so that `advance` finds what `peek` has shown as one batch.
    this.#batches.splice(0, taken, SinkBatch.join(this.#batches.slice(0, taken)));
    return this.#batches[0];
  }

  advance(count: number): void {
    const head = this.#batches[0];
    const rest = head.skip(count);
    this.#bytes += rest.size - head.size;
    if (rest.count > 0) this.#batches[0] = rest;
    else this.#batches.shift();
  }

  close(): void {
    this.#batches = [];
    this.#bytes = 0;
  }
}
