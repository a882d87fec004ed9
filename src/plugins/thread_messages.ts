/** What a plugin's thread and the proxy thread that started it say to each other. */
import type { Call } from "./lane.ts";
import type { PluginErrorKind, Stage } from "./plugin.ts";

/** Limits of a call, as both sides keep them. */
export interface CallLimits {
  timeoutMs: number;
  maxOutputBytes: number;
}

export interface WasmStart {
  /** Its memory is limited already. */
  module: WebAssembly.Module;
  memoryMaxBytes: number;
  limits: CallLimits;
}

export interface ScriptStart {
  /** URL of the module. */
  url: string;
  limits: CallLimits;
}

/** The first message starts the thread; then come calls, one at a time. */
export type ToPluginThread<Start> = { type: "start"; start: Start } | ({ type: "call"; id: number } & Call);

export type FromPluginThread =
  /** @param stages for which the code has a function */
  | { type: "ready"; stages: Stage[] }
  /** It cannot be started with this module; the thread is to be ended. */
  | { type: "refused"; message: string }
  /** Something was thrown that no call can be blamed for; the thread is to be ended. */
  | { type: "fault"; message: string }
  | { type: "output"; id: number; output: string }
  /** @see CallFailure */
  | ({ type: "failed"; id: number } & CallFailure);

/** A call that failed inside the thread. */
export interface CallFailure {
  kind: PluginErrorKind;
  message: string;
  /** Whether the thread must not be used again: the call may have left something half done. */
  spoiled: boolean;
}

/**
 * A message of a plugin's thread, or null. A script can post what it likes in our code's place: what has not the
 * form of a message is passed over, what has harms only the call it answers.
 */
export function readThreadMessage(data: unknown): FromPluginThread | null {
  if (typeof data !== "object" || data === null || !("type" in data)) return null;
  const { type, stages, id, output, kind, message, spoiled } = data as Record<string, unknown>;
  if (type === "ready" && Array.isArray(stages)) {
    return {
      type,
      stages: STAGES.filter((stage) => stages.includes(stage)),
    };
  }
  if (type === "refused" || type === "fault") return { type, message: text(message) };
  if (typeof id !== "number") return null;
  if (type === "output" && typeof output === "string") return { type, id, output };
  if (type === "failed" && isKind(kind)) {
    return { type, id, kind, message: text(message), spoiled: spoiled === true };
  }
  return null;
}

const STAGES: readonly Stage[] = ["request", "response"];

const KINDS: ReadonlySet<unknown> = new Set<PluginErrorKind>([
  "panic",
  "exec",
  "io",
  "timeout",
  "concurrency",
  "bad_output",
  "too_large",
]);

function isKind(value: unknown): value is PluginErrorKind {
  return KINDS.has(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value;
}
