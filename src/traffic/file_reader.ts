/** Questions to the NDJSON files. */

import { DAY_MS, utcDay } from "./clock.ts";
import { partsBackward, partsForward } from "./file_lines.ts";
import { listLogFiles, type LogFile, statOrNull } from "./file_names.ts";
import { matchingRows } from "./file_scan.ts";
import { addFileParts, type FileStatsJob, isOlder, PART_BYTES, partsOf } from "./file_stats.ts";
import type { TrafficFilter } from "./filter.ts";
import { pause } from "./poll.ts";
import type { Helpers, StatsGroup, StatsKey, TrafficReader } from "./reader.ts";
import type { TrafficRow } from "./record.ts";
import { shareStats } from "./shared_stats.ts";
import { reasonOf, TrafficOpenError } from "./sink.ts";

const POLL_MS = 250;

/** Up to so many records are held to put them in the order of their times; more come as they were written. */
const MOST_SORTED = 10_000;

/** How far a file has been followed. */
interface ReadTo {
  ino: number | null;
  end: number;
}

export class FileReader implements TrafficReader {
  readonly #directory: string;
  readonly #helpers: Helpers | null;
  readonly #partBytes: number;

  /** Throws `TrafficOpenError`. */
  constructor(directory: string, helpers: Helpers | null = null, partBytes = PART_BYTES) {
    this.#directory = directory;
    this.#helpers = helpers;
    this.#partBytes = partBytes;
    this.#list();
  }

  async *query(filter: TrafficFilter, limit: number): AsyncGenerator<TrafficRow> {
    if (limit === 0 || limit > MOST_SORTED) {
      let left = limit === 0 ? Infinity : limit;
      for (const rows of this.#newestFirst(filter)) {
        yield* rows.slice(0, left);
        left -= rows.length;
        if (left <= 0) return;
      }
      return;
    }
    let newest: TrafficRow[] = [];
    for (const rows of this.#newestFirst(filter)) {
      newest.push(...rows);
      newest.sort((a, b) =>
        a.timestamp === b.timestamp ? compare(b.id, a.id) : compare(b.timestamp, a.timestamp)
      );
      newest = newest.slice(0, limit);
      // A part more than the limit needs: its records may have arrived after some that ended later.
      if (newest.length === limit && rows.every((row) => row.timestamp < newest[limit - 1].timestamp)) break;
    }
    yield* newest;
  }

  stats(filter: TrafficFilter, by: StatsKey | null): Promise<StatsGroup[]> {
    const files = this.#files(filter).flatMap(({ path }) => {
      const there = statOrNull(path);
      return there === null ? [] : [{ path, size: there.size }];
    });
    const job: FileStatsJob = {
      kind: "files",
      filter,
      by,
      parts: partsOf(files, filter.sinceMs, this.#partBytes),
    };
    return shareStats(job, this.#helpers, (queue, to) => addFileParts(job, queue, to));
  }

  tail(filter: TrafficFilter, signal: AbortSignal): Promise<AsyncIterable<TrafficRow>> {
    const read = new Map<string, ReadTo>();
    for (const file of this.#list()) {
      const there = statOrNull(file.path);
      if (there !== null) read.set(file.path, { ino: there.ino, end: there.size });
    }
    return Promise.resolve(this.#follow(filter, signal, read));
  }

  async *#follow(filter: TrafficFilter, signal: AbortSignal, read: Map<string, ReadTo>) {
    while (!signal.aborted) {
      const yesterday = utcDay(Date.now() - DAY_MS);
      for (const file of this.#list().filter((file) => file.day >= yesterday)) {
        const there = statOrNull(file.path);
        if (there === null) continue;
        const before = read.get(file.path);
        // Another inode or a shorter file: it was moved away and begun again.
        const goesOn = before !== undefined && before.ino === there.ino && before.end <= there.size;
        const parts = partsForward(file.path, goesOn ? before.end : 0);
        let part = parts.next();
        for (; !part.done; part = parts.next()) yield* matchingRows(part.value, filter);
        read.set(file.path, { ino: there.ino, end: part.value });
      }
      await pause(POLL_MS, signal);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The matching records in parts, the last written first. */
  *#newestFirst(filter: TrafficFilter): Generator<TrafficRow[]> {
    for (const file of this.#files(filter)) {
      for (const part of partsBackward(file.path)) {
        yield matchingRows(part, filter).reverse();
        if (isOlder(part.slice(0, part.indexOf("\n")), filter.sinceMs)) break;
      }
    }
  }

  /**
   * The files that may hold what the filter asks for, the newest first. A file is named after the day on which
   * its records were written, which is when their requests ended: a day's allowance on both sides takes in
   * requests over midnight, and clocks that were set.
   */
  #files(filter: TrafficFilter): LogFile[] {
    const { sinceMs, untilMs } = filter;
    const first = sinceMs === null ? "" : utcDay(Math.max(sinceMs - DAY_MS, 0));
    const last = untilMs === null ? "9999" : utcDay(Math.min(untilMs + DAY_MS, LAST_TIME_MS));
    return this.#list().filter((file) => file.day >= first && file.day <= last).reverse();
  }

  #list(): LogFile[] {
    try {
      return listLogFiles(this.#directory);
    } catch (error) {
      throw new TrafficOpenError(
        "unreachable",
        `cannot read the traffic log files in ${this.#directory}: ${
          error instanceof Deno.errors.NotFound
            ? "there is no such folder; Dispa makes it when it starts, relative to the folder it is started in"
            : reasonOf(error)
        }`,
        { cause: error },
      );
    }
  }
}

const LAST_TIME_MS = Date.parse("9999-12-31T00:00:00Z");

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
