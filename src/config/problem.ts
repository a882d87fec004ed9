/**
 * What can be wrong with a configuration, and how it is said: where it stands, which key, what was found,
 * what is allowed.
 */
import { redactUrl } from "./redact.ts";

/** The way to a value from the top of the file; numbers are positions in a list, from 0. */
export type Path = readonly (string | number)[];

export interface Problem {
  severity: "error" | "warning";
  /** The file as it was named, `environment`, or `command line`. */
  source: string;
  /** Line and column in the file, from 1; null where there is none. */
  line: number | null;
  column: number | null;
  /** Full path of the key, the variable or the flag; "" where the trouble is no single key's. */
  key: string;
  message: string;
}

/** @returns one line: `FILE:LINE:COL KEY.PATH: message` */
export function formatProblem(problem: Problem): string {
  const place = problem.line === null
    ? problem.source
    : `${problem.source}:${problem.line}:${problem.column}`;
  return problem.key === "" ? `${place}: ${problem.message}` : `${place} ${problem.key}: ${problem.message}`;
}

/** A path as one writes it: `targets.targets[1].url`; keys that TOML would have quoted are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else text += (text === "" ? "" : ".") + (/^[A-Za-z0-9_-]+$/.test(segment) ? segment : quote(segment));
  }
  return text;
}

/** A path as a key for maps. */
export function pathKey(path: Path): string {
  return JSON.stringify(path);
}

const LONGEST_QUOTED = 100;

/** A value from the file for a message: short, on one line, without secrets and terminal escapes. */
export function showFound(value: unknown): string {
  if (typeof value === "string") return quote(redactUrl(value));
  if (typeof value === "number") {
    return Number.isNaN(value)
      ? "nan"
      : value === Infinity
      ? "inf"
      : value === -Infinity
      ? "-inf"
      : `${value}`;
  }
  if (typeof value === "boolean") return `${value}`;
  if (Array.isArray(value)) {
    return value.length === 1 ? "a list of 1 entry" : `a list of ${value.length} entries`;
  }
  if (value instanceof Date) return "a date";
  return "a table";
}

/** Text in quotes; control characters, the C1 ones too, which JSON leaves alone, are escaped. */
export function quote(text: string): string {
  const short = text.length > LONGEST_QUOTED ? text.slice(0, LONGEST_QUOTED) + "…" : text;
  return JSON.stringify(short).replace(
    // Bidirectional marks can make a line read as something it is not.
    /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}
