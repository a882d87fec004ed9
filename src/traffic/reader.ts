/** What can be asked of the traffic log, whichever kind of place keeps it. */

import type { TrafficFilter } from "./filter.ts";
import type { TrafficRow } from "./record.ts";

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

/** What statistics may use beside the thread that asks. */
export interface Helpers {
  /** Threads, or connections to the database, beside the first one. */
  count: number;
  /** Module of such a thread: it answers a `HelperOrder` by `help`. */
  module: URL;
}

/** Where to read: databases answer faster, so they are asked where there is a choice. */
export type TrafficSource = "file" | "database";
