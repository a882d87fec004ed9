/** The traffic log in a PostgreSQL database. */

import type { Sql } from "postgres";
import type { SinkBatch } from "./batch.ts";
import { type Clock, DAY_MS, utcDay } from "./clock.ts";
import { cleanRow, COLUMN_NAMES, COLUMNS, type ColumnType } from "./columns.ts";
import { jsonArray } from "./record.ts";
import { codeOf, connect, type ConnectOptions, migrate, safeReason } from "./postgres_schema.ts";
import { reasonOf, type Sink, SinkWriteError, TrafficOpenError } from "./sink.ts";

/** A server that answers nothing for this long is taken for gone. */
const WRITE_TIMEOUT_MS = 10_000;

const ROWS_PER_DELETE = 5_000;

/** SQLSTATE of two instances that wait for each other; one is told to try again. */
const TRY_AGAIN = ["40001", "40P01"];
const ATTEMPTS = 3;

/** SQLSTATE classes of a value that has no place in its column: U+0000 in a text, a line that is damaged. */
const REFUSED_VALUE = /^2[23]/;

const SQL_TYPES: Record<ColumnType, string> = {
  text: "text",
  timestamp: "timestamptz",
  integer: "integer",
  bigint: "bigint",
  real: "double precision",
};

/**
 * One statement, so one round trip and all or nothing. What `inserted` returns is what the table did not have
 * yet: a replayed record is in the summary already. Addresses are sorted so that instances lock them in one
 * order.
 */
const INSERT = `
  WITH inserted AS (
    INSERT INTO traffic_logs (${COLUMN_NAMES.join(", ")})
    SELECT ${COLUMN_NAMES.join(", ")} FROM json_to_recordset($1::text::json)
      AS batch (${COLUMNS.map(([name, type]) => `${name} ${SQL_TYPES[type]}`).join(", ")})
    ON CONFLICT (id) DO NOTHING
    RETURNING (timestamp AT TIME ZONE 'UTC')::date AS date, client_ip, duration_ms,
      request_size + response_size AS bytes, status_code >= 500 OR error_message IS NOT NULL AS is_error
  ), new_ips AS (
    INSERT INTO traffic_client_ips (date, client_ip)
    SELECT DISTINCT date, client_ip FROM inserted ORDER BY date, client_ip
    ON CONFLICT DO NOTHING
    RETURNING date
  ), days AS (
    SELECT date, count(*) AS requests, count(*) FILTER (WHERE is_error) AS errors,
      sum(round(duration_ms * 1000))::bigint AS duration_us, sum(bytes)::bigint AS bytes,
      (SELECT count(*) FROM new_ips WHERE new_ips.date = inserted.date) AS ips
    FROM inserted GROUP BY date ORDER BY date
  )
  INSERT INTO traffic_summary AS summary (date, total_requests, total_errors, total_duration_us, total_bytes,
    unique_ips, avg_duration_ms, updated_at)
  SELECT date, requests, errors, duration_us, bytes, ips, duration_us / 1000.0 / requests, now() FROM days
  ON CONFLICT (date) DO UPDATE SET
    total_requests = summary.total_requests + excluded.total_requests,
    total_errors = summary.total_errors + excluded.total_errors,
    total_duration_us = summary.total_duration_us + excluded.total_duration_us,
    total_bytes = summary.total_bytes + excluded.total_bytes,
    unique_ips = summary.unique_ips + excluded.unique_ips,
    avg_duration_ms = (summary.total_duration_us + excluded.total_duration_us) / 1000.0 /
      (summary.total_requests + excluded.total_requests),
    updated_at = excluded.updated_at`;

export class PostgresSink implements Sink {
  readonly name = "postgres";
  readonly #options: ConnectOptions;
  readonly #clock: Clock;
  #sql: Sql | null = null;

  constructor(options: ConnectOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  async open(): Promise<void> {
    this.#sql ??= await connect(this.#options);
    try {
      await withTimeout(
        migrate(this.#sql, this.#options.url),
        this.#options.connectionTimeoutMs + WRITE_TIMEOUT_MS,
      );
    } catch (error) {
      await this.close();
      if (error instanceof TrafficOpenError) throw error;
      throw new TrafficOpenError("unreachable", `cannot open the database: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /**
   * The lines go to the server as they are and are taken apart there: that halves this side's CPU time a record
   * against arrays of values (6 µs, was 13).
   */
  async write(batch: SinkBatch): Promise<void> {
    let json = jsonArray(batch.lines);
    let isCleaned = false;
    for (let attempt = 1;; attempt++) {
      try {
        const sql = this.#sql ??= await connect(this.#options);
        await withTimeout(sql.unsafe(INSERT, [json], { prepare: true }), WRITE_TIMEOUT_MS);
        return;
      } catch (error) {
        const code = codeOf(error);
        if (!isCleaned && REFUSED_VALUE.test(code)) {
          json = JSON.stringify(batch.rows.map(cleanRow));
          isCleaned = true;
          continue;
        }
        if (TRY_AGAIN.includes(code) && attempt < ATTEMPTS) continue;
        // A fresh pool for the next attempt: what hangs in this one must not commit much later.
        await this.close();
        throw new SinkWriteError(
          `cannot write to the database: ${safeReason(error, this.#options.url)}`,
          0,
          { cause: error },
        );
      }
    }
  }

  async maintain(retentionDays: number): Promise<void> {
    if (retentionDays === 0 || this.#sql === null) return;
    await removeExpiredRows(this.#sql, this.#clock.now() - retentionDays * DAY_MS);
  }

  async close(): Promise<void> {
    const sql = this.#sql;
    this.#sql = null;
    await sql?.end({ timeout: 0 });
  }
}

/**
 * Removes the rows from before `beforeMs`, a few thousand at a time; the summaries stay. Instances that do it
 * together share the work. Returns the number of rows removed.
 */
export async function removeExpiredRows(sql: Sql, beforeMs: number): Promise<number> {
  const before = new Date(beforeMs).toISOString();
  let removed = 0;
  for (;;) {
    const { count } = await sql`
      DELETE FROM traffic_logs WHERE id IN (
        SELECT id FROM traffic_logs WHERE timestamp < ${before} LIMIT ${ROWS_PER_DELETE} FOR UPDATE SKIP LOCKED)`;
    removed += count;
    if (count < ROWS_PER_DELETE) break;
  }
  await sql`DELETE FROM traffic_client_ips WHERE date < ${utcDay(beforeMs)}::date`;
  return removed;
}

/** Rejects when the work takes longer. */
async function withTimeout<T>(work: PromiseLike<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
