/** Which records a question to the traffic log is about. */

import type { TrafficRow } from "./record.ts";

/** Every condition that is not null must hold. */
export interface TrafficFilter {
  /** Earliest arrival, milliseconds since the epoch. */
  sinceMs: number | null;
  /** The first millisecond that is too late. */
  untilMs: number | null;
  host: string | null;
  pathPrefix: string | null;
  /** Bounds of the status, both included. */
  status: { from: number; to: number } | null;
  target: string | null;
  clientIp: string | null;
  minDurationMs: number | null;
  requestId: string | null;
}

export const NO_FILTER: TrafficFilter = {
  sinceMs: null,
  untilMs: null,
  host: null,
  pathPrefix: null,
  status: null,
  target: null,
  clientIp: null,
  minDurationMs: null,
  requestId: null,
};

export function matches(filter: TrafficFilter, row: TrafficRow): boolean {
  return (filter.sinceMs === null || row.timestamp >= isoTime(filter.sinceMs)) &&
    (filter.untilMs === null || row.timestamp < isoTime(filter.untilMs)) &&
    (filter.host === null || row.host === filter.host) &&
    (filter.pathPrefix === null || row.path.startsWith(filter.pathPrefix)) &&
    (filter.status === null ||
      (row.status_code >= filter.status.from && row.status_code <= filter.status.to)) &&
    (filter.target === null || row.target === filter.target) &&
    (filter.clientIp === null || row.client_ip === filter.clientIp) &&
    (filter.minDurationMs === null || row.duration_ms >= filter.minDurationMs) &&
    (filter.requestId === null || row.request_id === filter.requestId);
}

/** A time as records write it; texts of this form sort as the times do. */
export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

const UNITS_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of `90s`, `30m`, `1h`, `2d` or `1w`; null for anything else. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)([smhdw])$/.exec(text);
  return match === null ? null : Number(match[1]) * UNITS_MS[match[2]];
}

const ISO_TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

/** A duration before `nowMs`, or a date or time of ISO 8601 (UTC unless it says otherwise); null for else. */
export function parseTime(text: string, nowMs: number): number | null {
  const ago = parseDuration(text);
  if (ago !== null) return Math.max(nowMs - ago, 0);
  if (!ISO_TIME.test(text)) return null;
  const hasZone = text.length === 10 || /(?:Z|[+-]\d{2}:?\d{2})$/.test(text.slice(11));
  const time = Date.parse(text.replace(" ", "T") + (hasZone ? "" : "Z"));
  return Number.isNaN(time) ? null : time;
}

/** `404`, `5xx` or `500-599`; null for anything else. */
export function parseStatus(text: string): { from: number; to: number } | null {
  const match = /^(?:([1-9]\d\d)(?:-([1-9]\d\d))?|([1-9])xx)$/i.exec(text);
  if (match === null) return null;
  if (match[3] !== undefined) return { from: Number(match[3]) * 100, to: Number(match[3]) * 100 + 99 };
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from <= to ? { from, to } : null;
}
