/** Questions to the NDJSON files. */

import { DAY_MS, utcDay } from "./clock.ts";
import { partsBackward, partsForward } from "./file_lines.ts";
import { listLogFiles, type LogFile, statOrNull } from "./file_names.ts";
import { eachFigure, matchingRows } from "./file_scan.ts";
import type { TrafficFilter } from "./filter.ts";
import { pause } from "./poll.ts";
import type { StatsGroup, StatsKey, TrafficReader } from "./reader.ts";
import { decodeLine, type TrafficRow } from "./record.ts";
import { reasonOf, TrafficOpenError } from "./sink.ts";
import { StatsGroups } from "./stats_groups.ts";

const POLL_MS = 250;

/** Up to so many records are held to put them in the order of their times; more come as they were written. */
const MOST_SORTED = 10_000;

/**
 * Lines are written when requests end, in batches. A part of a file is older than a time if its first record
 * ended this long before it.
 */
const WRITE_DELAY_MS = 60_000;

/** How far a file has been followed. */
interface ReadTo {
  ino: number | null;
  end: number;
}

export class FileReader implements TrafficReader {
  readonly #directory: string;

  /** Throws `TrafficOpenError`. */
  constructor(directory: string) {
    this.#directory = directory;
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
    const groups = new StatsGroups();
    for (const file of this.#files(filter)) {
      for (const part of partsBackward(file.path)) {
        eachFigure(part, filter, by, (...figures) => groups.add(...figures));
        if (isOlder(part, filter.sinceMs)) break;
      }
    }
    return Promise.resolve(groups.result());
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
        if (isOlder(part, filter.sinceMs)) break;
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
        `cannot read the traffic log files in ${this.#directory}: ${reasonOf(error)}`,
        { cause: error },
      );
    }
  }
}

const LAST_TIME_MS = Date.parse("9999-12-31T00:00:00Z");

/** Whether everything written before this part is from before the time. */
function isOlder(part: string, sinceMs: number | null): boolean {
  if (sinceMs === null) return false;
  const row = decodeLine(part.slice(0, part.indexOf("\n")));
  return row !== null && Date.parse(row.timestamp) + row.duration_ms + WRITE_DELAY_MS < sinceMs;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
