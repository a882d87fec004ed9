/**
 * What a script plugin of Dispa (`type = "script"`) is. A module exports `onRequest`, `onResponse` or both:
 *
 *     import type { OnRequest } from "./plugin.d.ts";
 *     export const onRequest: OnRequest = (request) => {
 *       request.headers.set("x-added", "1");
 *     };
 */

/** Sees each request before it goes to a target. Called at the stages `request` and `both`. */
export type OnRequest = (request: PluginRequest) => PluginAnswer | Promise<PluginAnswer>;

/** Sees each answer before it goes to the client. Called at the stages `response` and `both`. */
export type OnResponse = (
  request: Readonly<PluginRequest>,
  response: PluginResponse,
) => PluginAnswer | Promise<PluginAnswer>;

/**
 * Nothing: go on, with the changes that were made to the message. A `Response`: it goes to the client in place of
 * the target's answer. An object: what a program or a WebAssembly module would answer; it comes on top of the changes
 * to the message.
 *
 * What is thrown, an answer of another form, and one that comes after `timeout_ms` count as a failure of the plugin;
 * the message then stays as it was.
 */
export type PluginAnswer = void | undefined | null | Response | PluginResult;

export interface PluginRequest {
  readonly method: string;
  /** Scheme the client used. */
  readonly scheme: "http" | "https";
  /** Host the client asked for: lower case, no port, no trailing dot, IPv6 in brackets. */
  readonly host: string;
  /** The client's address: the peer's, or what a trusted proxy says it is. */
  readonly clientIp: string;
  /** As in the traffic log. */
  readonly requestId: string;
  /**
   * The path, decoded, dot segments resolved, without doubled slashes. Assigning it rewrites the path that goes to the
   * target; the query stays.
   */
  path: string;
  /** The query without its question mark, as the client wrote it; null where there is none. */
  readonly query: string | null;
  /**
   * What goes to the target; change it in place. Values that came in several fields are joined with ", " (cookie:
   * "; "). Fields of the connection and of framing, such as content-length, cannot be changed. In `onResponse` it is
   * only to be read.
   */
  readonly headers: Headers;
}

export interface PluginResponse {
  /** 200 to 599; may be assigned. */
  status: number;
  /** What goes to the client; change it in place. `getSetCookie` gives the cookies one by one. */
  readonly headers: Headers;
}

/** The same that programs and WebAssembly modules answer as JSON. Unknown keys are refused. */
export interface PluginResult {
  /** Each takes the place of all values the header had. A list becomes several fields. */
  set_headers?: Record<string, string | string[]> | null;
  /** Done before `set_headers`. */
  remove_headers?: string[] | null;
  /** Only `onRequest`: decoded, begins with "/". */
  set_path?: string | null;
  /** Only `onResponse`: 200 to 599. */
  set_status?: number | null;
  /** What the client gets in place of the target's answer. */
  short_circuit?: ShortCircuit | null;
}

export interface ShortCircuit {
  /** 200 to 599. */
  status: number;
  headers?: Record<string, string | string[]> | null;
  /** text/plain in UTF-8 unless `headers` says otherwise. */
  body?: string | null;
  /** In place of `body`: bytes, as base64. */
  body_base64?: string | null;
}
