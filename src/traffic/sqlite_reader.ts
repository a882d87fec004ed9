/** Questions to the SQLite database, also while Dispa writes it. */

import type { DatabaseSync } from "node:sqlite";
import { COLUMN_NAMES } from "./columns.ts";
import { conditionsOf } from "./conditions.ts";
import { NO_FILTER, type TrafficFilter } from "./filter.ts";
import { pause } from "./poll.ts";
import type { Helpers, StatsGroup, StatsKey, TrafficReader } from "./reader.ts";
import type { TrafficRow } from "./record.ts";
import { shareStats } from "./shared_stats.ts";
import { openForReading } from "./sqlite_schema.ts";
import { addRowParts, PART_ROWS, rowParts, type SqliteStatsJob } from "./sqlite_stats.ts";

const POLL_MS = 250;
const COLUMN_LIST = COLUMN_NAMES.join(", ");

/** So many of the newest rows are looked at first: most questions end there. */
const NEWEST_ROWS = 50_000;

/** Said, because without statistics of the table SQLite guesses wrong: a LIMIT of 1 made it scan and sort all. */
const BY_TIME = "INDEXED BY traffic_logs_timestamp";
const BY_SCAN = "NOT INDEXED";

/** Where less than this share of the newest rows matches, the others are cheaper to scan than to walk through. */
const RARE = 0.01;

export class SqliteReader implements TrafficReader {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #helpers: Helpers | null;
  readonly #partRows: number;

  /** Throws `TrafficOpenError`. */
  constructor(path: string, helpers: Helpers | null = null, partRows = PART_ROWS) {
    this.#database = openForReading(path);
    this.#path = path;
    this.#helpers = helpers;
    this.#partRows = partRows;
  }

  async *query(filter: TrafficFilter, limit: number): AsyncGenerator<TrafficRow> {
    const edge = limit === 0 ? null : this.#newestEdge(filter);
    let left = limit === 0 ? Infinity : limit;
    for (const row of this.#select(filter, left, BY_TIME, edge === null ? null : `timestamp >= '${edge}'`)) {
      left--;
      yield row;
    }
    if (edge === null || left === 0) return;
    // Through the index costs 0.4 µs a row that is looked at, a scan 0.15 µs and, for the sorting, 2 µs a match.
    const isRare = limit - left < RARE * NEWEST_ROWS;
    const isWhole = filter.sinceMs === null && filter.untilMs === null;
    yield* this.#select(filter, left, isRare && isWhole ? BY_SCAN : BY_TIME, `timestamp < '${edge}'`);
  }

  /** The time of the last one of the newest rows; null if there are no more than those. */
  #newestEdge({ sinceMs, untilMs }: TrafficFilter): string | null {
    const { sql, values } = conditionsOf({ ...NO_FILTER, sinceMs, untilMs }, (index) => `?${index}`);
    const row = this.#database.prepare(
      `SELECT timestamp FROM traffic_logs ${BY_TIME} WHERE ${sql}
       ORDER BY timestamp DESC LIMIT 1 OFFSET ${NEWEST_ROWS}`,
    ).get(...values);
    return row === undefined ? null : String(row.timestamp);
  }

  *#select(filter: TrafficFilter, limit: number, way: string, more: string | null): Generator<TrafficRow> {
    const { sql, values } = conditionsOf(filter, (index) => `?${index}`);
    const statement = this.#database.prepare(
      `SELECT ${COLUMN_LIST} FROM traffic_logs ${way} WHERE ${sql} ${more === null ? "" : `AND ${more}`}
       ORDER BY timestamp DESC, id DESC LIMIT ${limit === Infinity ? -1 : limit}`,
    );
    for (const row of statement.iterate(...values)) yield { ...row } as unknown as TrafficRow;
  }

  stats(filter: TrafficFilter, by: StatsKey | null): Promise<StatsGroup[]> {
    const parts = rowParts(this.#database, filter, this.#partRows);
    const job: SqliteStatsJob = { kind: "sqlite", path: this.#path, filter, by, parts };
    return shareStats(job, this.#helpers, (queue, to) => addRowParts(job, this.#database, queue, to));
  }

  tail(filter: TrafficFilter, signal: AbortSignal): Promise<AsyncIterable<TrafficRow>> {
    return Promise.resolve(this.#follow(filter, signal, this.#lastRowid()));
  }

  async *#follow(filter: TrafficFilter, signal: AbortSignal, from: number): AsyncGenerator<TrafficRow> {
    const { sql, values } = conditionsOf(filter, (index) => `?${index}`, 2);
    const statement = this.#database.prepare(
      `SELECT rowid AS position, ${COLUMN_LIST} FROM traffic_logs WHERE rowid > ?1 AND ${sql} ORDER BY rowid`,
    );
    let seen = from;
    while (!signal.aborted) {
      // Where all rows have been removed, numbering begins again.
      seen = Math.min(seen, this.#lastRowid());
      for (const { position, ...row } of statement.all(seen, ...values)) {
        yield row as unknown as TrafficRow;
        seen = Number(position);
      }
      await pause(POLL_MS, signal);
    }
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  #lastRowid(): number {
    return Number(this.#database.prepare("SELECT coalesce(max(rowid), 0) AS n FROM traffic_logs").get()?.n);
  }
}
