/** The program's own log: one line an event on stderr, as text or JSON. Not the traffic log. */
import type { LogLevel } from "../config/model.ts";

export type LogFormat = "text" | "json";
export type LogFields = Record<string, unknown>;
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

const SEVERITY: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LoggerOptions {
  level: LogLevel;
  format: LogFormat;
  /** Where lines go; stderr if left out. */
  write?: (line: string) => void;
}

export class Logger {
  level: LogLevel;
  readonly #format: LogFormat;
  readonly #write: (line: string) => void;

  constructor(options: LoggerOptions) {
    this.level = options.level;
    this.#format = options.format;
    this.#write = options.write ?? writeToStderr;
  }

  readonly log: Log = (level, message, fields = {}) => {
    if (SEVERITY[level] < SEVERITY[this.level]) return;
    const time = new Date().toISOString();
    if (this.#format === "json") {
      this.#write(JSON.stringify({ time, level, message, ...fields }) + "\n");
      return;
    }
    let line = `${time} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}`;
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined && value !== null) line += ` ${name}=${textValue(value)}`;
    }
    this.#write(line + "\n");
  };
}

/** A message holds what upstreams and clients sent: no line break of theirs may forge a line of the log. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f]/g, (control) => JSON.stringify(control).slice(1, -1));
}

function textValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=\\]+$/.test(text) ? oneLine(text) : JSON.stringify(text);
}

const encoder = new TextEncoder();

function writeToStderr(line: string): void {
  const bytes = encoder.encode(line);
  let written = 0;
  try {
    while (written < bytes.length) written += Deno.stderr.writeSync(bytes.subarray(written));
  } catch (fault) {
    // Whoever read stderr is gone (EPIPE) or its disk is full: the proxy goes on without a log.
    if (fault instanceof Deno.errors.Interrupted) throw fault;
  }
}
