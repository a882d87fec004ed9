/**
 * Which header fields end at this hop (RFC 9110 section 7.6.1): the one place that decides it, for requests
 * and responses of both transports.
 */
import type { FlatHeaders } from "../http/flat_headers.ts";

/**
 * Whether a field is about this connection only, whatever `Connection` says. Beside the list of RFC 9110
 * section 7.6.1 these are `trailer` (trailers are not passed on), `http2-settings` (RFC 7540 section 3.2.1)
 * and `proxy-connection` (RFC 9112 appendix C.2.2). `proxy-authenticate` and `proxy-authorization` pass: they
 * speak to whichever proxy of the chain asked, and we do not ask.
 */
export function isHopByHop(name: string): boolean {
  switch (name) {
    case "connection":
    case "keep-alive":
    case "proxy-connection":
    case "te":
    case "trailer":
    case "transfer-encoding":
    case "upgrade":
    case "http2-settings":
      return true;
    default:
      return false;
  }
}

/**
 * Fields that stay although `Connection` names them: without them the message means something else (framing,
 * content), comes from somebody else (identity) or loses a protection. RFC 9110 section 7.6.1 forbids senders
 * to name fields meant for all recipients, but says nothing to a recipient; proxies that obeyed let clients
 * strip what authenticates them (CVE-2022-1388, CVE-2022-31813).
 */
const KEPT = new Set(
  [
    "accept-encoding",
    "age",
    "authorization",
    "cache-control",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "origin",
    "proxy-authorization",
    "range",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "via",
    "www-authenticate",
    "x-api-key",
    "x-content-type-options",
    "x-frame-options",
    "x-real-ip",
    "x-request-id",
  ],
);

function isKept(name: string): boolean {
  return KEPT.has(name) || name.startsWith("x-forwarded-") || name.startsWith("x-dispa-") ||
    name.startsWith("access-control-") || name.startsWith("sec-");
}

/**
 * The field names that a `Connection` value asks to drop, in lower case; null when there are none. The
 * values nearly every message has cost two comparisons.
 */
export function namedByConnection(value: string): string[] | null {
  if (value === "keep-alive" || value === "close") return null;
  let named: string[] | null = null;
  for (const option of value.split(",")) {
    const name = option.trim().toLowerCase();
    if (name === "" || name === "keep-alive" || name === "close" || isHopByHop(name) || isKept(name)) {
      continue;
    }
    (named ??= []).push(name);
  }
  return named;
}

/**
 * Takes the hop-by-hop fields, and those that `Connection` names, out of `headers`.
 * @param headers names in lower case; changed in place
 * @returns the same array
 */
export function removeHopByHop(headers: FlatHeaders): FlatHeaders {
  let named: string[] | null = null;
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i];
    if (isHopByHop(name)) {
      if (name !== "connection") continue;
      const more = namedByConnection(headers[i + 1]);
      if (more !== null) named = named === null ? more : named.concat(more);
      continue;
    }
    if (kept !== i) {
      headers[kept] = name;
      headers[kept + 1] = headers[i + 1];
    }
    kept += 2;
  }
  headers.length = kept;
  return named === null ? headers : removeNamed(headers, named);
}

/** Takes all fields with one of the lower-case `names` out of `headers`, in place, and returns it. */
export function removeNamed(headers: FlatHeaders, names: string[]): FlatHeaders {
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    if (names.includes(headers[i])) continue;
    headers[kept] = headers[i];
    headers[kept + 1] = headers[i + 1];
    kept += 2;
  }
  headers.length = kept;
  return headers;
}
