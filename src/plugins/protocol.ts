/**
 * What programs, modules and scripts are told of an exchange, and what they may answer: JSON, the same for all of
 * them. docs/PLUGINS.md describes it for those who write one.
 */
import {
  type FlatHeaders,
  getField,
  isFieldName,
  isFieldValue,
  isFramingField,
  removeField,
  setField,
} from "../http/flat_headers.ts";
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import { PluginError, type Stage } from "./plugin.ts";

/** The input. Names and order are part of the public contract. */
export interface CallInput {
  stage: Stage;
  method: string;
  scheme: "http" | "https";
  host: string;
  /** In its matching form (`http/path.ts`), so that no spelling slips by what a plugin compares. */
  path: string;
  query: string | null;
  client_ip: string;
  request_id: string;
  /** At the response stage: of the answer. */
  status?: number;
  /** Of the message that the stage is about. */
  headers: Record<string, string>;
  /** At the response stage. */
  request_headers?: Record<string, string>;
}

export function requestInput(request: RequestMessage): string {
  return JSON.stringify({ ...about("request", request), headers: joined(request.headers) });
}

export function responseInput(request: RequestMessage, response: ResponseMessage): string {
  return JSON.stringify({
    ...about("response", request),
    status: response.status,
    headers: joined(response.headers),
    request_headers: joined(request.headers),
  });
}

function about(stage: Stage, request: RequestMessage): Omit<CallInput, "headers"> {
  return {
    stage,
    method: request.method,
    scheme: request.scheme,
    host: request.host,
    path: request.path,
    query: request.query,
    client_ip: request.clientIp,
    request_id: request.requestId,
  };
}

/**
 * One text for each name. A list where a field comes twice would be a trap: a plugin that expects text would
 * fail on what a client can send at will.
 */
function joined(headers: FlatHeaders): Record<string, string> {
  // No prototype: `__proto__` is a legal name of a field.
  const fields: Record<string, string> = Object.create(null);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i];
    const earlier = fields[name];
    fields[name] = earlier === undefined ? headers[i + 1] : `${earlier}${separator(name)}${headers[i + 1]}`;
  }
  return fields;
}

/** RFC 9110 section 5.3; RFC 6265 section 5.4; a set-cookie can hold commas (RFC 6265 section 3), never a line feed. */
function separator(name: string): string {
  if (name === "set-cookie") return "\n";
  return name === "cookie" ? "; " : ", ";
}

/** A checked answer: applying it cannot fail. */
export interface CallResult {
  /** Names in lower case, each with the values that take the place of all that were there. */
  setHeaders: [name: string, values: string[]][];
  removeHeaders: string[];
  setPath: string | null;
  setStatus: number | null;
  shortCircuit: LocalAnswer | null;
}

const NOTHING: CallResult = {
  setHeaders: [],
  removeHeaders: [],
  setPath: null,
  setStatus: null,
  shortCircuit: null,
};

/**
 * Reads an answer. Empty text and `null` mean: go on as it is. A key that is not known is an error: in a misspelt
 * `short_circuit` a request would pass that was meant to be stopped.
 * @throws PluginError of the kind `bad_output`
 */
export function parseOutput(text: string, stage: Stage): CallResult {
  if (text.trim() === "") return NOTHING;
  let output: unknown;
  try {
    output = JSON.parse(text);
  } catch (fault) {
    throw bad(`the answer is not JSON: found ${excerpt(text)}`, fault);
  }
  if (output === null) return NOTHING;
  const table = tableOf("the answer", output, KEYS);
  if (stage === "response" && given(table.set_path)) {
    throw bad("set_path is for the request stage: the request has already been forwarded");
  }
  if (stage === "request" && given(table.set_status)) {
    throw bad("set_status is for the response stage: wanted short_circuit to answer a request");
  }
  return {
    setHeaders: headersOf("set_headers", table.set_headers, stage),
    removeHeaders: namesOf(table.remove_headers, stage),
    setPath: given(table.set_path) ? pathOf(table.set_path) : null,
    setStatus: given(table.set_status) ? statusOf("set_status", table.set_status) : null,
    shortCircuit: given(table.short_circuit) ? answerOf(table.short_circuit) : null,
  };
}

/**
 * Changes the message as the result says: removes fields first, so that one may be set again.
 * @param response null at the request stage
 */
export function applyResult(
  result: CallResult,
  request: RequestMessage,
  response: ResponseMessage | null,
): LocalAnswer | null {
  const { headers } = response ?? request;
  for (const name of result.removeHeaders) removeField(headers, name);
  for (const [name, values] of result.setHeaders) {
    if (values.length === 1) {
      setField(headers, name, values[0]);
      continue;
    }
    removeField(headers, name);
    for (const value of values) headers.push(name, value);
  }
  if (result.setPath !== null) request.path = result.setPath;
  if (result.setStatus !== null && response !== null) response.status = result.setStatus;
  return result.shortCircuit;
}

const KEYS = ["set_headers", "remove_headers", "set_path", "set_status", "short_circuit"];
const ANSWER_KEYS = ["status", "headers", "body", "body_base64"];

/** `null` means the same as a key that is left out: many JSON writers give every key. */
function given(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function tableOf(what: string, value: unknown, keys?: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what}: found ${excerpt(value)}, wanted an object`);
  }
  const unknownKey = keys === undefined ? undefined : Object.keys(value).find((key) => !keys.includes(key));
  if (unknownKey !== undefined) {
    throw bad(`${what}: found the key ${excerpt(unknownKey)}, wanted ${keys?.join(", ")}`);
  }
  return value as Record<string, unknown>;
}

function headersOf(what: string, value: unknown, stage: Stage): CallResult["setHeaders"] {
  if (!given(value)) return [];
  return Object.entries(tableOf(what, value)).map(([written, found]) => {
    const name = nameOf(what, written);
    const values = typeof found === "string" ? [found] : found;
    if (!Array.isArray(values) || !values.every((entry) => typeof entry === "string")) {
      throw bad(`${what}.${name}: found ${excerpt(found)}, wanted a string or a list of strings`);
    }
    for (const entry of values) {
      if (!isFieldValue(entry)) {
        throw bad(
          `${what}.${name}: found ${
            excerpt(entry)
          }, wanted a header's value: characters up to U+00FF, no control ` +
            "characters, no space at either end",
        );
      }
    }
    if (name === "host" && stage === "request" && !(values.length === 1 && HOST.test(values[0]))) {
      throw bad(`${what}.host: found ${excerpt(found)}, wanted one host with an optional port`);
    }
    return [name, values];
  });
}

/** RFC 3986 sections 3.2.2 and 3.2.3, without what a proxy never sends on: user names, percent signs. */
const HOST = /^(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

function namesOf(value: unknown, stage: Stage): string[] {
  if (!given(value)) return [];
  if (!Array.isArray(value)) throw bad(`remove_headers: found ${excerpt(value)}, wanted a list of names`);
  return value.map((entry) => {
    if (typeof entry !== "string") throw bad(`remove_headers: found ${excerpt(entry)}, wanted a name`);
    const name = nameOf("remove_headers", entry);
    if (name === "host" && stage === "request") throw bad("remove_headers: a request cannot do without host");
    return name;
  });
}

function nameOf(what: string, written: string): string {
  if (!isFieldName(written)) throw bad(`${what}: found ${excerpt(written)}, wanted the name of a header`);
  const name = written.toLowerCase();
  if (isFramingField(name)) throw bad(`${what}: only the proxy itself writes ${name}`);
  return name;
}

function pathOf(value: unknown): string {
  const wanted = 'a path that begins with "/", decoded, without ".." or "." parts and NUL';
  // Other control characters are forwarded encoded, as a client may have sent them.
  const isPath = typeof value === "string" && value.startsWith("/") && !value.includes("\0") &&
    !value.split(/[/\\]/).some((part) => part === "." || part === "..");
  if (!isPath) throw bad(`set_path: found ${excerpt(value)}, wanted ${wanted}`);
  return value;
}

function statusOf(what: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 200 && value <= 599) return value;
  throw bad(`${what}: found ${excerpt(value)}, wanted a whole number from 200 to 599`);
}

/** RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

function answerOf(value: unknown): LocalAnswer {
  const table = tableOf("short_circuit", value, ANSWER_KEYS);
  const status = statusOf("short_circuit.status", table.status);
  const headers: FlatHeaders = [];
  for (const [name, values] of headersOf("short_circuit.headers", table.headers, "response")) {
    for (const entry of values) headers.push(name, entry);
  }
  const body = bodyOf(table);
  if (body !== null && BODILESS.has(status)) {
    throw bad(`short_circuit.body: found a body, wanted none with status ${status}`);
  }
  if (typeof body === "string" && getField(headers, "content-type") === null) {
    headers.push("content-type", "text/plain; charset=utf-8");
  }
  return { status, headers, body };
}

function bodyOf({ body, body_base64: base64 }: Record<string, unknown>): LocalAnswer["body"] {
  if (given(body) && given(base64)) throw bad("short_circuit: wanted body or body_base64, not both");
  if (given(body)) {
    if (typeof body !== "string") throw bad(`short_circuit.body: found ${excerpt(body)}, wanted a string`);
    return body === "" ? null : body.toWellFormed();
  }
  if (!given(base64)) return null;
  const bytes = typeof base64 === "string" ? decoded(base64) : null;
  if (bytes === null) {
    throw bad(`short_circuit.body_base64: found ${excerpt(base64)}, wanted base64 (RFC 4648 section 4)`);
  }
  return bytes.length === 0 ? null : bytes;
}

function decoded(base64: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.fromBase64(base64);
  } catch (fault) {
    if (fault instanceof SyntaxError) return null;
    throw fault;
  }
}

const LONGEST_EXCERPT = 80;

/** A value for a message: short, on one line. */
function excerpt(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > LONGEST_EXCERPT ? `${value.slice(0, LONGEST_EXCERPT)}…` : value);
}

function bad(message: string, cause?: unknown): PluginError {
  return new PluginError("bad_output", message, cause === undefined ? undefined : { cause });
}
