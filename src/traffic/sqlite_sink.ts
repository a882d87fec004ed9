/** The traffic log in an embedded SQLite database. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SinkBatch } from "./batch.ts";
import { type Clock, DAY_MS, utcDay } from "./clock.ts";
import { cleanRows, COLUMN_NAMES } from "./columns.ts";
import { isError, type TrafficRow } from "./record.ts";
import { reasonOf, type Sink, SinkWriteError, TrafficOpenError } from "./sink.ts";
import { openForWriting } from "./sqlite_schema.ts";

/** Rows removed in one transaction; between two of them the batches that came meanwhile are written. */
const ROWS_PER_DELETE = 5_000;

const MOST_KNOWN_IPS = 20_000;

interface OpenDatabase {
  database: DatabaseSync;
  insert: StatementSync;
  addIp: StatementSync;
  addToDay: StatementSync;
  /** Inode of the file, null for a database in memory. */
  ino: number | null;
}

/** What a batch adds to one day's summary. */
interface DayTotals {
  requests: number;
  errors: number;
  durationUs: number;
  bytes: number;
  ips: Set<string>;
}

export class SqliteSink implements Sink {
  readonly name = "sqlite";
  readonly #path: string;
  readonly #clock: Clock;
  #open: OpenDatabase | null = null;
  /** Days with addresses that are in `traffic_client_ips` for certain, so that it is not asked for each record. */
  #knownIps = new Set<string>();

  /** `path` is a file or `:memory:`. */
  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  open(): void {
    // What is in memory would be gone with its connection.
    if (this.#open !== null && this.#path === ":memory:") return;
    this.close();
    this.#knownIps.clear();
    const database = openForWriting(this.#path);
    this.#open = {
      database,
      insert: database.prepare(
        `INSERT INTO traffic_logs (${COLUMN_NAMES.join(", ")}, created_at)
         VALUES (${COLUMN_NAMES.map(() => "?").join(", ")}, ?) ON CONFLICT (id) DO NOTHING`,
      ),
      addIp: database.prepare(
        "INSERT INTO traffic_client_ips (date, client_ip) VALUES (?, ?) ON CONFLICT DO NOTHING",
      ),
      addToDay: database.prepare(
        `INSERT INTO traffic_summary (date, total_requests, total_errors, total_duration_us, total_bytes,
           unique_ips, avg_duration_ms, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4 / 1000.0 / ?2, ?7)
         ON CONFLICT (date) DO UPDATE SET
           total_requests = total_requests + excluded.total_requests,
           total_errors = total_errors + excluded.total_errors,
           total_duration_us = total_duration_us + excluded.total_duration_us,
           total_bytes = total_bytes + excluded.total_bytes,
           unique_ips = unique_ips + excluded.unique_ips,
           avg_duration_ms = (total_duration_us + excluded.total_duration_us) / 1000.0 /
             (total_requests + excluded.total_requests),
           updated_at = excluded.updated_at`,
      ),
      ino: this.#inode(),
    };
  }

  write(batch: SinkBatch): void {
    try {
      // A file that was moved or deleted would take the rows with it.
      if (this.#open === null || this.#inode() !== this.#open.ino) this.open();
      const open = this.#open;
      if (open === null) throw new TrafficOpenError("unreachable", `${this.#path} is closed`);
      const rows = cleanRows(batch);
      const newlyKnown = transaction(open.database, () => this.#insert(open, rows));
      // Not before the commit: what is rolled back is not in the table.
      if (this.#knownIps.size > MOST_KNOWN_IPS) this.#knownIps.clear();
      for (const known of newlyKnown) this.#knownIps.add(known);
    } catch (error) {
      throw new SinkWriteError(`cannot write to ${this.#path}: ${reasonOf(error)}`, 0, { cause: error });
    }
  }

  async maintain(retentionDays: number): Promise<void> {
    if (retentionDays === 0) return;
    await removeExpiredRows(
      () => this.#open?.database ?? null,
      this.#clock.now() - retentionDays * DAY_MS,
    );
  }

  close(): void {
    this.#open?.database.close();
    this.#open = null;
  }

  #insert(open: OpenDatabase, rows: TrafficRow[]): string[] {
    const days = new Map<string, DayTotals>();
    const now = new Date(this.#clock.now()).toISOString();
    for (const row of rows) {
      const { changes } = open.insert.run(...COLUMN_NAMES.map((name) => row[name]), now);
      // Only what is new counts: a replayed record is in the summary already.
      if (Number(changes) > 0) addTo(days, row);
    }
    const newlyKnown: string[] = [];
    for (const [date, day] of days) {
      let newIps = 0;
      for (const ip of day.ips) {
        const known = `${date} ${ip}`;
        if (this.#knownIps.has(known)) continue;
        newlyKnown.push(known);
        newIps += Number(open.addIp.run(date, ip).changes);
      }
      open.addToDay.run(date, day.requests, day.errors, day.durationUs, day.bytes, newIps, now);
    }
    return newlyKnown;
  }

  #inode(): number | null {
    if (this.#path === ":memory:") return null;
    try {
      return Deno.statSync(this.#path).ino;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }
}

function addTo(days: Map<string, DayTotals>, row: TrafficRow): void {
  const date = row.timestamp.slice(0, 10);
  let day = days.get(date);
  if (day === undefined) {
    days.set(date, day = { requests: 0, errors: 0, durationUs: 0, bytes: 0, ips: new Set() });
  }
  day.requests++;
  if (isError(row)) day.errors++;
  day.durationUs += Math.round(row.duration_ms * 1000);
  day.bytes += row.request_size + row.response_size;
  day.ips.add(row.client_ip);
}

/**
 * Removes the rows from before `beforeMs`, a few thousand at a time so that writers get their turn; the
 * summaries stay. `current` is asked for the database each time, null ends the work. Returns the number
 * of rows removed.
 */
export async function removeExpiredRows(
  current: () => DatabaseSync | null,
  beforeMs: number,
): Promise<number> {
  const before = new Date(beforeMs).toISOString();
  let removed = 0;
  for (let database = current(); database !== null; database = current()) {
    const { changes } = database.prepare(
      `DELETE FROM traffic_logs WHERE rowid IN
         (SELECT rowid FROM traffic_logs WHERE timestamp < ? LIMIT ${ROWS_PER_DELETE})`,
    ).run(before);
    removed += Number(changes);
    if (Number(changes) < ROWS_PER_DELETE) {
      database.prepare("DELETE FROM traffic_client_ips WHERE date < ?").run(utcDay(beforeMs));
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return removed;
}

function transaction<T>(database: DatabaseSync, run: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = run();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // A full disk ends the transaction by itself, and a second ROLLBACK would hide the reason.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
