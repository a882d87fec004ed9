/**
 * Reads response heads (RFC 9112 sections 4 to 6 and 9). Strict on purpose: what two readers could
 * understand differently is refused, since it ends in two different messages on one connection.
 */
import { isHopByHop, namedByConnection, removeNamed } from "./hop_by_hop.ts";
import { COLON, CR, FIELD_VALUE, Http1SyntaxError, LF, quote, SPACE, TAB, TOKEN } from "./http1_syntax.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";

/** Larger heads are refused. nginx takes 4 to 8 kB by default, HAProxy 16 kB, Node 16 kB. */
export const MAX_HEAD_BYTES = 65536;
/** More fields than this are refused; Apache takes 100, HAProxy 101. */
export const MAX_FIELDS = 500;
/** More interim responses than this before the final one are refused. */
export const MAX_INTERIM_RESPONSES = 50;

export interface ResponseHead {
  status: number;
  /** As in `UpstreamResponse`. */
  headers: FlatHeaders;
  /** Where the body ends (RFC 9112 section 6.3): nowhere, after `length` bytes, by chunks, with the connection. */
  framing: "none" | "length" | "chunked" | "close";
  /** Of the body, in bytes, if `framing` is "length" (then above 0); else 0. */
  length: number;
  /** Whether the connection may carry another exchange after this one (RFC 9112 section 9.3). */
  persistent: boolean;
  /** The upstream closes the connection when it has been idle for so long; null if it does not say. */
  keepAliveMs: number | null;
}

/**
 * Index after the empty line that ends a head; -1 if it is not in `bytes` between `from` and `to`.
 * Looks at every fourth byte only, as long as that is not part of a line end.
 */
export function findHeadEnd(bytes: Uint8Array, from: number, to: number): number {
  for (let i = from + 3; i < to;) {
    const byte = bytes[i];
    if (byte > CR) {
      i += 4;
    } else if (byte === LF) {
      if (bytes[i - 1] === CR && bytes[i - 2] === LF && bytes[i - 3] === CR) return i + 1;
      i += 2;
    } else {
      i += byte === CR ? 1 : 4;
    }
  }
  return -1;
}

/**
 * Throws if the bytes so far, of which those from `from` are new, cannot become a head: so that a peer that
 * speaks something else (TLS, HTTP/2, lines that end in a bare LF) is told apart from one that is slow.
 */
export function checkHeadBeginning(bytes: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to && i < 7; i++) {
    if (bytes[i] !== "HTTP/1.".charCodeAt(i)) throw badStatusLine(bytes, to);
  }
  for (let i = from; i < to; i++) {
    if (bytes[i] === 0) throw new Http1SyntaxError("NUL in the header");
    if (bytes[i] === LF && bytes[i - 1] !== CR) throw new Http1SyntaxError("a header line ends in a bare LF");
  }
}

/**
 * Reads one head.
 * @param bytes holds the head in its first `length` bytes, the empty line included
 * @param text the same bytes decoded as latin-1
 * @param method of the request that is answered
 * @throws Http1SyntaxError
 */
export function parseResponseHead(
  bytes: Uint8Array,
  length: number,
  text: string,
  method: string,
): ResponseHead {
  const end = length - 2;
  // RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]. The reason is not read; a missing
  // space before an empty one is tolerated, as all clients do.
  const minor = bytes[7] - 0x30;
  const status = (bytes[9] - 0x30) * 100 + (bytes[10] - 0x30) * 10 + (bytes[11] - 0x30);
  let at = 12;
  if (
    !text.startsWith("HTTP/1.") || (minor !== 0 && minor !== 1) || bytes[8] !== SPACE || !isDigit(bytes[9]) ||
    !isDigit(bytes[10]) || !isDigit(bytes[11]) || (bytes[12] !== SPACE && bytes[12] !== CR) ||
    status < 100 || status > 599
  ) throw badStatusLine(bytes, length);
  while (FIELD_VALUE[bytes[at]] === 1) at++;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) throw badStatusLine(bytes, length);
  at += 2;

  // Names are compared and passed on in lower case: lowering the whole block at once is cheaper than each.
  const lowerCase = text.toLowerCase();
  const headers: FlatHeaders = [];
  let fields = 0;
  let contentLength = -1;
  let chunked = false;
  let persistent = minor === 1;
  let keepAliveMs: number | null = null;
  let named: string[] | null = null;
  while (at < end) {
    if (++fields > MAX_FIELDS) throw new Http1SyntaxError(`more than ${MAX_FIELDS} header fields`);
    const nameStart = at;
    while (TOKEN[bytes[at]] === 1) at++;
    // Also refuses a space before the colon (RFC 9112 section 5.1) and obs-fold (section 5.2).
    if (bytes[at] !== COLON || at === nameStart) throw badField(text, nameStart);
    const name = lowerCase.slice(nameStart, at++);
    while (bytes[at] === SPACE || bytes[at] === TAB) at++;
    const valueStart = at;
    while (FIELD_VALUE[bytes[at]] === 1) at++;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) throw badField(text, nameStart);
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) {
      valueEnd--;
    }
    const value = text.slice(valueStart, valueEnd);
    at += 2;

    if (isHopByHop(name)) {
      if (name === "connection") {
        const options = value.toLowerCase();
        if (hasOption(options, "close")) persistent = false;
        const more = namedByConnection(options);
        if (more !== null) named = named === null ? more : named.concat(more);
      } else if (name === "transfer-encoding") {
        // RFC 9112 sections 6.1 and 7: other codings would have to be undone, and one that is not a
        // client's to know (`xchunked`, `chunked, chunked`) is how responses are split.
        if (chunked || value.toLowerCase() !== "chunked") {
          throw new Http1SyntaxError(`transfer-encoding ${quote(value)}, wanted one "chunked"`);
        }
        chunked = true;
      } else if (name === "keep-alive") {
        keepAliveMs = keepAliveTimeoutMs(value);
      }
      continue;
    }
    if (name === "content-length") {
      // RFC 9112 section 6.3: copies of one number may be taken as one, anything else is an error.
      const first = contentLength === -1;
      contentLength = parseContentLength(value, contentLength);
      if (first) headers.push(name, value.includes(",") ? String(contentLength) : value);
      continue;
    }
    headers.push(name, value);
  }
  if (chunked && contentLength !== -1) {
    throw new Http1SyntaxError("both content-length and transfer-encoding");
  }
  // RFC 9112 section 6.1: HTTP/1.0 has no transfer codings; such a message's framing is faulty.
  if (chunked && minor === 0) throw new Http1SyntaxError("transfer-encoding in an HTTP/1.0 response");
  if (named !== null) removeNamed(headers, named);

  const head: ResponseHead = {
    status,
    headers,
    framing: "none",
    length: 0,
    persistent,
    keepAliveMs,
  };
  // RFC 9112 section 6.3, in its order: bodiless by method or status, whatever the fields say.
  if (method === "HEAD" || status < 200 || status === 304) return head;
  if (status === 204) {
    // RFC 9110 section 8.6: no content-length in a 204, not even one that is true.
    if (contentLength !== -1) removeNamed(headers, ["content-length"]);
    return head;
  }
  if (status === 205) {
    // RFC 9110 section 15.3.6: no content either, but framed like others: never read on behind one.
    if (contentLength !== 0) head.persistent = false;
    return head;
  }
  if (chunked) {
    head.framing = "chunked";
  } else if (contentLength === -1) {
    head.framing = "close";
    head.persistent = false;
  } else if (contentLength > 0) {
    head.framing = "length";
    head.length = contentLength;
  }
  return head;
}

/**
 * RFC 9110 section 8.6: 1*DIGIT. A list of copies (`5, 5`) is one number; `+5`, `0x5`, `5;` and what a
 * double cannot hold exactly are refused.
 * @param seen the number of an earlier field, -1 if there was none
 */
function parseContentLength(value: string, seen: number): number {
  for (const part of value.includes(",") ? value.split(",") : [value]) {
    const digits = part.trim();
    const number = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : NaN;
    if (!Number.isSafeInteger(number)) throw new Http1SyntaxError(`content-length ${quote(value)}`);
    if (seen !== -1 && seen !== number) {
      throw new Http1SyntaxError(`content-length ${number} after content-length ${seen}`);
    }
    seen = number;
  }
  return seen;
}

function hasOption(list: string, option: string): boolean {
  return list === option || (list.includes(option) && list.split(",").some((part) => part.trim() === option));
}

/** RFC 9112 appendix C.2.2 leaves `Keep-Alive` to its old draft: `timeout=SECONDS`. */
function keepAliveTimeoutMs(value: string): number | null {
  const seconds = /(?:^|[,;\s])timeout=(\d{1,9})(?:$|[,;\s])/i.exec(value);
  return seconds === null ? null : Number(seconds[1]) * 1000;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function badStatusLine(bytes: Uint8Array, length: number): Http1SyntaxError {
  const line = String.fromCharCode(...bytes.subarray(0, Math.min(length, 80))).split("\r\n", 1)[0];
  return new Http1SyntaxError(`status line ${quote(line)}, wanted "HTTP/1.1" and a status from 100 to 599`);
}

function badField(text: string, start: number): Http1SyntaxError {
  return new Http1SyntaxError(`header line ${quote(text.slice(start).split("\r\n", 1)[0])}`);
}
