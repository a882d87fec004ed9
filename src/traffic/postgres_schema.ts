/** The PostgreSQL database: how it is reached, laid out and brought up to date. */

import type { ISql, Options, Sql } from "postgres";
import { maskDatabaseUrl } from "./database_url.ts";
import { reasonOf, TrafficOpenError } from "./sink.ts";

/** Key of the advisory lock that instances take turns with: "Dispa" in ASCII. */
const LOCK_KEY = 0x4469737061;

/** SQLSTATE, PostgreSQL appendix A. */
const DUPLICATE_TABLE = "42P07";

/** Step N brings a database from version N to N + 1; see `sqlite_schema.ts` for the columns' reasons. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE traffic_logs (
     id TEXT PRIMARY KEY,
     timestamp TIMESTAMPTZ NOT NULL,
     client_ip TEXT NOT NULL,
     host TEXT NOT NULL,
     method TEXT NOT NULL,
     path TEXT NOT NULL,
     target TEXT,
     status_code INTEGER NOT NULL,
     duration_ms DOUBLE PRECISION NOT NULL,
     request_size BIGINT NOT NULL,
     response_size BIGINT NOT NULL,
     user_agent TEXT,
     error_message TEXT,
     created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
     request_id TEXT NOT NULL,
     route TEXT,
     upstream_ms DOUBLE PRECISION,
     retries INTEGER NOT NULL,
     protocol TEXT NOT NULL,
     worker INTEGER NOT NULL
   );
   CREATE INDEX traffic_logs_timestamp ON traffic_logs (timestamp);
   CREATE INDEX traffic_logs_created_at ON traffic_logs USING brin (created_at);
   CREATE TABLE traffic_summary (
     date DATE PRIMARY KEY,
     total_requests BIGINT NOT NULL,
     total_errors BIGINT NOT NULL,
     avg_duration_ms DOUBLE PRECISION NOT NULL,
     total_bytes BIGINT NOT NULL,
     unique_ips BIGINT NOT NULL,
     updated_at TIMESTAMPTZ NOT NULL,
     total_duration_us BIGINT NOT NULL
   );
   CREATE TABLE traffic_client_ips (
     date DATE NOT NULL,
     client_ip TEXT NOT NULL,
     PRIMARY KEY (date, client_ip)
   );`,
];

export interface ConnectOptions {
  url: string;
  maxConnections: number;
  connectionTimeoutMs: number;
}

/**
 * A pool that connects when it is first used. The driver is loaded here and not before, so that a proxy
 * without PostgreSQL does without its memory. Throws `TrafficOpenError` for a URL it cannot read.
 */
export async function connect(options: ConnectOptions): Promise<Sql> {
  const { default: postgres } = await import("postgres");
  const settings: Options<Record<string, never>> = {
    max: options.maxConnections,
    connect_timeout: options.connectionTimeoutMs / 1000,
    // The lane waits between its attempts; a second wait inside the driver would only hide them.
    backoff: () => 0,
    onnotice: () => {},
    connection: { application_name: "dispa" },
  };
  try {
    return postgres(options.url, settings);
  } catch {
    // The driver's message would quote the URL with its password.
    throw new TrafficOpenError("unusable", `cannot read the database URL ${maskDatabaseUrl(options.url)}`);
  }
}

/** What went wrong, without the password that a driver's message may quote. */
export function safeReason(error: unknown, url: string): string {
  // Several addresses of one name fail together, and the message of the whole is empty then.
  const reasons = error instanceof AggregateError ? error.errors.map(reasonOf) : [reasonOf(error)];
  const code = codeOf(error);
  let reason = reasons.join(", ") || code || "unknown reason";
  const password = /^[^:]+:\/\/[^:/?#]*:([^/?#]*)@/.exec(url)?.[1] ?? "";
  if (password !== "") reason = reason.replaceAll(password, "***");
  return reason;
}

/** Brings the tables up to date. Instances that start together take turns. Throws `TrafficOpenError`. */
export async function migrate(sql: Sql, url: string): Promise<void> {
  try {
    if (await readVersion(sql) === MIGRATIONS.length) return;
    await sql.begin(async (transaction) => {
      await transaction`SELECT pg_advisory_xact_lock(${LOCK_KEY})`;
      await checkEncoding(transaction, url);
      await transaction`CREATE TABLE IF NOT EXISTS dispa_migrations (
        version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())`;
      const version = await readVersion(transaction);
      checkVersion(version, url);
      for (let step = version; step < MIGRATIONS.length; step++) {
        await transaction.unsafe(MIGRATIONS[step]);
        await transaction`INSERT INTO dispa_migrations (version) VALUES (${step + 1})`;
      }
    });
  } catch (error) {
    if (error instanceof TrafficOpenError) throw error;
    const foreign = codeOf(error) === DUPLICATE_TABLE;
    throw new TrafficOpenError(
      foreign ? "unusable" : "unreachable",
      foreign
        ? `cannot use the database ${
          maskDatabaseUrl(url)
        }: it has tables of Dispa's names that Dispa did not ` +
          `make (${safeReason(error, url)}); nothing was changed, name another database or schema`
        : `cannot open the database ${maskDatabaseUrl(url)}: ${safeReason(error, url)}`,
    );
  }
}

/** 0 for a database that Dispa has not seen yet. */
async function readVersion(sql: ISql): Promise<number> {
  const [table] = await sql`SELECT to_regclass('dispa_migrations') IS NOT NULL AS is_there`;
  if (table.is_there !== true) return 0;
  const [row] = await sql`SELECT coalesce(max(version), 0) AS version FROM dispa_migrations`;
  return Number(row.version);
}

function checkVersion(version: number, url: string): void {
  if (version <= MIGRATIONS.length) return;
  throw new TrafficOpenError(
    "unusable",
    `cannot use the database ${
      maskDatabaseUrl(url)
    }: it was written by a newer Dispa (schema ${version}, this ` +
      `one knows up to ${MIGRATIONS.length})`,
  );
}

/** A record that the database's encoding has no characters for would hold back all that come after it. */
async function checkEncoding(sql: ISql, url: string): Promise<void> {
  const [row] = await sql`SHOW server_encoding`;
  const encoding = String(row.server_encoding);
  if (encoding === "UTF8" || encoding === "SQL_ASCII") return;
  throw new TrafficOpenError(
    "unusable",
    `cannot use the database ${maskDatabaseUrl(url)}: its encoding is ${encoding}, wanted is UTF8`,
  );
}

/** The SQLSTATE or system error code of whatever was thrown; "" if it has none. */
export function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}
