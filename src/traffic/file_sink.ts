/** The traffic log as NDJSON files, one or more a UTC day, of whole lines only. */

import { join } from "node:path";
import type { LoggingConfig } from "../config/model.ts";
import { countLines, type SinkBatch, wholeLinesLength } from "./batch.ts";
import { type Clock, DAY_MS, utcDay } from "./clock.ts";
import { listLogFiles, logFileName, removeExpiredFiles, statOrNull } from "./file_names.ts";
import { reasonOf, type Sink, SinkWriteError, TrafficOpenError } from "./sink.ts";

/** A torn line is looked for in this much of a file's end; a longer one is left as it is. */
const LONGEST_LINE = 1024 * 1024;

interface OpenFile {
  file: Deno.FsFile;
  path: string;
  day: string;
  number: number;
  size: number;
  dev: number;
  ino: number | null;
}

export class FileSink implements Sink {
  readonly name = "file";
  readonly #options: LoggingConfig["file"];
  readonly #clock: Clock;
  #current: OpenFile | null = null;

  constructor(options: LoggingConfig["file"], clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  open(): void {
    try {
      this.#follow();
    } catch (error) {
      this.close();
      throw new TrafficOpenError("unreachable", `cannot open a traffic log file: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  write(batch: SinkBatch): void {
    const bytes = batch.bytes;
    let done = 0;
    try {
      let current = this.#follow();
      while (done < bytes.length) {
        const part = this.#partThatFits(bytes.subarray(done), current.size);
        if (part.length > 0) done += append(current, part);
        if (done < bytes.length) current = this.#openFile(current.day, current.number + 1);
      }
    } catch (error) {
      const torn = error instanceof TornWrite ? error : null;
      if (torn !== null) done += torn.kept;
      this.close();
      throw new SinkWriteError(
        `cannot write to ${this.#options.directory}: ${reasonOf(torn?.cause ?? error)}`,
        countLines(bytes.subarray(0, done)),
        { cause: error },
      );
    }
  }

  maintain(retentionDays: number): void {
    if (retentionDays === 0) return;
    removeExpiredFiles(this.#options.directory, this.#clock.now() - retentionDays * DAY_MS);
  }

  close(): void {
    this.#current?.file.close();
    this.#current = null;
  }

  /** The file that the next line belongs into: another one after midnight, or if ours was moved or removed. */
  #follow(): OpenFile {
    const day = utcDay(this.#clock.now());
    const current = this.#current;
    if (current !== null && current.day === day) {
      const there = statOrNull(current.path);
      if (there !== null && there.ino === current.ino && there.dev === current.dev) {
        current.size = there.size;
        return current;
      }
    }
    Deno.mkdirSync(this.#options.directory, { recursive: true });
    return this.#openFile(day, this.#lastNumber(day));
  }

  /** Number of the day's newest file. */
  #lastNumber(day: string): number {
    if (!this.#options.rotation) return 0;
    const files = listLogFiles(this.#options.directory).filter((file) => file.day === day);
    return files.at(-1)?.number ?? 0;
  }

  #openFile(day: string, number: number): OpenFile {
    const path = join(this.#options.directory, logFileName(day, number));
    const file = Deno.openSync(path, { read: true, append: true, create: true });
    this.close();
    const { dev, ino, size } = file.statSync();
    this.#current = { file, path, day, number, size, dev, ino };
    this.#current.size -= cutTornLine(file, size);
    return this.#current;
  }

  /** The lines that the current file has room for; all of them without rotation. */
  #partThatFits(bytes: Uint8Array, size: number): Uint8Array {
    const room = this.#options.maxFileSizeBytes - size;
    if (!this.#options.rotation || bytes.length <= room) return bytes;
    const fitting = wholeLinesLength(bytes.subarray(0, Math.max(room, 0)));
    // A line longer than a whole file goes into an empty one, alone.
    return bytes.subarray(0, fitting === 0 && size === 0 ? bytes.indexOf(10) + 1 : fitting);
  }
}

/** A write that ended inside the bytes; the file's whole lines among them are `kept`. */
class TornWrite extends Error {
  override readonly name = "TornWrite";
  constructor(readonly kept: number, override readonly cause: unknown) {
    super("the write ended early");
  }
}

/** Appends whole lines and returns their length. */
function append(current: OpenFile, lines: Uint8Array): number {
  let written = 0;
  try {
    while (written < lines.length) written += current.file.writeSync(lines.subarray(written));
  } catch (error) {
    const kept = wholeLinesLength(lines.subarray(0, written));
    if (kept < written) current.file.truncateSync(current.size + kept);
    throw new TornWrite(kept, error);
  }
  current.size += written;
  return written;
}

/** Removes what follows the last newline, which a crash in the middle of a write has left; returns its length. */
function cutTornLine(file: Deno.FsFile, size: number): number {
  const tail = new Uint8Array(Math.min(size, LONGEST_LINE));
  file.seekSync(size - tail.length, Deno.SeekMode.Start);
  let read = 0;
  while (read < tail.length) {
    const count = file.readSync(tail.subarray(read));
    if (count === null) break;
    read += count;
  }
  const whole = wholeLinesLength(tail.subarray(0, read));
  if (whole === read || (whole === 0 && size > LONGEST_LINE)) return 0;
  file.truncateSync(size - (read - whole));
  return read - whole;
}
