/** Names of the traffic log's files: `traffic-2026-11-23.log`, then `traffic-2026-11-23.1.log` and so on. */

import { join } from "node:path";
import { DAY_MS } from "./clock.ts";

const PATTERN = /^traffic-(\d{4}-\d{2}-\d{2})(?:\.([1-9]\d{0,8}))?\.log$/;

export interface LogFile {
  path: string;
  /** UTC day the file was written on. */
  day: string;
  /** 0 for the day's first file. */
  number: number;
}

export function logFileName(day: string, number: number): string {
  return number === 0 ? `traffic-${day}.log` : `traffic-${day}.${number}.log`;
}

/** The day and number in a name; null for every name that Dispa would not give. */
export function parseLogFileName(name: string): { day: string; number: number } | null {
  const match = PATTERN.exec(name);
  if (match === null || Number.isNaN(dayStartMs(match[1]))) return null;
  return { day: match[1], number: Number(match[2] ?? 0) };
}

/** The folder's traffic log files, oldest first. Folders, links and files of other names are left out. */
export function listLogFiles(directory: string): LogFile[] {
  const files: LogFile[] = [];
  for (const entry of Deno.readDirSync(directory)) {
    const parsed = entry.isFile ? parseLogFileName(entry.name) : null;
    if (parsed !== null) files.push({ path: join(directory, entry.name), ...parsed });
  }
  return files.sort((a, b) => a.day < b.day ? -1 : a.day > b.day ? 1 : a.number - b.number);
}

/** Removes the files whose whole day is before `beforeMs`; returns their paths. */
export function removeExpiredFiles(directory: string, beforeMs: number): string[] {
  const expired = listLogFiles(directory).filter((file) => dayStartMs(file.day) + DAY_MS <= beforeMs);
  for (const file of expired) Deno.removeSync(file.path);
  return expired.map((file) => file.path);
}

/** Start of a UTC day in milliseconds; NaN for a day that is in no calendar. */
function dayStartMs(day: string): number {
  const start = Date.parse(`${day}T00:00:00.000Z`);
  // Date.parse takes 30 February for 2 March.
  return Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== day ? NaN : start;
}

/** Null where there is nothing. */
export function statOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
}
