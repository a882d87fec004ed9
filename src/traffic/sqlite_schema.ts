/** The SQLite database: how it is recognised, laid out and brought up to date. */

import { DatabaseSync } from "node:sqlite";
import { dirname } from "node:path";
import { reasonOf, TrafficOpenError } from "./sink.ts";

/** `PRAGMA application_id` of Dispa's databases: "Disp" in ASCII. */
const APPLICATION_ID = 0x44697370;

const HEADER = "SQLite format 3\0";

/** How long a statement waits for another process's lock before the batch goes to the spool. */
const BUSY_TIMEOUT_MS = 1_000;

/**
 * Step N brings a database from `user_version` N to N + 1. Steps are only ever added. A day's `unique_ips` is
 * kept exact by `traffic_client_ips`; its average by the sum of durations, in whole microseconds.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE traffic_logs (
     id TEXT PRIMARY KEY NOT NULL,
     timestamp TEXT NOT NULL,
     client_ip TEXT NOT NULL,
     host TEXT NOT NULL,
     method TEXT NOT NULL,
     path TEXT NOT NULL,
     target TEXT,
     status_code INTEGER NOT NULL,
     duration_ms REAL NOT NULL,
     request_size INTEGER NOT NULL,
     response_size INTEGER NOT NULL,
     user_agent TEXT,
     error_message TEXT,
     created_at TEXT NOT NULL,
     request_id TEXT NOT NULL,
     route TEXT,
     upstream_ms REAL,
     retries INTEGER NOT NULL,
     protocol TEXT NOT NULL,
     worker INTEGER NOT NULL
   );
   CREATE INDEX traffic_logs_timestamp ON traffic_logs (timestamp);
   CREATE TABLE traffic_summary (
     date TEXT PRIMARY KEY NOT NULL,
     total_requests INTEGER NOT NULL,
     total_errors INTEGER NOT NULL,
     avg_duration_ms REAL NOT NULL,
     total_bytes INTEGER NOT NULL,
     unique_ips INTEGER NOT NULL,
     updated_at TEXT NOT NULL,
     total_duration_us INTEGER NOT NULL
   );
   CREATE TABLE traffic_client_ips (
     date TEXT NOT NULL,
     client_ip TEXT NOT NULL,
     PRIMARY KEY (date, client_ip)
   ) WITHOUT ROWID;`,
];

/** Opens the database for writing, made or brought up to date as needed. Throws `TrafficOpenError`. */
export function openForWriting(path: string): DatabaseSync {
  if (path !== ":memory:") {
    makeFolder(path);
    // Looked at by a connection that cannot write, so that another program's file stays as it is.
    if (hasContent(path)) openForReading(path).close();
  }
  return guarded(path, () => {
    const database = new DatabaseSync(path);
    try {
      database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
      database.exec("PRAGMA journal_mode = WAL");
      // In WAL mode NORMAL survives a crash of the program; a power cut may cost the last transactions.
      database.exec("PRAGMA synchronous = NORMAL");
      // A checkpoint every 16 MiB instead of every 4: fewer waits for the disk.
      database.exec("PRAGMA wal_autocheckpoint = 4096");
      database.exec("PRAGMA journal_size_limit = 67108864");
      migrate(database);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

/** Opens an existing database for reading, also while Dispa writes it. Throws `TrafficOpenError`. */
export function openForReading(path: string): DatabaseSync {
  if (!hasContent(path)) {
    throw new TrafficOpenError("unreachable", `there is no database at ${path}`);
  }
  if (readHeader(path) !== HEADER) {
    throw unusable(path, "it is not a SQLite database");
  }
  return guarded(path, () => {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
      examine(database, path);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

/** Refuses files that are not ours; reads from every table and index, which finds most damage at once. */
function examine(database: DatabaseSync, path: string): void {
  const tables = Number(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.n);
  if (tables === 0) return;
  if (readPragma(database, "application_id") !== APPLICATION_ID) {
    throw unusable(path, "it belongs to another program");
  }
  const version = readPragma(database, "user_version");
  if (version > MIGRATIONS.length) {
    throw unusable(
      path,
      `it was written by a newer Dispa (schema ${version}, this one knows up to ${MIGRATIONS.length})`,
    );
  }
  if (version === 0) return;
  database.prepare("SELECT id FROM traffic_logs ORDER BY rowid DESC LIMIT 1").get();
  database.prepare("SELECT host FROM traffic_logs ORDER BY timestamp DESC LIMIT 1").get();
  database.prepare("SELECT id FROM traffic_logs ORDER BY id LIMIT 1").get();
  database.prepare("SELECT * FROM traffic_summary ORDER BY date DESC LIMIT 1").get();
}

function migrate(database: DatabaseSync): void {
  if (readPragma(database, "user_version") === MIGRATIONS.length) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    // Read again under the lock: another instance may have been first.
    const version = readPragma(database, "user_version");
    if (version < MIGRATIONS.length) {
      for (const step of MIGRATIONS.slice(version)) database.exec(step);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    }
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

function readPragma(database: DatabaseSync, name: "application_id" | "user_version"): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

function makeFolder(path: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw new TrafficOpenError(
      "unreachable",
      `cannot make the folder of the database ${path}: ${reasonOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

function hasContent(path: string): boolean {
  try {
    return Deno.statSync(path).size > 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new TrafficOpenError("unreachable", `cannot look at the database ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function readHeader(path: string): string {
  try {
    using file = Deno.openSync(path);
    const bytes = new Uint8Array(HEADER.length);
    const read = file.readSync(bytes) ?? 0;
    return new TextDecoder().decode(bytes.subarray(0, read));
  } catch (error) {
    throw new TrafficOpenError("unreachable", `cannot read the database ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function guarded<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof TrafficOpenError) throw error;
    const reason = reasonOf(error);
    // SQLITE_CORRUPT and SQLITE_NOTADB; Deno's errors carry their text only.
    if (/malformed|not a database/i.test(reason)) throw unusable(path, `it is damaged (${reason})`);
    throw new TrafficOpenError("unreachable", `cannot open the database ${path}: ${reason}`, {
      cause: error,
    });
  }
}

function unusable(path: string, why: string): TrafficOpenError {
  return new TrafficOpenError(
    "unusable",
    `cannot use the database ${path}: ${why}; it was left as it is, name another file or move this one away`,
  );
}
