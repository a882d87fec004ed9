/**
 * Records that match a filter, out of the text of many lines. Parsing JSON costs most, so lines that cannot match
 * are passed over as text: a condition with one spelling in the file is searched for as that spelling.
 */

import { isoTime, matches, type TrafficFilter } from "./filter.ts";
import { LINE_HEAD, LineFigures } from "./line_figures.ts";
import type { StatsKey } from "./reader.ts";
import { decodeLine, isError, type TrafficRow } from "./record.ts";
import type { StatsGroups } from "./stats_groups.ts";

/** Texts that every matching line has, the rarest kind first. Quotes in values are escaped, so none is ambiguous. */
function needlesOf(filter: TrafficFilter): string[] {
  const needles: string[] = [];
  const add = (name: string, value: string | null) => {
    if (value !== null) needles.push(`"${name}":${JSON.stringify(value)},`);
  };
  add("request_id", filter.requestId);
  add("client_ip", filter.clientIp);
  add("host", filter.host);
  add("target", filter.target);
  if (filter.pathPrefix !== null) needles.push(`"path":${JSON.stringify(filter.pathPrefix).slice(0, -1)}`);
  return needles;
}

/** Calls back with the start and end of each line that has all needles and is within the filter's time range. */
function eachCandidate(
  text: string,
  filter: TrafficFilter,
  each: (start: number, end: number) => void,
): void {
  const [first, ...others] = needlesOf(filter);
  const since = filter.sinceMs === null ? "" : isoTime(filter.sinceMs);
  const until = filter.untilMs === null ? "" : isoTime(filter.untilMs);
  for (let position = 0; position < text.length;) {
    const found = first === undefined ? position : text.indexOf(first, position);
    if (found === -1) return;
    const start = first === undefined ? position : text.lastIndexOf("\n", found) + 1;
    const end = text.indexOf("\n", found);
    position = end + 1;
    if ((since !== "" || until !== "") && !isWithin(text, start, since, until)) continue;
    if (others.length > 0) {
      const line = text.slice(start, end);
      if (!others.every((needle) => line.includes(needle))) continue;
    }
    each(start, end);
  }
}

const TIMESTAMP = '"timestamp":"';
const TIMESTAMP_LENGTH = "2026-11-23T20:25:00.000Z".length;

function isWithin(text: string, start: number, since: string, until: string): boolean {
  const at = text.indexOf(TIMESTAMP, start) + TIMESTAMP.length;
  const timestamp = text.slice(at, at + TIMESTAMP_LENGTH);
  return timestamp >= since && (until === "" || timestamp < until);
}

/** Whether the conditions on numbers hold, which are no needles because a range has many spellings. */
function figuresMatch({ status, minDurationMs }: TrafficFilter, figures: LineFigures): boolean {
  return (status === null || (figures.statusCode >= status.from && figures.statusCode <= status.to)) &&
    (minDurationMs === null || figures.durationUs / 1000 >= minDurationMs);
}

/** The matching records of whole lines, in the lines' order. */
export function matchingRows(text: string, filter: TrafficFilter): TrafficRow[] {
  const rows: TrafficRow[] = [];
  const figures = new LineFigures();
  const asksForFigures = filter.status !== null || filter.minDurationMs !== null;
  eachCandidate(text, filter, (start, end) => {
    if (asksForFigures && figures.read(text, start, end) && !figuresMatch(filter, figures)) return;
    const row = decodeLine(text.slice(start, end));
    if (row !== null && matches(filter, row)) rows.push(row);
  });
  return rows;
}

/** Adds the figures of every matching record to the groups. */
export function addFigures(text: string, filter: TrafficFilter, by: StatsKey | null, to: StatsGroups): void {
  const figures = new LineFigures();
  eachCandidate(text, filter, (start, end) => {
    if (figures.read(text, start, end)) {
      const key = keyInText(text, start, end, by, figures);
      if (key !== null) {
        if (figuresMatch(filter, figures)) to.add(key, figures.isError, figures.bytes, figures.durationUs);
        return;
      }
    }
    const row = decodeLine(text.slice(start, end));
    if (row === null || !matches(filter, row)) return;
    const durationUs = Math.round(row.duration_ms * 1000);
    to.add(keyOf(row, by), isError(row), row.request_size + row.response_size, durationUs);
  });
}

function keyOf(row: TrafficRow, by: StatsKey | null): string {
  switch (by) {
    case null:
      return "";
    case "host":
      return row.host;
    case "target":
      return row.target ?? "";
    case "status":
      return String(row.status_code);
    case "minute":
      return row.timestamp.slice(0, 16);
  }
}

/** The same from the line's text; null where the line has to be parsed for it. */
function keyInText(
  text: string,
  start: number,
  end: number,
  by: StatsKey | null,
  figures: LineFigures,
): string | null {
  switch (by) {
    case null:
      return "";
    case "host":
      return textAfter(text, '"host":', start + LINE_HEAD, end);
    case "target":
      return textAfter(text, '"target":', start + LINE_HEAD, end);
    case "status":
      return String(figures.statusCode);
    case "minute":
      return textAfter(text, '"timestamp":', start, end)?.slice(0, 16) ?? null;
  }
}

/** A text value as it is, "" for null; null where it has escapes and must be parsed. */
function textAfter(text: string, name: string, position: number, end: number): string | null {
  const from = text.indexOf(name, position) + name.length;
  if (from < name.length || from >= end) return null;
  if (text.startsWith("null", from)) return "";
  const quote = text.indexOf('"', from + 1);
  const value = text.slice(from + 1, quote);
  return value.includes("\\") ? null : value;
}
