/** A batch of records inside the writer: the lines as they came, decoded or encoded only if a sink asks. */

import { decodeLines, type TrafficRow } from "./record.ts";

const NEWLINE = 10;
const encoder = new TextEncoder();

export class SinkBatch {
  #bytes: Uint8Array<ArrayBuffer> | null = null;
  #rows: TrafficRow[] | null = null;

  /** `lines`: `count` whole NDJSON lines, each ended by `\n`. */
  constructor(readonly lines: string, readonly count: number) {}

  static join(batches: SinkBatch[]): SinkBatch {
    if (batches.length === 1) return batches[0];
    let count = 0;
    for (const batch of batches) count += batch.count;
    return new SinkBatch(batches.map((batch) => batch.lines).join(""), count);
  }

  /** Size for queue bounds, in characters (see `QueueGauge`). */
  get size(): number {
    return this.lines.length;
  }

  /** The lines in UTF-8. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ??= encoder.encode(this.lines);
  }

  /** The records decoded; shorter than `count` where a line is not a whole record. */
  get rows(): TrafficRow[] {
    return this.#rows ??= decodeLines(this.lines);
  }

  /** The batch without its first `count` records. */
  skip(count: number): SinkBatch {
    if (count === 0) return this;
    let start = 0;
    for (let skipped = 0; skipped < count; skipped++) start = this.lines.indexOf("\n", start) + 1;
    return new SinkBatch(this.lines.slice(start), this.count - count);
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
