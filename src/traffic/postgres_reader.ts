/** Questions to the PostgreSQL database. */

import type { Sql } from "postgres";
import { COLUMNS } from "./columns.ts";
import { conditionsOf } from "./conditions.ts";
import { maskDatabaseUrl } from "./database_url.ts";
import type { TrafficFilter } from "./filter.ts";
import { pause } from "./poll.ts";
import { codeOf, connect, type ConnectOptions, safeReason } from "./postgres_schema.ts";
import { postgresStats } from "./postgres_stats.ts";
import type { StatsGroup, StatsKey, TrafficReader } from "./reader.ts";
import type { TrafficRow } from "./record.ts";
import { TrafficOpenError } from "./sink.ts";

const POLL_MS = 500;
const ROWS_AT_ONCE = 1_000;

/** Transactions become visible in another order than they began; a row that comes later than this is missed. */
const LATE_MS = 5_000;

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** Bytes come as numbers, not as the texts that the driver makes of 64-bit integers. */
const COLUMN_LIST = COLUMNS.map(([name, type]) => {
  if (type === "timestamp") return `to_char(logs.${name} AT TIME ZONE 'UTC', ${ISO}) AS ${name}`;
  return type === "bigint" ? `${name}::float8` : name;
}).join(", ");

export class PostgresReader implements TrafficReader {
  readonly #sql: Sql;
  readonly #url: string;
  readonly #connections: number;

  private constructor(sql: Sql, url: string, connections: number) {
    this.#sql = sql;
    this.#url = url;
    this.#connections = connections;
  }

  /**
   * Throws `TrafficOpenError` where there is no server, or no traffic log in its database.
   * @param helpers connections that statistics may take beside the first one
   */
  static async open(options: ConnectOptions, helpers = 0): Promise<PostgresReader> {
    const maxConnections = Math.min(1 + helpers, options.maxConnections);
    const sql = await connect({ ...options, maxConnections });
    const reader = new PostgresReader(sql, options.url, maxConnections);
    try {
      await reader.#sql`SELECT 1 FROM traffic_logs LIMIT 0`;
      return reader;
    } catch (error) {
      await reader.close();
      throw reader.#explain(error);
    }
  }

  async *query(filter: TrafficFilter, limit: number): AsyncGenerator<TrafficRow> {
    const { sql, values } = conditionsOf(filter, parameter);
    const rows = this.#sql.unsafe<TrafficRow[]>(
      `SELECT ${COLUMN_LIST} FROM traffic_logs AS logs WHERE ${sql}
       ORDER BY logs.timestamp DESC, id DESC ${limit === 0 ? "" : `LIMIT ${limit}`}`,
      values,
    ).cursor(ROWS_AT_ONCE);
    try {
      for await (const part of rows) {
        for (const row of part) yield { ...row };
      }
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async stats(filter: TrafficFilter, by: StatsKey | null): Promise<StatsGroup[]> {
    try {
      return await postgresStats(this.#sql, this.#connections, filter, by);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async tail(filter: TrafficFilter, signal: AbortSignal): Promise<AsyncIterable<TrafficRow>> {
    const [{ started }] = await this.#sql`SELECT (extract(epoch FROM now()) * 1000)::float8 AS started`;
    const startMs = Number(started);
    const recent = new Map<string, number>();
    for await (const row of this.#writtenSince(startMs - LATE_MS, "true", [])) {
      recent.set(row.id, row.created_ms);
    }
    return this.#follow(filter, signal, startMs, recent);
  }

  /** `recent`: when each recent row was written, by id. Those are asked for again until none can come late. */
  async *#follow(
    filter: TrafficFilter,
    signal: AbortSignal,
    startMs: number,
    recent: Map<string, number>,
  ): AsyncGenerator<TrafficRow> {
    const { sql, values } = conditionsOf(filter, parameter, 2);
    let newestMs = startMs;
    while (!signal.aborted) {
      for await (const { created_ms, ...row } of this.#writtenSince(newestMs - LATE_MS, sql, values)) {
        newestMs = Math.max(newestMs, created_ms);
        if (!recent.has(row.id)) yield row;
        recent.set(row.id, created_ms);
      }
      for (const [id, createdMs] of recent) {
        if (createdMs < newestMs - LATE_MS) recent.delete(id);
      }
      await pause(POLL_MS, signal);
    }
  }

  async close(): Promise<void> {
    await this.#sql.end({ timeout: 0 });
  }

  async *#writtenSince(sinceMs: number, sql: string, values: (string | number)[]) {
    const rows = this.#sql.unsafe<(TrafficRow & { created_ms: number })[]>(
      `SELECT (extract(epoch FROM created_at) * 1000)::float8 AS created_ms, ${COLUMN_LIST}
       FROM traffic_logs AS logs WHERE created_at >= $1::timestamptz AND ${sql} ORDER BY created_at, id`,
      [new Date(sinceMs).toISOString(), ...values],
    ).cursor(ROWS_AT_ONCE);
    try {
      for await (const part of rows) {
        for (const row of part) yield { ...row };
      }
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #explain(error: unknown): TrafficOpenError {
    const database = maskDatabaseUrl(this.#url);
    // Undefined table, PostgreSQL appendix A.
    return codeOf(error) === "42P01"
      ? new TrafficOpenError("unreachable", `there is no traffic log in the database ${database} yet`)
      : new TrafficOpenError(
        "unreachable",
        `cannot read the database ${database}: ${safeReason(error, this.#url)}`,
      );
  }
}

function parameter(index: number): string {
  return `$${index}`;
}
