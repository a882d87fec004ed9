/** A look at the records on their way to the log, for who watches; it takes a bounded part of them. */

import type { Clock } from "./clock.ts";
import type { RecordBatch } from "./record.ts";

/** @param skipped records since the last call that are not among `lines` */
export type TapSink = (lines: string, skipped: number) => void;

export class TrafficTap {
  readonly #clock: Clock;
  readonly #sink: TapSink;
  #recordsPerSecond = 0;
  #second = 0;
  #left = 0;
  #skipped = 0;

  constructor(clock: Clock, sink: TapSink) {
    this.#clock = clock;
    this.#sink = sink;
  }

  /** @param recordsPerSecond 0: off */
  set recordsPerSecond(recordsPerSecond: number) {
    this.#recordsPerSecond = recordsPerSecond;
    this.#left = recordsPerSecond;
    this.#skipped = 0;
  }

  /** To be called with every batch. Free while the tap is off. */
  offer(batch: RecordBatch): void {
    if (this.#recordsPerSecond === 0) return;
    const second = Math.floor(this.#clock.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#left = this.#recordsPerSecond;
    }
    const taken = Math.min(batch.count, this.#left);
    this.#skipped += batch.count - taken;
    if (taken === 0) return;
    this.#left -= taken;
    const bytes = taken === batch.count ? batch.bytes : firstLines(batch.bytes, taken);
    this.#sink(decoder.decode(bytes), this.#skipped);
    this.#skipped = 0;
  }
}

const NEWLINE = 10;
const decoder = new TextDecoder();

function firstLines(bytes: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer> {
  let end = 0;
  for (let line = 0; line < count; line++) end = bytes.indexOf(NEWLINE, end) + 1;
  return bytes.subarray(0, end);
}
