/** Where a proxy thread collects its encoded records before they travel to the writer thread. */

import type { OverflowPolicy } from "../config/model.ts";
import { QueueAccount } from "./account.ts";
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
  postMessage(batch: RecordBatch, transfer: Transferable[]): void;
}

const encoder = new TextEncoder();

export class RecordBuffer {
  #port: BatchPort;
  #account: QueueAccount;
  readonly #gauge: QueueGauge;
  #options: RecordBufferOptions;
  /**
   * Lines are encoded as they come: collected as strings they would be ropes of dozens of pieces that live
   * just long enough to be copied by each garbage collection (measured: 10 µs a request against 4).
   */
  #block = new Uint8Array(FLUSH_AT_BYTES);
  #used = 0;
  #count = 0;

  /** @param account of the connection that `port` is */
  constructor(
    port: BatchPort,
    gauge: QueueGauge,
    options: RecordBufferOptions,
    account = new QueueAccount(),
  ) {
    this.#port = port;
    this.#account = account;
    this.#gauge = gauge;
    this.#options = options;
  }

  /** Takes one encoded record (a line with its `\n`). Never waits and never throws for a full queue. */
  add(line: string): void {
    const { read, written } = encoder.encodeInto(line, this.#block.subarray(this.#used));
    if (read === line.length) {
      this.#used += written;
      this.#count++;
      this.#account.collected();
      return;
    }
    if (this.#used > 0) {
      this.flush();
      this.add(line);
    } else {
      this.#account.collected();
      this.#post(encoder.encode(line), 1);
    }
  }

  /** Posts what is collected. The thread calls it every `logging.flushIntervalMs`, and before it ends. */
  flush(): void {
    if (this.#count === 0) return;
    const block = this.#block;
    const used = this.#used;
    const count = this.#count;
    this.#used = 0;
    this.#count = 0;
    if (used > FLUSH_AT_BYTES / 2) {
      this.#block = new Uint8Array(FLUSH_AT_BYTES);
      this.#post(block.subarray(0, used), count);
    } else {
      this.#post(block.slice(0, used), count);
    }
  }

  /** @param bytes are given away, their buffer with them */
  #post(bytes: Uint8Array<ArrayBuffer>, count: number): void {
    const batch: RecordBatch = { type: "records", bytes, count };
    if (this.#options.overflow === "block") {
      // These requests are answered already; `ready` is what holds the next ones back.
      this.#gauge.reserve(bytes.length);
    } else if (!this.#gauge.tryReserve(bytes.length, this.#options.maxQueueBytes)) {
      this.#gauge.countDropped(count);
      this.#account.dropped(count);
      return;
    }
    this.#account.posted(count, bytes.length);
    this.#port.postMessage(batch, [bytes.buffer]);
  }

  /**
   * Null where the next request may be taken at once. With `overflow = "block"` and a full queue: a promise
   * that resolves when there is room again.
   */
  ready(): Promise<void> | null {
    if (this.#options.overflow !== "block" || !this.#gauge.isFull(this.#options.maxQueueBytes)) return null;
    return this.#gauge.room(this.#options.maxQueueBytes);
  }

  /**
   * Sends what is flushed from now on to another writer: the former one's thread has died. What it had not done
   * with is lost, and counted.
   */
  reconnect(port: BatchPort, account = new QueueAccount()): void {
    const { records, bytes } = this.#account.unsettled;
    this.#gauge.countDropped(records);
    this.#gauge.release(bytes);
    for (let collected = 0; collected < this.#count; collected++) account.collected();
    this.#port = port;
    this.#account = account;
  }

  /** Applies a reloaded configuration to what is flushed from now on. */
  reconfigure(options: RecordBufferOptions): void {
    this.#options = options;
  }
}
