/** What the writer asks of a place that keeps records, and the errors such a place answers with. */

import type { LogLevel } from "../config/model.ts";
import type { SinkBatch } from "./batch.ts";

export type SinkName = "file" | "sqlite" | "postgres";

/** Writes a line of the program's own log. */
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

export interface Sink {
  /** Value of the `sink` label. */
  readonly name: SinkName;
  /**
   * Makes the sink ready to write: folders, connections, schema. Called at start and again after each
   * failure, so it mends what it finds broken and leaves alone what is whole. Throws `TrafficOpenError`.
   */
  open(): void | Promise<void>;
  /**
   * Keeps the whole batch, or throws. A throw means that none of it is kept, except for the first
   * `SinkWriteError.written` records. A record kept before (same id) is not kept twice by databases.
   */
  write(batch: SinkBatch): void | Promise<void>;
  /** Removes what is older than `retentionDays` (0: nothing). Called at start and then every few minutes. */
  maintain(retentionDays: number): void | Promise<void>;
  /** Frees everything, also after a failure and while a write is pending; that write then throws. */
  close(): void | Promise<void>;
}

/** Where the writer counts; connected to the metric registry by the runtime. */
export interface WriterMetrics {
  /** One write of one batch took `durationMs`. */
  observeWrite(sink: SinkName, durationMs: number): void;
  /** `records` are kept by the sink. */
  countWrites(sink: SinkName, records: number): void;
  /** One attempt to open or write failed. */
  countWriteErrors(sink: SinkName): void;
  /** `records` are lost: the queue, the spool or the retry memory was full, or no sink can take them. */
  countDropped(records: number): void;
}

/**
 * A sink that cannot be opened.
 * `unreachable`: it may come back by itself (server down, folder not writable).
 * `unusable`: only an operator can mend it (corrupt or foreign file, newer schema); nothing was changed.
 */
export class TrafficOpenError extends Error {
  override readonly name = "TrafficOpenError";
  constructor(readonly kind: "unreachable" | "unusable", message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A write that failed after its first `written` records were kept. */
export class SinkWriteError extends Error {
  override readonly name = "SinkWriteError";
  constructor(message: string, readonly written: number, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The message of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
