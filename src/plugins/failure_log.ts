/** Says in the log that a plugin fails, and never so often that the log itself becomes the trouble. */
import type { PluginErrorKind, PluginLog } from "./plugin.ts";

/** A plugin that fails at every request is told once in this time; the metrics count each. */
const INTERVAL_MS = 1000;

export class FailureLog {
  readonly #log: PluginLog;
  readonly #level: "warn" | "error";
  readonly #nowMs: () => number;
  #lastMs = -Infinity;
  #untold = 0;

  /** @param nowMs a clock that only goes forward */
  constructor(log: PluginLog, level: "warn" | "error", nowMs: () => number = () => performance.now()) {
    this.#log = log;
    this.#level = level;
    this.#nowMs = nowMs;
  }

  add(kind: PluginErrorKind, error: string, requestId: string): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastMs < INTERVAL_MS) {
      this.#untold++;
      return;
    }
    this.#lastMs = nowMs;
    const more = this.#untold > 0 ? { more_since_last_line: this.#untold } : {};
    this.#untold = 0;
    this.#log(this.#level, "plugin failed", { kind, error, request_id: requestId, ...more });
  }
}

/** What was thrown, in one line; where an exception has a place in code, with it. */
export function describe(fault: unknown): string {
  if (!(fault instanceof Error)) {
    return typeof fault === "object" || typeof fault === "function" ? "a thrown object" : String(fault);
  }
  if (fault.name === "PluginError") return fault.message;
  const place = /^\s*at .*$/m.exec(fault.stack ?? "")?.[0].trim();
  return `${fault.name}: ${fault.message}${place === undefined ? "" : ` (${place})`}`;
}
