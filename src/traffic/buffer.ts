/** Where a proxy thread collects its encoded records before they travel to the writer thread. */

import type { OverflowPolicy } from "../config/model.ts";
import type { QueueGauge } from "./gauge.ts";
import type { RecordBatch } from "./record.ts";

/** A batch is posted at this size: large enough that posting costs little, small enough to stay in cache. */
export const FLUSH_AT_BYTES = 64 * 1024;

export interface RecordBufferOptions {
  /** Bound of the whole process's queue in bytes (`logging.queueMaxBytes`). */
  maxQueueBytes: number;
  overflow: OverflowPolicy;
}

/** The one method of a MessagePort that is used. */
export interface BatchPort {
  postMessage(batch: RecordBatch): void;
}

export class RecordBuffer {
  #port: BatchPort;
  readonly #gauge: QueueGauge;
  #options: RecordBufferOptions;
  #lines = "";
  #count = 0;

  constructor(port: BatchPort, gauge: QueueGauge, options: RecordBufferOptions) {
    this.#port = port;
    this.#gauge = gauge;
    this.#options = options;
  }

  /** Takes one encoded record (a line with its `\n`). Never waits and never throws for a full queue. */
  add(line: string): void {
    this.#lines += line;
    this.#count++;
    if (this.#lines.length >= FLUSH_AT_BYTES) this.flush();
  }

  /** Posts what is collected. The thread calls it every `logging.flushIntervalMs`, and before it ends. */
  flush(): void {
    if (this.#count === 0) return;
    const batch: RecordBatch = { type: "records", lines: this.#lines, count: this.#count };
    this.#lines = "";
    this.#count = 0;
    if (this.#options.overflow === "block") {
      // These requests are answered already; `ready` is what holds the next ones back.
      this.#gauge.reserve(batch.lines.length);
    } else if (!this.#gauge.tryReserve(batch.lines.length, this.#options.maxQueueBytes)) {
      this.#gauge.countDropped(batch.count);
      return;
    }
    this.#port.postMessage(batch);
  }

  /**
   * Null where the next request may be taken at once. With `overflow = "block"` and a full queue: a promise
   * that resolves when there is room again.
   */
  ready(): Promise<void> | null {
    if (this.#options.overflow !== "block" || !this.#gauge.isFull(this.#options.maxQueueBytes)) return null;
    return this.#gauge.room(this.#options.maxQueueBytes);
  }

  /** Sends what is flushed from now on to another writer: the former one's thread has died. */
  reconnect(port: BatchPort): void {
    this.#port = port;
  }

  /** Applies a reloaded configuration to what is flushed from now on. */
  reconfigure(options: RecordBufferOptions): void {
    this.#options = options;
  }
}
