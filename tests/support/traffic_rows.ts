/** What the databases of the traffic log hold, read by means of their own and in the form of the files' lines. */
import { DatabaseSync } from "node:sqlite";
import postgres from "postgres";
import type { TrafficLine } from "./dispa.ts";

/** A record with the time at which it was written, in microseconds since 1970. */
export interface StoredLine {
  record: TrafficLine;
  createdUs: number;
}

const COLUMNS: (keyof TrafficLine)[] = [
  ...["id", "timestamp", "request_id", "client_ip", "host", "method", "path", "target"] as const,
  ...["status_code", "duration_ms", "request_size", "response_size", "user_agent"] as const,
  ...["error_message", "route", "upstream_ms", "retries", "protocol", "worker"] as const,
];

/** All rows in the order in which they were inserted. */
export function sqliteRows(path: string): StoredLine[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = database.prepare(
      `SELECT ${COLUMNS.join(", ")}, created_at FROM traffic_logs ORDER BY traffic_logs.rowid`,
    ).all() as unknown as (TrafficLine & { created_at: string })[];
    return rows.map(({ created_at, ...record }) => ({ record, createdUs: Date.parse(created_at) * 1000 }));
  } finally {
    database.close();
  }
}

/** All rows in the order of `created_at`, which all rows of a batch have in common. */
export async function postgresRows(url: string): Promise<StoredLine[]> {
  return await withPostgres(url, async (sql) => {
    const columns = COLUMNS.map((name) => {
      if (name === "timestamp") return `to_char(timestamp AT TIME ZONE 'UTC', ${ISO_8601}) AS timestamp`;
      return name.endsWith("_size") ? `${name}::double precision` : name;
    });
    const rows = await sql.unsafe<(TrafficLine & { created_us: number })[]>(
      `SELECT ${columns.join(", ")}, extract(epoch FROM created_at)::double precision * 1e6 AS created_us
       FROM traffic_logs ORDER BY created_at, id`,
    );
    return rows.map(({ created_us, ...record }) => ({ record, createdUs: created_us }));
  });
}

const ISO_8601 = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

export async function postgresCount(url: string): Promise<number> {
  return await withPostgres(url, async (sql) => {
    const [{ count }] = await sql`SELECT count(*)::int AS count FROM traffic_logs`;
    return count;
  });
}

/** Copies a row into the year 2020, for what removes old ones. */
export function addOldSqliteRow(path: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = 10000; ${ADD_OLD_ROW}`);
  } finally {
    database.close();
  }
}

export async function addOldPostgresRow(url: string): Promise<void> {
  await withPostgres(url, (sql) => sql.unsafe(ADD_OLD_ROW));
}

const ADD_OLD_ROW = `INSERT INTO traffic_logs (${COLUMNS.join(", ")}, created_at)
  SELECT 'old', '2020-01-01T00:00:00.000Z', ${
  COLUMNS.slice(2).join(", ")
}, created_at FROM traffic_logs LIMIT 1`;

async function withPostgres<T>(url: string, run: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => {} });
  try {
    return await run(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
