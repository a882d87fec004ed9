/** Names and values of header fields that a configuration may set; the rules are those of `http/flat_headers.ts`. */
import type { Parsed } from "./fields.ts";

/** About the connection, or where a body ends: written by the proxy alone. */
const FRAMING: ReadonlySet<string> = new Set([
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

/** @returns the name in lower case; fields that only the proxy may write are refused */
export function parseFieldName(text: string): Parsed<string> {
  const name = text.toLowerCase();
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/.test(name)) {
    return { ok: false, wanted: "the name of a header field: letters, digits and -" };
  }
  if (FRAMING.has(name)) {
    return { ok: false, wanted: `another header field: ${name} is written by the proxy alone` };
  }
  return { ok: true, value: name };
}

export function parseFieldValue(text: string): Parsed<string> {
  if (text.length > 8192 || text.trim() !== text || !/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) {
    return {
      ok: false,
      wanted:
        "the value of a header field: up to 8192 characters of Latin-1 in one line, no space at either end",
    };
  }
  return { ok: true, value: text };
}

/** What may stand in a Host field: a name or an address, and perhaps a port. */
export function parseHostField(text: string): Parsed<string> {
  return /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, wanted: "a host name or IP address, perhaps with a port" };
}
