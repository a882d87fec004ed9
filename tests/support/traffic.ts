/** Records, a clock and counters for the tests of the traffic log. */

import type { LoggingConfig, LogLevel } from "../../src/config/model.ts";
import { type Clock, systemClock } from "../../src/traffic/clock.ts";
import type { LaneTimings } from "../../src/traffic/lane.ts";
import { encodeRecord, type TrafficRecord } from "../../src/traffic/record.ts";
import type { RecordBatch } from "../../src/traffic/record.ts";
import type { SinkName, WriterMetrics } from "../../src/traffic/sink.ts";

export const NOON = Date.parse("2026-03-10T12:00:00.000Z");

/** The record number `index`; its id is a valid version 7 UUID made from time and index. */
export function makeRecord(index: number, change: Partial<TrafficRecord> = {}): TrafficRecord {
  const timestampMs = change.timestampMs ?? NOON + index;
  const time = timestampMs.toString(16).padStart(12, "0");
  const id = `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${index.toString(16).padStart(12, "0")}`;
  return {
    id,
    timestampMs,
    requestId: `request-${index}`,
    clientIp: `10.0.${(index >> 8) % 4}.${index % 256}`,
    host: ["a.example.com", "b.example.com", "c.example.com"][index % 3],
    method: "GET",
    path: `/items/${index}`,
    target: index % 2 === 0 ? "east" : "west",
    statusCode: 200,
    durationMs: 1.5,
    requestSize: 10,
    responseSize: 100,
    userAgent: "test/1.0",
    errorMessage: null,
    route: null,
    upstreamMs: 1.25,
    retries: 0,
    protocol: "http/1.1",
    worker: 0,
    ...change,
  };
}

/** A batch as it is posted, and its lines as text. */
export function makeBatch(records: TrafficRecord[]): RecordBatch & { lines: string } {
  const lines = records.map((record) => encodeRecord(record)).join("");
  return { type: "records", bytes: new TextEncoder().encode(lines), lines, count: records.length };
}

/** Records from `first` on. */
export function makeRecords(
  first: number,
  count: number,
  change: Partial<TrafficRecord> = {},
): TrafficRecord[] {
  return Array.from({ length: count }, (_, index) => makeRecord(first + index, change));
}

/** Real timers, and a time of day that tests set. */
export class TestClock implements Clock {
  readonly after = systemClock.after;
  constructor(public timeMs: number = NOON) {}
  now(): number {
    return this.timeMs;
  }
}

/** A lane that tries again at once. */
export const QUICK_TIMINGS: LaneTimings = { firstRetryMs: 2, longestRetryMs: 10, slowWriteMs: 1_000 };

export class CountingMetrics implements WriterMetrics {
  writes: Partial<Record<SinkName, number>> = {};
  errors: Partial<Record<SinkName, number>> = {};
  observed = 0;
  dropped = 0;
  observeWrite(): void {
    this.observed++;
  }
  countWrites(sink: SinkName, records: number): void {
    this.writes[sink] = (this.writes[sink] ?? 0) + records;
  }
  countWriteErrors(sink: SinkName): void {
    this.errors[sink] = (this.errors[sink] ?? 0) + 1;
  }
  countDropped(records: number): void {
    this.dropped += records;
  }
}

export interface LogEntry {
  level: LogLevel;
  message: string;
  fields: Record<string, unknown>;
}

/** A log that can be read, and waited on. */
export class MemoryLog {
  readonly entries: LogEntry[] = [];
  #waiting: { message: string; times: number; resolve: () => void }[] = [];

  readonly log = (level: LogLevel, message: string, fields: Record<string, unknown> = {}): void => {
    this.entries.push({ level, message, fields });
    for (const waiter of this.#waiting) {
      if (this.count(waiter.message) >= waiter.times) waiter.resolve();
    }
  };

  /** Resolves once the message has been logged so many times, which it may have been already. */
  said(message: string, times = 1): Promise<void> {
    if (this.count(message) >= times) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ message, times, resolve }));
  }

  count(message: string): number {
    return this.entries.filter((entry) => entry.message === message).length;
  }
}

export interface LoggingChange {
  file?: Partial<LoggingConfig["file"]>;
  database?: Partial<LoggingConfig["database"]>;
}

/** A configuration whose files are all below `directory`. */
export function makeLogging(
  directory: string,
  change: Partial<Omit<LoggingConfig, "file" | "database">> & LoggingChange = {},
): LoggingConfig {
  return {
    enabled: true,
    type: "file",
    level: "info",
    retentionDays: 0,
    flushIntervalMs: 100,
    overflow: "drop",
    queueMaxBytes: 8 * 1024 * 1024,
    recordQuery: false,
    ...change,
    file: { directory: `${directory}/logs`, rotation: true, maxFileSizeBytes: 1e9, ...change.file },
    database: {
      url: `sqlite://${directory}/traffic.db`,
      maxConnections: 2,
      connectionTimeoutMs: 2_000,
      required: true,
      spoolMaxBytes: 64 * 1024 * 1024,
      spoolDirectory: `${directory}/spool`,
      ...change.database,
    },
  };
}

/** Runs with a temporary folder that is removed afterwards. */
export async function withFolder(run: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-traffic-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
