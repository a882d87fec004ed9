/** Questions to the traffic log, wherever the configuration keeps it. */

import type { LoggingConfig } from "../config/model.ts";
import { parseDatabaseUrl } from "./database_url.ts";
import { FileReader } from "./file_reader.ts";
import type { TrafficFilter } from "./filter.ts";
import { PostgresReader } from "./postgres_reader.ts";
import type { TrafficRow } from "./record.ts";
import { TrafficOpenError } from "./sink.ts";
import { SqliteReader } from "./sqlite_reader.ts";

/** What statistics may be divided by. */
export const STATS_KEYS = ["host", "target", "status", "minute"] as const;
export type StatsKey = typeof STATS_KEYS[number];

export interface StatsGroup {
  /** The group's host, target, status or minute (`2026-11-23T20:25`); "" for all, and for no target. */
  key: string;
  requests: number;
  /** Requests with a 5xx status or a fault noted. */
  errors: number;
  /** Body bytes in both directions. */
  bytes: number;
  /** Nearest-rank percentiles, at most 0.4 % off. */
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
}

export interface TrafficReader {
  /** The newest `limit` records that match, newest first; all of them for 0. */
  query(filter: TrafficFilter, limit: number): AsyncIterable<TrafficRow>;
  /** Figures of all that match, in no particular order; one group of key "" if `by` is null. */
  stats(filter: TrafficFilter, by: StatsKey | null): Promise<StatsGroup[]>;
  /**
   * Records that match, as they are written, until `signal` aborts: all from when the promise resolves, and none
   * from before the call.
   */
  tail(filter: TrafficFilter, signal: AbortSignal): Promise<AsyncIterable<TrafficRow>>;
  close(): Promise<void>;
}

/** Where to read: databases answer faster, so they are asked where there is a choice. */
export type TrafficSource = "file" | "database";

/**
 * Opens what the configuration names, or its `source`. Throws `TrafficOpenError` where that is not there or
 * cannot be read; never makes or changes anything.
 */
export async function openReader(
  logging: LoggingConfig,
  source: TrafficSource | null,
): Promise<TrafficReader> {
  if ((source ?? (logging.type === "file" ? "file" : "database")) === "file") {
    return new FileReader(logging.file.directory);
  }
  const location = parseDatabaseUrl(logging.database.url);
  switch (location.kind) {
    case "sqlite":
      return new SqliteReader(location.path);
    case "postgres":
      return await PostgresReader.open(logging.database);
    case "sqlite-memory":
      throw new TrafficOpenError(
        "unusable",
        "cannot read a database in memory (sqlite::memory:): only the running Dispa sees it",
      );
  }
}
