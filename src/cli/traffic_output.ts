/** Records and statistics as tables, NDJSON and CSV. */

import { COLUMN_NAMES } from "../traffic/columns.ts";
import type { StatsGroup } from "../traffic/reader.ts";
import type { TrafficRow } from "../traffic/record.ts";

export type OutputForm = "table" | "json" | "csv";

/** Text that comes before the records, with its line end; "" for none. */
export function recordHeader(form: OutputForm): string {
  if (form === "csv") return csvLine(COLUMN_NAMES);
  return form === "json" ? "" : line(RECORD_CELLS.map(({ title, width }) => fit(title, width)));
}

export function formatRecord(row: TrafficRow, form: OutputForm): string {
  if (form === "json") return `${JSON.stringify(row)}\n`;
  if (form === "csv") return csvLine(COLUMN_NAMES.map((name) => row[name]));
  return line(RECORD_CELLS.map(({ width, value }) => fit(printable(value(row)), width)));
}

/** Columns of fixed width, so that a followed log stays in line. A negative width aligns to the right. */
const RECORD_CELLS: { title: string; width: number; value: (row: TrafficRow) => string }[] = [
  { title: "TIME (UTC)", width: 23, value: (row) => row.timestamp.slice(0, 23).replace("T", " ") },
  { title: "STATUS", width: -6, value: (row) => String(row.status_code) },
  { title: "MS", width: -9, value: (row) => row.duration_ms.toFixed(1) },
  { title: "BYTES", width: -9, value: (row) => String(row.response_size) },
  { title: "CLIENT", width: 15, value: (row) => row.client_ip },
  { title: "TARGET", width: 12, value: (row) => row.target ?? "-" },
  { title: "HOST", width: 22, value: (row) => row.host },
  {
    title: "REQUEST",
    width: 0,
    value: (row) =>
      `${row.method} ${row.path}${row.error_message === null ? "" : `  (${row.error_message})`}`,
  },
];

export function formatStats(groups: StatsGroup[], keyTitle: string | null, form: OutputForm): string {
  if (form === "json") {
    return groups.map((group) => `${JSON.stringify(statsObject(group, keyTitle))}\n`).join("");
  }
  const titles = [...(keyTitle === null ? [] : [keyTitle]), ...STATS_CELLS.map(({ title }) => title)];
  const rows = groups.map((group) => [
    ...(keyTitle === null ? [] : [group.key]),
    ...STATS_CELLS.map(({ value }) => value(group)),
  ]);
  if (form === "csv") return [titles, ...rows].map(csvLine).join("");
  const shown = [titles.map((title) => title.toUpperCase()), ...rows.map((row) => row.map(printable))];
  const widths = titles.map((_, column) => Math.max(...shown.map((row) => row[column].length)));
  return shown.map((row) =>
    line(
      row.map((cell, column) => fit(cell, keyTitle !== null && column === 0 ? widths[0] : -widths[column])),
    )
  ).join("");
}

const STATS_CELLS: { title: string; value: (group: StatsGroup) => string }[] = [
  { title: "requests", value: (group) => String(group.requests) },
  { title: "errors", value: (group) => String(group.errors) },
  { title: "p50_ms", value: (group) => String(threeDigits(group.p50Ms)) },
  { title: "p95_ms", value: (group) => String(threeDigits(group.p95Ms)) },
  { title: "p99_ms", value: (group) => String(threeDigits(group.p99Ms)) },
  { title: "bytes", value: (group) => String(group.bytes) },
];

function statsObject(group: StatsGroup, keyTitle: string | null): Record<string, string | number> {
  return {
    ...(keyTitle === null ? {} : { [keyTitle]: group.key }),
    requests: group.requests,
    errors: group.errors,
    p50_ms: threeDigits(group.p50Ms),
    p95_ms: threeDigits(group.p95Ms),
    p99_ms: threeDigits(group.p99Ms),
    bytes: group.bytes,
  };
}

/** Percentiles are good for three digits; more would pretend. */
function threeDigits(value: number): number {
  return Number(value.toPrecision(3));
}

/** RFC 4180. */
function csvLine(values: readonly (string | number | null)[]): string {
  const fields = values.map((value) => {
    const text = value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${fields.join(",")}\r\n`;
}

/** Without control characters: what a client sends must not steer the terminal that shows it. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

function fit(text: string, width: number): string {
  if (width < 0) return text.padStart(-width);
  return text.padEnd(width);
}

function line(cells: string[]): string {
  return `${cells.join("  ").trimEnd()}\n`;
}
