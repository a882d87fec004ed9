/** A batch of records inside the writer: UTF-8 lines as they came, made text or rows only if a sink asks. */

import { decodeLines, type TrafficRow } from "./record.ts";

const NEWLINE = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class SinkBatch {
  /** `count` whole NDJSON lines in UTF-8, each ended by `\n`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  #lines: string | null = null;
  #rows: TrafficRow[] | null = null;

  constructor(content: Uint8Array<ArrayBuffer> | string, readonly count: number) {
    this.bytes = typeof content === "string" ? encoder.encode(content) : content;
  }

  static join(batches: SinkBatch[]): SinkBatch {
    if (batches.length === 1) return batches[0];
    let count = 0;
    let size = 0;
    for (const batch of batches) {
      count += batch.count;
      size += batch.size;
    }
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const batch of batches) {
      bytes.set(batch.bytes, at);
      at += batch.size;
    }
    return new SinkBatch(bytes, count);
  }

  /** Size for queue bounds, in bytes. */
  get size(): number {
    return this.bytes.length;
  }

  /** The lines as text. */
  get lines(): string {
    return this.#lines ??= decoder.decode(this.bytes);
  }

  /** The records decoded; shorter than `count` where a line is not a whole record. */
  get rows(): TrafficRow[] {
    return this.#rows ??= decodeLines(this.lines);
  }

  /** The batch without its first `count` records. */
  skip(count: number): SinkBatch {
    if (count === 0) return this;
    let start = 0;
    for (let skipped = 0; skipped < count; skipped++) start = this.bytes.indexOf(NEWLINE, start) + 1;
    return new SinkBatch(this.bytes.subarray(start), this.count - count);
  }
}

/** Number of whole lines in the bytes. */
export function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}

/** Length of the bytes up to and with their last newline; 0 if there is none. */
export function wholeLinesLength(bytes: Uint8Array): number {
  return bytes.lastIndexOf(NEWLINE) + 1;
}
