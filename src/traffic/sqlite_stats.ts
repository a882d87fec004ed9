/** Statistics of the SQLite database, in parts that several threads can share. */

import type { DatabaseSync } from "node:sqlite";
import { conditionsOf } from "./conditions.ts";
import { NO_FILTER, type TrafficFilter } from "./filter.ts";
import type { PartQueue } from "./part_queue.ts";
import type { StatsKey } from "./reader.ts";
import type { StatsGroups } from "./stats_groups.ts";

/** Rows of a part: ten milliseconds, and less than a mebibyte of JSON. */
export const PART_ROWS = 1 << 14;

/** Rowids from `from` up to and without `to`. */
export interface RowPart {
  from: number;
  to: number;
}

export interface SqliteStatsJob {
  kind: "sqlite";
  path: string;
  filter: TrafficFilter;
  by: StatsKey | null;
  parts: RowPart[];
}

const KEY_SQL: Record<StatsKey, string> = {
  host: "host",
  target: "coalesce(target, '')",
  status: "CAST(status_code AS TEXT)",
  minute: "substr(timestamp, 1, 16)",
};

/** The parts of the rows that the filter's time range allows, found by the index on `timestamp` alone. */
export function rowParts(database: DatabaseSync, filter: TrafficFilter, partRows: number): RowPart[] {
  const { sql, values } = conditionsOf(
    { ...NO_FILTER, sinceMs: filter.sinceMs, untilMs: filter.untilMs },
    (index) => `?${index}`,
  );
  // One of them alone would be looked for row by row from its end of the table.
  const range = values.length === 0
    ? `SELECT (SELECT min(rowid) FROM traffic_logs) AS first, (SELECT max(rowid) FROM traffic_logs) AS last`
    : `SELECT min(rowid) AS first, max(rowid) AS last FROM traffic_logs WHERE ${sql}`;
  const row = database.prepare(range).get(...values);
  const parts: RowPart[] = [];
  if (typeof row?.first !== "number" || typeof row.last !== "number") return parts;
  for (let from = row.first; from <= row.last; from += partRows) {
    parts.push({ from, to: Math.min(from + partRows, row.last + 1) });
  }
  return parts;
}

/**
 * Adds what the parts hold that this thread gets. SQLite hands the columns over as JSON and this side groups and
 * ranks: by host, a million rows take 0.6 s of CPU time so, where SQLite's GROUP BY, which sorts, takes 1.3.
 */
export function addRowParts(
  { filter, by, parts }: Omit<SqliteStatsJob, "path">,
  database: DatabaseSync,
  queue: PartQueue,
  to: StatsGroups,
): void {
  const { sql, values } = conditionsOf(filter, (index) => `?${index}`, 3);
  const bytes = "request_size + response_size";
  const statement = database.prepare(
    `SELECT ${by === null ? "NULL" : `json_group_array(${KEY_SQL[by]})`} AS keys,
       json_group_array(CAST(duration_ms * 1000 + 0.5 AS INTEGER)) AS durations,
       json_group_array(CASE WHEN status_code >= 500 OR error_message IS NOT NULL
         THEN -1 - (${bytes}) ELSE ${bytes} END) AS bytes
     FROM traffic_logs NOT INDEXED WHERE rowid >= ?1 AND rowid < ?2 AND ${sql}`,
  );
  for (const index of queue.mine()) {
    const row = statement.get(parts[index].from, parts[index].to, ...values);
    const keys: string[] | null = by === null ? null : JSON.parse(String(row?.keys));
    const durations: number[] = JSON.parse(String(row?.durations));
    const sizes: number[] = JSON.parse(String(row?.bytes));
    for (let at = 0; at < sizes.length; at++) {
      // Negative, one less, is how the query marks errors.
      const isError = sizes[at] < 0;
      to.add(keys === null ? "" : keys[at], isError, isError ? -1 - sizes[at] : sizes[at], durations[at]);
    }
  }
}
