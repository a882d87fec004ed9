/** The columns of `traffic_logs` that a record fills, in the record's own order. */

import type { SinkBatch } from "./batch.ts";
import type { TrafficRow } from "./record.ts";

export type ColumnType = "text" | "timestamp" | "integer" | "bigint" | "real";

export const COLUMNS: readonly (readonly [name: keyof TrafficRow, type: ColumnType, nullable: boolean])[] = [
  ["id", "text", false],
  ["timestamp", "timestamp", false],
  ["request_id", "text", false],
  ["client_ip", "text", false],
  ["host", "text", false],
  ["method", "text", false],
  ["path", "text", false],
  ["target", "text", true],
  ["status_code", "integer", false],
  ["duration_ms", "real", false],
  ["request_size", "bigint", false],
  ["response_size", "bigint", false],
  ["user_agent", "text", true],
  ["error_message", "text", true],
  ["route", "text", true],
  ["upstream_ms", "real", true],
  ["retries", "integer", false],
  ["protocol", "text", false],
  ["worker", "integer", false],
];

export const COLUMN_NAMES: readonly (keyof TrafficRow)[] = COLUMNS.map(([name]) => name);

/**
 * The batch's rows with every value of its column's type, whatever a damaged line held: one value that a
 * database refuses would otherwise hold back all that come after it.
 */
export function cleanRows(batch: SinkBatch): TrafficRow[] {
  // The encoder makes what is right, so looking costs little: U+0000 has one spelling in JSON.
  const mayHoldNul = batch.lines.includes("\\u0000");
  return batch.rows.map((row) => !mayHoldNul && isWellTyped(row) ? row : cleanRow(row));
}

/** Spelled out, not a loop over `COLUMNS`, because it runs for every record. */
function isWellTyped(row: TrafficRow): boolean {
  return row.timestamp.length === TIMESTAMP_LENGTH && typeof row.client_ip === "string" &&
    typeof row.host === "string" && typeof row.method === "string" && typeof row.path === "string" &&
    (row.target === null || typeof row.target === "string") && Number.isInteger(row.status_code) &&
    Number.isFinite(row.duration_ms) && Number.isSafeInteger(row.request_size) &&
    Number.isSafeInteger(row.response_size) &&
    (row.user_agent === null || typeof row.user_agent === "string") &&
    (row.error_message === null || typeof row.error_message === "string") &&
    typeof row.request_id === "string" && (row.route === null || typeof row.route === "string") &&
    (row.upstream_ms === null || Number.isFinite(row.upstream_ms)) && Number.isInteger(row.retries) &&
    typeof row.protocol === "string" && Number.isInteger(row.worker);
}

const TIMESTAMP_LENGTH = "2026-11-23T20:25:00.000Z".length;

/** For rows of damaged lines; always makes a row that every database takes. */
export function cleanRow(row: TrafficRow): TrafficRow {
  const clean: Record<string, string | number | null> = {};
  for (const [name, type, nullable] of COLUMNS) clean[name] = fit(row[name], type, nullable);
  return clean as unknown as TrafficRow;
}

function fit(value: unknown, type: ColumnType, nullable: boolean): string | number | null {
  if (nullable && (value === null || value === undefined)) return null;
  switch (type) {
    case "text": {
      const text = typeof value === "string" ? value : value === undefined ? "" : String(value);
      // PostgreSQL has no text with U+0000, and SQLite's own functions end a text there.
      return text.replaceAll("\0", "\uFFFD").toWellFormed();
    }
    case "timestamp":
      return typeof value === "string" && TIMESTAMP.test(value) && !Number.isNaN(Date.parse(value))
        ? value
        : "1970-01-01T00:00:00.000Z";
    case "integer":
      return wholeNumber(value, 0x7fff_ffff);
    case "bigint":
      return wholeNumber(value, Number.MAX_SAFE_INTEGER);
    case "real":
      return finite(value);
  }
}

const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

function wholeNumber(value: unknown, largest: number): number {
  return Math.trunc(Math.min(Math.max(finite(value), -largest), largest));
}

function finite(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
