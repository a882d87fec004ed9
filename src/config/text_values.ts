/** Texts with a form of their own: names, file paths, request paths, database URLs. */
import type { Parsed } from "./fields.ts";

/** A name as it appears in labels and records. */
export function parseName(text: string): Parsed<string> {
  const wanted = "1 to 128 printable characters without space at either end";
  if (text.length === 0 || text.length > 128 || text.trim() !== text) return { ok: false, wanted };
  if (/\p{C}/u.test(text)) return { ok: false, wanted };
  return { ok: true, value: text };
}

/** A path of the file system. `..` is refused: what is written or removed there must not depend on climbing. */
export function parseFilePath(text: string): Parsed<string> {
  const wanted = 'a path of 1 to 4096 characters without ".." parts';
  if (text.trim() === "" || text.length > 4096) return { ok: false, wanted };
  // deno-lint-ignore no-control-regex -- exactly these end a path early or break a log line
  if (/[\u0000-\u001f\u007f]/.test(text)) return { ok: false, wanted };
  if (text.split(/[/\\]/).includes("..")) return { ok: false, wanted };
  return { ok: true, value: text };
}

/** The path of a request, in the form it is sent (RFC 9112 section 3.2.1), a query allowed. */
export function parseRequestPath(text: string): Parsed<string> {
  const wanted =
    'a path of up to 1024 characters that begins with "/", percent-encoded, without ".." parts or "#"';
  if (!/^\/[\x21\x22\x24-\x7e]{0,1023}$/.test(text)) return { ok: false, wanted };
  if (hasDotSegment(text.split("?", 1)[0])) return { ok: false, wanted };
  return { ok: true, value: text };
}

/**
 * The start of request paths in their matching form (`http/path.ts`): plain text, not percent-encoded, so that
 * what is written is what is compared. A slash at its end says nothing and is dropped.
 */
export function parsePathPrefix(text: string): Parsed<string> {
  const wanted = 'a path such as "/admin": it begins with "/", has no empty, "." or ".." parts';
  if (!text.startsWith("/") || text.length > 1024 || !text.isWellFormed()) return { ok: false, wanted };
  const plain = "the characters themselves";
  if (/%[0-9A-Fa-f]{2}/.test(text)) return { ok: false, wanted: `${wanted}, and ${plain}, not %-codes` };
  if (/[?#\\]/.test(text) || /\p{Cc}/u.test(text)) {
    return { ok: false, wanted: `${wanted}, and no query, "#", backslash or control character` };
  }
  const path = text.length > 1 && text.endsWith("/") ? text.slice(0, -1) : text;
  const parts = path.slice(1).split("/");
  if (path !== "/" && parts.some((part) => part === "" || part === "." || part === "..")) {
    return { ok: false, wanted };
  }
  return { ok: true, value: path };
}

/** Whether a URL path has a `.` or `..` segment, spelt plainly or percent-encoded. */
export function hasDotSegment(path: string): boolean {
  return path.split("/").some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment));
}

/** Longest error page, as a file or as text. */
export const MAX_PAGE_BYTES = 65_536;

export function parsePageText(text: string): Parsed<string> {
  const bytes = new TextEncoder().encode(text).length;
  return bytes <= MAX_PAGE_BYTES
    ? { ok: true, value: text }
    : { ok: false, wanted: `at most ${MAX_PAGE_BYTES} bytes` };
}

/** A media type with its parameters (RFC 9110 section 8.3.1), not taken apart. */
export function parseMediaType(text: string): Parsed<string> {
  return /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:[ \t]*;[\x20-\x7e]*)?$/.test(text) && text.length <= 200
    ? { ok: true, value: text }
    : { ok: false, wanted: 'a media type such as "text/html; charset=utf-8"' };
}

export function parseDatabaseUrl(text: string): Parsed<string> {
  const wanted = "sqlite://PATH, sqlite::memory: or postgresql://USER:PASSWORD@HOST:PORT/DATABASE";
  if (text === "sqlite::memory:") return { ok: true, value: text };
  if (text.startsWith("sqlite://")) {
    const path = text.slice("sqlite://".length);
    if (/[?#]/.test(path)) return { ok: false, wanted: 'sqlite://PATH, without "?" or "#"' };
    return parseFilePath(path).ok
      ? { ok: true, value: text }
      : { ok: false, wanted: 'sqlite://PATH with a path without ".." parts' };
  }
  if (!/^postgres(?:ql)?:\/\//.test(text)) return { ok: false, wanted };
  if (!URL.canParse(text)) {
    return { ok: false, wanted: `${wanted}, with special characters of the password percent-encoded` };
  }
  return { ok: true, value: text };
}

export function parseRedisUrl(text: string): Parsed<string> {
  const wanted = "redis://USER:PASSWORD@HOST:PORT/DATABASE or rediss://… for TLS";
  if (!/^rediss?:\/\//.test(text)) return { ok: false, wanted };
  const url = URL.parse(text);
  if (url === null || url.hostname === "" || !isDecodable(url.username) || !isDecodable(url.password)) {
    return { ok: false, wanted: `${wanted}, with special characters of the password percent-encoded` };
  }
  if (!/^(?:\/[0-9]{0,5})?$/.test(url.pathname) || url.search !== "" || url.hash !== "") {
    return { ok: false, wanted: `${wanted}, where DATABASE is a number and nothing follows it` };
  }
  return { ok: true, value: text };
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch (error) {
    if (error instanceof URIError) return false;
    throw error;
  }
}

/** A method (RFC 9110 section 9.1: a token, and case matters). */
export function parseMethod(text: string): Parsed<string> {
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}$/.test(text)) {
    return { ok: false, wanted: 'a method such as "GET", of 1 to 32 characters without spaces' };
  }
  return { ok: true, value: text };
}
