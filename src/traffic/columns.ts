/** The columns of `traffic_logs` that a record fills, in the order in which values are bound. */

import type { TrafficRow } from "./record.ts";

export type ColumnType = "text" | "timestamp" | "integer" | "bigint" | "real";

export const COLUMNS: readonly (readonly [name: keyof TrafficRow, type: ColumnType, nullable: boolean])[] = [
  ["id", "text", false],
  ["timestamp", "timestamp", false],
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
  ["request_id", "text", false],
  ["route", "text", true],
  ["upstream_ms", "real", true],
  ["retries", "integer", false],
  ["protocol", "text", false],
  ["worker", "integer", false],
];

export const COLUMN_NAMES: readonly (keyof TrafficRow)[] = COLUMNS.map(([name]) => name);

/**
 * The row with every value of its column's type, whatever a damaged line held: one value that a database
 * refuses would otherwise hold back all that come after it.
 */
export function cleanRow(row: TrafficRow): TrafficRow {
  let clean: Record<string, string | number | null> | null = null;
  for (const [name, type, nullable] of COLUMNS) {
    const value: unknown = row[name];
    const fitting = fit(value, type, nullable);
    if (fitting !== value) (clean ??= { ...row })[name] = fitting;
  }
  return clean === null ? row : clean as unknown as TrafficRow;
}

function fit(value: unknown, type: ColumnType, nullable: boolean): string | number | null {
  if (nullable && (value === null || value === undefined)) return null;
  switch (type) {
    case "text": {
      const text = typeof value === "string" ? value : value === undefined ? "" : String(value);
      // PostgreSQL has no text with U+0000, and SQLite's own functions end a text there.
      return text.includes("\0") ? text.replaceAll("\0", "\uFFFD") : text;
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
