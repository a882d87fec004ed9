/**
 * Records on disk that wait for their database. NDJSON segments `spool-000000000001.ndjson`, `…02.ndjson` and so
 * on: appended to at the newest, replayed and removed from the oldest.
 *
 * How far a segment has been replayed is not written down. After a restart it is replayed from its beginning,
 * and the database leaves out what it has already by the records' ids. Segments are small, so that is cheap.
 *
 * A spool folder belongs to one running instance of Dispa.
 */

import { join } from "node:path";
import { type Backlog, REPLAY_BYTES } from "./backlog.ts";
import { countLines, SinkBatch, wholeLinesLength } from "./batch.ts";
import { type Log, reasonOf, SinkWriteError } from "./sink.ts";

const SEGMENT_NAME = /^spool-(\d{12})\.ndjson$/;

/** A segment is followed by another one at this size. */
const SEGMENT_BYTES = 4 * 1024 * 1024;

interface Segment {
  path: string;
  number: number;
  size: number;
}

export interface SpoolOptions {
  directory: string;
  /** Bound of all segments together. */
  maxBytes: number;
  log: Log;
}

export class Spool implements Backlog {
  readonly durable = true;
  readonly #options: SpoolOptions;
  /** Oldest first; the last one is the one that `#writing` has open, if any. */
  #segments: Segment[];
  #nextNumber: number;
  #writing: Deno.FsFile | null = null;
  /** How much of the oldest segment the database has. */
  #replayed = 0;
  /** What the last `peek` has shown. */
  #shown: Uint8Array = new Uint8Array();

  /** Takes over what an earlier run has left. A folder that is not there yet is made when it is needed. */
  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#segments = findSegments(options.directory);
    this.#nextNumber = (this.#segments.at(-1)?.number ?? 0) + 1;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.size, 0);
  }

  isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /** Throws `SinkWriteError` where the disk takes only a part of what there would be room for. */
  push(batch: SinkBatch): number {
    const room = Math.max(this.#options.maxBytes - this.bytes, 0);
    const bytes = batch.bytes.length <= room
      ? batch.bytes
      : batch.bytes.subarray(0, wholeLinesLength(batch.bytes.subarray(0, room)));
    if (bytes.length > 0) this.#append(bytes);
    return batch.count - (bytes.length === batch.bytes.length ? batch.count : countLines(bytes));
  }

  peek(): SinkBatch | null {
    for (let segment = this.#segments.at(0); segment !== undefined; segment = this.#segments.at(0)) {
      const bytes = this.#read(segment);
      this.#shown = bytes.subarray(0, wholeLinesLength(bytes));
      // What has no newline is the line that a crash has torn.
      if (this.#shown.length > 0) {
        return new SinkBatch(this.#shown.slice(), countLines(this.#shown));
      }
      this.#removeOldest();
    }
    return null;
  }

  advance(count: number): void {
    let end = 0;
    for (let line = 0; line < count; line++) end = this.#shown.indexOf(NEWLINE, end) + 1;
    this.#shown = this.#shown.subarray(end);
    this.#replayed += end;
    const oldest = this.#segments.at(0);
    if (oldest !== undefined && this.#replayed >= oldest.size) this.#removeOldest();
  }

  close(): void {
    this.#writing?.close();
    this.#writing = null;
  }

  #append(bytes: Uint8Array): void {
    const { file, segment } = this.#segmentToWrite();
    let written = 0;
    try {
      while (written < bytes.length) written += file.writeSync(bytes.subarray(written));
      segment.size += written;
    } catch (error) {
      const whole = wholeLinesLength(bytes.subarray(0, written));
      file.truncateSync(segment.size + whole);
      segment.size += whole;
      throw new SinkWriteError(
        `cannot write to the spool ${this.#options.directory}: ${reasonOf(error)}`,
        countLines(bytes.subarray(0, whole)),
        { cause: error },
      );
    }
  }

  #segmentToWrite(): { file: Deno.FsFile; segment: Segment } {
    const last = this.#segments.at(-1);
    if (
      this.#writing !== null && last !== undefined && last.size < SEGMENT_BYTES && isThere(last.path)
    ) return { file: this.#writing, segment: last };
    this.close();
    Deno.mkdirSync(this.#options.directory, { recursive: true });
    const number = this.#nextNumber++;
    const path = join(this.#options.directory, `spool-${String(number).padStart(12, "0")}.ndjson`);
    // Records name clients: what waits in the spool is for Dispa's user alone.
    const file = Deno.openSync(path, { append: true, createNew: true, mode: 0o600 });
    const segment = { path, number, size: 0 };
    this.#writing = file;
    this.#segments.push(segment);
    return { file, segment };
  }

  /** The next part of the segment; empty if there is none, or if somebody has removed the file. */
  #read(segment: Segment): Uint8Array {
    try {
      using file = Deno.openSync(segment.path);
      file.seekSync(this.#replayed, Deno.SeekMode.Start);
      const bytes = new Uint8Array(Math.min(REPLAY_BYTES, segment.size - this.#replayed));
      let read = 0;
      while (read < bytes.length) {
        const count = file.readSync(bytes.subarray(read));
        if (count === null) break;
        read += count;
      }
      return bytes.subarray(0, read);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      this.#options.log("error", "a part of the traffic log's spool was removed by somebody else", {
        file: segment.path,
        bytes: segment.size - this.#replayed,
      });
      return new Uint8Array();
    }
  }

  #removeOldest(): void {
    const oldest = this.#segments.shift();
    this.#replayed = 0;
    this.#shown = new Uint8Array();
    if (this.#segments.length === 0) this.close();
    if (oldest !== undefined) this.#remove(oldest.path);
  }

  /** A segment that cannot be removed comes again after the next start, which does no harm. */
  #remove(path: string): void {
    try {
      if (isThere(path)) Deno.removeSync(path);
    } catch (error) {
      this.#options.log("error", "cannot remove a part of the traffic log's spool that the database has", {
        file: path,
        reason: reasonOf(error),
      });
    }
  }
}

const NEWLINE = 10;

function findSegments(directory: string): Segment[] {
  if (!isThere(directory)) return [];
  const segments: Segment[] = [];
  for (const entry of Deno.readDirSync(directory)) {
    const number = SEGMENT_NAME.exec(entry.name)?.[1];
    if (!entry.isFile || number === undefined) continue;
    const path = join(directory, entry.name);
    segments.push({ path, number: Number(number), size: Deno.statSync(path).size });
  }
  return segments.sort((a, b) => a.number - b.number);
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
