/** Statistics of NDJSON files, in parts that several threads can share. */

import { firstLine, lineStart, partsForward } from "./file_lines.ts";
import { addFigures } from "./file_scan.ts";
import type { TrafficFilter } from "./filter.ts";
import type { PartQueue } from "./part_queue.ts";
import type { StatsKey } from "./reader.ts";
import { decodeLine } from "./record.ts";
import type { StatsGroups } from "./stats_groups.ts";

/** A part takes a few milliseconds: threads end together, and no time goes into handing it out. */
export const PART_BYTES = 4 * 1024 * 1024;

/** The lines of a file that begin at `from` or later and before `to`. */
export interface FilePart {
  path: string;
  from: number;
  to: number;
}

export interface FileStatsJob {
  kind: "files";
  filter: TrafficFilter;
  by: StatsKey | null;
  parts: FilePart[];
}

/** The parts of the files that may hold records since the time. */
export function partsOf(
  files: { path: string; size: number }[],
  sinceMs: number | null,
  partBytes: number,
): FilePart[] {
  const parts: FilePart[] = [];
  for (const { path, size } of files) {
    for (let index = Math.ceil(size / partBytes) - 1; index >= 0; index--) {
      const from = index * partBytes;
      parts.push({ path, from, to: Math.min(from + partBytes, size) });
      if (sinceMs !== null && isOlder(firstLine(path, from), sinceMs)) break;
    }
  }
  return parts;
}

/** Adds what the parts hold that this thread gets. */
export function addFileParts({ filter, by, parts }: FileStatsJob, queue: PartQueue, to: StatsGroups): void {
  for (const index of queue.mine()) {
    const { path, from, to: end } = parts[index];
    for (const text of partsForward(path, lineStart(path, from), end)) addFigures(text, filter, by, to);
  }
}

/**
 * Lines are written when requests end, in batches. A part of a file is older than a time if its first record
 * ended this long before it.
 */
const WRITE_DELAY_MS = 60_000;

/** Whether everything written before this line is from before the time. */
export function isOlder(line: string, sinceMs: number | null): boolean {
  if (sinceMs === null) return false;
  const row = decodeLine(line);
  return row !== null && Date.parse(row.timestamp) + row.duration_ms + WRITE_DELAY_MS < sinceMs;
}
