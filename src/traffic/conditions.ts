/** A filter as the WHERE clause of SQLite and PostgreSQL. */

import { isoTime, type TrafficFilter } from "./filter.ts";

export interface Conditions {
  /** Joined by AND; `true` if there are none. */
  sql: string;
  values: (string | number)[];
}

/** `parameter` gives the n-th parameter (from 1) of the database's spelling, `?1` or `$1`. */
export function conditionsOf(
  filter: TrafficFilter,
  parameter: (index: number) => string,
  first = 1,
): Conditions {
  const parts: string[] = [];
  const values: (string | number)[] = [];
  const add = (sql: (value: string) => string, value: string | number | null) => {
    if (value === null) return;
    parts.push(sql(parameter(first + values.length)));
    values.push(value);
  };
  const { sinceMs, untilMs, pathPrefix, status } = filter;
  add((value) => `timestamp >= ${value}`, sinceMs === null ? null : isoTime(sinceMs));
  add((value) => `timestamp < ${value}`, untilMs === null ? null : isoTime(untilMs));
  add((value) => `host = ${value}`, filter.host);
  // LIKE would take % and _ in the prefix for wildcards.
  add((value) => `substr(path, 1, ${[...pathPrefix ?? ""].length}) = ${value}`, pathPrefix);
  add((value) => `status_code >= ${value}`, status?.from ?? null);
  add((value) => `status_code <= ${value}`, status?.to ?? null);
  add((value) => `target = ${value}`, filter.target);
  add((value) => `client_ip = ${value}`, filter.clientIp);
  add((value) => `duration_ms >= ${value}`, filter.minDurationMs);
  add((value) => `request_id = ${value}`, filter.requestId);
  return { sql: parts.length === 0 ? "true" : parts.join(" AND "), values };
}
