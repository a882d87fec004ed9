/**
 * From what `Deno.serve` tells of a request to its authority and target. `Deno.serve` gives one string,
 * `scheme://authority` + target, without checking either part (it lets pass a missing Host, one with a path,
 * with userinfo), so the parts are told apart here, once, for every later step.
 */

import { splitTarget } from "../http/path.ts";

/** The parts of a valid Host (RFC 9110 section 7.2) or `:authority`. */
export interface Authority {
  /** As the client wrote it: what is sent on as Host. */
  raw: string;
  /** Lower case, no port, no trailing dot; IPv6 literals keep their brackets. */
  host: string;
}

export interface RequestTarget {
  authority: string;
  /** Origin-form as the client wrote it: path and query. */
  target: string;
}

/** IPv6 literal, or a name of letters, digits, `-`, `_` and dots (RFC 1123, and `_` as it is seen in the wild). */
const AUTHORITY = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}))(?::([0-9]{1,5}))?$/;

/** Null if `raw` is not a valid host with an optional port. */
export function parseAuthority(raw: string): Authority | null {
  const parts = AUTHORITY.exec(raw);
  if (parts === null || (parts[2] !== undefined && Number(parts[2]) > 65535)) return null;
  let host = parts[1].toLowerCase();
  if (host.endsWith(".")) host = host.slice(0, -1);
  if (host === "" || host.includes("..")) return null;
  return { raw, host };
}

/**
 * @param url `Request.url`
 * @param hostField the Host field; null if there is none (HTTP/2 has `:authority` in its place, which then
 *   stands in `url`)
 */
export function splitUrl(url: string, hostField: string | null): RequestTarget {
  const start = url.indexOf("://") + 3;
  // The common case: origin-form, so that `url` begins with the Host field as it was sent.
  if (hostField !== null && url.startsWith(hostField, start)) {
    const end = start + hostField.length;
    const next = url.charCodeAt(end);
    if (next === SLASH) return { authority: hostField, target: url.slice(end) };
  }
  // Absolute-form or HTTP/2: the authority of the target wins over Host (RFC 9112 section 3.2.2).
  let end = start;
  while (end < url.length) {
    const code = url.charCodeAt(end);
    if (code === SLASH || code === QUESTION || code === HASH) break;
    end++;
  }
  const authority = url.slice(start, end);
  const target = url.slice(end);
  return { authority, target: target.startsWith("/") ? target : `/${target}` };
}

const SLASH = 0x2f, QUESTION = 0x3f, HASH = 0x23;

/** Bytes that may not stand in a request target, and the fragment, which is never sent (RFC 9112 section 3.2). */
// deno-lint-ignore no-control-regex
const FORBIDDEN_IN_TARGET = /[\x00-\x20\x7f#]/;
const BAD_PERCENT = /%(?![0-9A-Fa-f]{2})/;
// deno-lint-ignore no-control-regex
const NON_ASCII = /[^\x00-\x7f]/;

/** Why a target cannot be forwarded, or null if it can. */
export function targetProblem(target: string): string | null {
  if (FORBIDDEN_IN_TARGET.test(target)) {
    return "the request target holds a control byte, a space or a fragment";
  }
  const { path } = splitTarget(target);
  if (path.includes("%") && BAD_PERCENT.test(path)) {
    return "the path holds a percent sign without two hexadecimal digits";
  }
  return null;
}

/**
 * The target as one character a byte. `Deno.serve` decodes it as UTF-8; undone here, so that the bytes that
 * reach the upstream are those the client sent.
 */
export function targetBytes(target: string): string {
  if (!NON_ASCII.test(target)) return target;
  let bytes = "";
  for (const byte of new TextEncoder().encode(target)) bytes += String.fromCharCode(byte);
  return bytes;
}
