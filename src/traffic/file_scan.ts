/**
 * Records that match a filter, out of the text of many lines. Parsing JSON costs most, so lines that cannot match
 * are passed over as text: a condition with one spelling in the file is searched for as that spelling.
 */

import { isoTime, matches, type TrafficFilter } from "./filter.ts";
import { decodeLine, isError, type TrafficRow } from "./record.ts";
import type { StatsKey } from "./reader.ts";

/** Texts that every matching line has, the rarest kind first. Quotes in values are escaped, so none is ambiguous. */
export function needlesOf(filter: TrafficFilter): string[] {
  const needles: string[] = [];
  const add = (name: string, value: string | null) => {
    if (value !== null) needles.push(`"${name}":${JSON.stringify(value)},`);
  };
  add("request_id", filter.requestId);
  add("client_ip", filter.clientIp);
  add("host", filter.host);
  add("target", filter.target);
  if (filter.pathPrefix !== null) needles.push(`"path":${JSON.stringify(filter.pathPrefix).slice(0, -1)}`);
  if (filter.status !== null) {
    const { from, to } = filter.status;
    if (from === to) needles.push(`"status_code":${from},`);
    else if (from % 100 === 0 && to === from + 99) needles.push(`"status_code":${from / 100}`);
  }
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
    if (filter.minDurationMs !== null && durationOf(text, start, end) < filter.minDurationMs) continue;
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

const DURATION = '"duration_ms":';

/** Infinity where the line has none, so that it is parsed to find out. */
function durationOf(text: string, start: number, end: number): number {
  const at = text.indexOf(DURATION, start) + DURATION.length;
  return at < DURATION.length || at >= end ? Infinity : Number(text.slice(at, text.indexOf(",", at)));
}

/** The matching records of whole lines, in the lines' order. */
export function matchingRows(text: string, filter: TrafficFilter): TrafficRow[] {
  const rows: TrafficRow[] = [];
  eachCandidate(text, filter, (start, end) => {
    const row = decodeLine(text.slice(start, end));
    if (row !== null && matches(filter, row)) rows.push(row);
  });
  return rows;
}

/** Receives what statistics need of one record. */
export type AddRecord = (key: string, isError: boolean, bytes: number, durationMs: number) => void;

/** Calls back with the figures of every matching record. */
export function eachFigure(text: string, filter: TrafficFilter, by: StatsKey | null, add: AddRecord): void {
  const { sinceMs: _since, untilMs: _until, ...rest } = filter;
  const isTimeOnly = Object.values(rest).every((condition) => condition === null);
  eachCandidate(text, filter, (start, end) => {
    if (isTimeOnly && addAsText(text, start, end, by, add)) return;
    const row = decodeLine(text.slice(start, end));
    if (row === null || !matches(filter, row)) return;
    add(keyOf(row, by), isError(row), row.request_size + row.response_size, row.duration_ms);
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

/**
 * Takes the figures from the line's text, in the order of `encodeRecord`; false where the line is not of that
 * form. Half the time of parsing it.
 */
function addAsText(text: string, start: number, end: number, by: StatsKey | null, add: AddRecord): boolean {
  let at = start;
  /** The text between the name and the next comma or brace; a value that is a text may not be asked for. */
  const valueAfter = (name: string): string | null => {
    const found = text.indexOf(name, at);
    if (found === -1 || found >= end) return null;
    const from = found + name.length;
    at = text.indexOf(",", from);
    return at === -1 || at > end ? null : text.slice(from, at);
  };
  let key = "";
  if (by === "minute") {
    at = text.indexOf(TIMESTAMP, at) + TIMESTAMP.length;
    key = text.slice(at, at + 16);
  } else if (by === "host") {
    const host = textAfter(text, '"host":', at, end);
    if (host === null) return false;
    key = host;
  } else if (by === "target") {
    const target = textAfter(text, '"target":', at, end);
    if (target === null) return false;
    key = target;
  }
  const status = valueAfter('"status_code":');
  const durationMs = Number(valueAfter('"duration_ms":') ?? NaN);
  const requestSize = Number(valueAfter('"request_size":') ?? NaN);
  const responseSize = Number(valueAfter('"response_size":') ?? NaN);
  const error = text.indexOf('"error_message":', at);
  if (status === null || error === -1 || error >= end) return false;
  const bytes = requestSize + responseSize;
  if (Number.isNaN(durationMs + bytes)) return false;
  const isError = Number(status) >= 500 || !text.startsWith("null", error + '"error_message":'.length);
  add(by === "status" ? status : key, isError, bytes, durationMs);
  return true;
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
