/** `admin_audit.log`: one NDJSON line for each thing somebody changed, or tried to, through the admin API. */
import { join } from "node:path";
import type { LogLevel } from "../config/model.ts";
import type { AuditEntry } from "./api.ts";

const NAME = "admin_audit.log";
/** A file of this size is set aside as `.1`, and those before it as `.2` and so on. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_OLD_FILES = 4;
/** Nothing that is longer is worth reading there, and a name can be as long as a request. */
const MAX_TEXT = 500;
/** Who asks for entries gets no more, and no more of the file is read. */
export const MAX_AUDIT_ENTRIES = 1_000;
/** Lines waiting for the disk; attempts beyond it are not recorded. */
const MAX_WAITING = 1_000;

export interface AuditOptions {
  /** The folder of the log, which a reload may change. */
  directory: () => string;
  log: (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;
  maxFileBytes?: number;
}

export class AuditLog {
  readonly #options: AuditOptions;
  readonly #maxFileBytes: number;
  #writing: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#maxFileBytes = options.maxFileBytes ?? MAX_FILE_BYTES;
  }

  /** Resolves when the entry is written. A disk that refuses it is told to the log and does not undo the deed. */
  write(entry: Omit<AuditEntry, "time">): Promise<void> {
    if (this.#waiting >= MAX_WAITING) return this.#writing;
    this.#waiting++;
    const line = JSON.stringify({ time: new Date().toISOString(), ...shortened(entry) }) + "\n";
    this.#writing = this.#writing.then(() => this.#append(line)).finally(() => this.#waiting--);
    return this.#writing;
  }

  /** The newest entries, newest first, of the file in use and the one before it. */
  async read(limit: number): Promise<AuditEntry[]> {
    await this.#writing;
    const path = join(this.#options.directory(), NAME);
    const entries: AuditEntry[] = [];
    for (const file of [path, `${path}.1`]) {
      if (entries.length >= limit) break;
      const lines = (await textOf(file)).trimEnd().split("\n").reverse();
      for (const line of lines) {
        const entry = entryOf(line);
        if (entry !== null && entries.length < limit) entries.push(entry);
      }
    }
    return entries;
  }

  async #append(line: string): Promise<void> {
    const directory = this.#options.directory();
    const path = join(directory, NAME);
    try {
      await Deno.mkdir(directory, { recursive: true });
      if (await sizeOf(path) + line.length > this.#maxFileBytes) await this.#rotate(path);
      await Deno.writeTextFile(path, line, { append: true, create: true, mode: 0o600 });
    } catch (fault) {
      this.#options.log("error", "the audit log cannot be written", {
        path,
        reason: fault instanceof Error ? fault.message : String(fault),
        entry: line.trimEnd(),
      });
    }
  }

  async #rotate(path: string): Promise<void> {
    for (let number = MAX_OLD_FILES; number > 0; number--) {
      const from = number === 1 ? path : `${path}.${number - 1}`;
      if (await sizeOf(from) > 0) await Deno.rename(from, `${path}.${number}`);
    }
  }
}

/** Null for a line that a full disk or a kill has cut. */
function entryOf(line: string): AuditEntry | null {
  try {
    return line === "" ? null : JSON.parse(line) as AuditEntry;
  } catch (fault) {
    if (fault instanceof SyntaxError) return null;
    throw fault;
  }
}

function shortened(entry: Omit<AuditEntry, "time">): Omit<AuditEntry, "time"> {
  const short = (text: string | null) =>
    text !== null && text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return { ...entry, subject: short(entry.subject), detail: short(entry.detail) };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return 0;
    throw fault;
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return "";
    throw fault;
  }
}
