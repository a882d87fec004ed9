/**
 * What a plugin is. Its life: the settings are checked with the rest of the configuration (by a schema in
 * `config/plugins/`, on the control thread), `create` makes one instance in every proxy thread for every
 * generation of the configuration, `onRequest` and `onResponse` run for each exchange, `dispose` runs once
 * the last exchange of that generation has ended.
 */
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import type { Refusal } from "../http/refusal.ts";

/** When a plugin runs; the `stage` label of its metrics. */
export type Stage = "request" | "response";

/** Why a plugin failed: the `kind` label of `dispa_plugin_errors_total`. */
export type PluginErrorKind =
  /** The plugin's code threw, or a module trapped. */
  | "panic"
  /** A program could not be started, or a module could not be made. */
  | "exec"
  /** Reading from or writing to a program failed, or it ended with a non-zero code. */
  | "io"
  | "timeout"
  /** More calls at once than `max_concurrency` allows. */
  | "concurrency"
  /** The output was no JSON, or not of the shape that is agreed. */
  | "bad_output"
  /** The output was longer than allowed. */
  | "too_large";

/** A call of a plugin that failed; the chain's `error_strategy` decides what that means for the request. */
export class PluginError extends Error {
  override name = "PluginError";
  constructor(readonly kind: PluginErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * Null: go on. All else ends the chain and goes to the client, at the response stage in place of what the
 * upstream sent: an answer of the plugin's own, or a refusal in the form that all of Dispa's have.
 */
export type PluginResult = LocalAnswer | Refusal | null;

export function isRefusal(result: LocalAnswer | Refusal): result is Refusal {
  return "code" in result;
}

/**
 * One plugin in one thread. A method that is left out is not called and costs nothing. Calls of different
 * requests overlap where a method returns a promise; one that does not keeps the whole chain synchronous.
 */
export interface Plugin {
  /**
   * Sees and changes a request before it is forwarded. Anything it throws counts as the plugin's failure
   * (`PluginError` says the kind, all else is `panic`); what it had changed until then is undone.
   */
  onRequest?(request: RequestMessage): PluginResult | Promise<PluginResult>;
  /** Sees and changes an answer's status and fields. An answer it gives replaces that of the upstream. */
  onResponse?(request: RequestMessage, response: ResponseMessage): PluginResult | Promise<PluginResult>;
  /**
   * What `explain` runs in place of the two above. Left out: those run, because they do nothing but change
   * the messages. Plugins that count, start programs or run foreign code give a text here instead of running:
   * what they would do as far as it can be told.
   * @param response null at the request stage
   */
  explain?(request: RequestMessage, response: ResponseMessage | null): PluginResult | string;
  /** Ends programs and threads of this instance. Called once, after the last exchange that could use it. */
  dispose?(): void | Promise<void>;
}

export type PluginLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields?: Record<string, unknown>,
) => void;

/** What a plugin instance is given beside its settings. */
export interface PluginContext {
  /** Unique name of the plugin in the configuration. */
  readonly name: string;
  /** Memory shared by this plugin's instances in all proxy threads, as `sharedBytes` asked for it. */
  readonly shared: SharedArrayBuffer | null;
  /** Lines come with the plugin's name. Nothing secret belongs there, and nothing for each request. */
  readonly log: PluginLog;
  /** Only for plugins that run programs. */
  readonly commandMetrics: CommandMetrics;
}

/** The metrics of programs that plugins run. */
export interface CommandMetrics {
  ran(durationMs: number): void;
  /** @param kind counted in `dispa_plugin_cmd_errors_total`; `timeout` counts as a time-out too */
  failed(kind: PluginErrorKind): void;
}

/**
 * A type of plugin: what `type = "…"` names. One file of this folder each, listed in `registry.ts`.
 * `Settings` is what the schema of the type in `config/plugins/` makes of `config`: plain data.
 */
export interface PluginType<Settings> {
  /**
   * Bytes of memory that all instances of one plugin share, the same for the same settings; 0 or left out:
   * none. It starts as zeros and outlives reloads that leave the plugin's settings as they are.
   */
  sharedBytes?(settings: Settings): number;
  /** @throws Error whose message says what is wrong with the settings: the configuration is then refused */
  create(settings: Settings, context: PluginContext): Plugin | Promise<Plugin>;
}
