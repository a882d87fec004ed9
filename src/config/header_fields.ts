/**
 * Header fields in settings. The rules are those of `http/flat_headers.ts`, which this folder does not
 * import; a test holds the two together.
 */
import * as z from "zod";
import { list, type Parsed, parsedText } from "./fields.ts";

/** A field to be set. `name` is in lower case. */
export interface HeaderSetting {
  name: string;
  value: string;
}

/** RFC 9110 section 5.6.2: a token. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
/** RFC 9110 section 5.5, without the bytes beyond ASCII: what they mean, each reader guesses. */
const VALUE = /^[\t\x20-\x7e]{0,8192}$/;

/** About this connection, or saying where the body ends: transport and listener write them. */
const WRITTEN_BY_THE_PROXY: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The name of a field that a setting may change, in lower case. */
export function parseHeaderName(text: string): Parsed<string> {
  const name = text.toLowerCase();
  if (!NAME.test(name)) {
    return { ok: false, wanted: "the name of a header: 1 to 256 letters, digits and any of !#$%&'*+-.^_`|~" };
  }
  if (WRITTEN_BY_THE_PROXY.has(name)) {
    return { ok: false, wanted: `another header: only the proxy itself writes ${name}` };
  }
  return { ok: true, value: name };
}

/** As `parseHeaderName`, for requests, whose Host has rules of its own. */
export function parseRequestHeaderName(text: string): Parsed<string> {
  if (text.toLowerCase() === "host") {
    return { ok: false, wanted: "another header: the plugin hostrewrite sets host" };
  }
  return parseHeaderName(text);
}

export function parseHeaderValue(text: string): Parsed<string> {
  if (VALUE.test(text) && text.trim() === text) return { ok: true, value: text };
  return {
    ok: false,
    wanted: "up to 8192 visible ASCII characters, spaces and tabs between them",
  };
}

type NameParser = (text: string) => Parsed<string>;

const MAX_HEADERS = 256;

/** A table of names and values. @returns the fields in the order of the file */
export function headerTable(parseName: NameParser) {
  const name = z.string().superRefine((text, context) => {
    const parsed = parseName(text);
    if (!parsed.ok) context.issues.push({ code: "custom", message: parsed.wanted, input: text });
  });
  const value = parsedText("a header's value in quotes", parseHeaderValue);
  return z.record(name, value, { error: "a table of headers" }).transform((headers, context) => {
    const fields = new Map<string, HeaderSetting>();
    for (const [written, value] of Object.entries(headers)) {
      const name = written.toLowerCase();
      if (fields.has(name)) {
        const message = `each header once: ${name} is there in another spelling`;
        context.issues.push({ code: "custom", message, input: value, path: [written] });
      }
      fields.set(name, { name, value });
    }
    if (fields.size > MAX_HEADERS) {
      context.issues.push({ code: "custom", message: `at most ${MAX_HEADERS} headers`, input: headers });
    }
    return [...fields.values()];
  });
}

/** A list of names. @returns them in lower case */
export function headerNames(parseName: NameParser) {
  return list(parsedText("a header's name in quotes", parseName), MAX_HEADERS, "header names");
}

/** What may stand in a Host field: a name or an address, and perhaps a port. */
export function parseHostField(text: string): Parsed<string> {
  return /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, wanted: "a host name or IP address, perhaps with a port" };
}
