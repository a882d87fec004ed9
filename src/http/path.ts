/**
 * The path that rules are matched against (DESIGN 6): dot segments resolved, percent-decoded once, empty
 * segments merged, so that no spelling of a path slips by a rule; and the way back for a path that a rule
 * has rewritten.
 */

/** What makes a path differ from its matching form. Beside these every path is its own. */
const NEEDS_WORK = /%|\/\/|\/\.|\\|[^\x21-\x7e]/;

/** Splits `path?query`. `query` is without its question mark; null where there is none. */
export function splitTarget(target: string): { path: string; query: string | null } {
  const question = target.indexOf("?");
  if (question === -1) return { path: target, query: null };
  return { path: target.slice(0, question), query: target.slice(question + 1) };
}

/**
 * The matching form of a path.
 * @param path as the client wrote it, one character a byte, beginning with `/`; its percent signs are known
 *   to be followed by two hexadecimal digits
 * @returns text, beginning with `/`. Bytes that are no UTF-8 stand in it as lone surrogates (U+DC80 to U+DCFF),
 *   which `encodePath` turns back into these bytes
 */
export function matchingPath(path: string): string {
  if (!NEEDS_WORK.test(path)) return path;
  // Upstreams differ in whether a backslash separates: the stricter reading slips by no rule.
  const parts = decodeBytes(path).replaceAll("\\", "/").split("/");
  const segments: string[] = [];
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part === "..") segments.pop();
    else segments.push(part);
  }
  const last = parts[parts.length - 1];
  const isFolder = last === "" || last === "." || last === "..";
  return segments.length === 0 ? "/" : `/${segments.join("/")}${isFolder ? "/" : ""}`;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeBytes(path: string): string {
  const bytes = new Uint8Array(path.length);
  let length = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === PERCENT) {
      bytes[length++] = parseInt(path.slice(i + 1, i + 3), 16);
      i += 2;
    } else {
      bytes[length++] = code;
    }
  }
  const decoded = bytes.subarray(0, length);
  return utf8Text(decoded) ?? escapedText(decoded);
}

/** Null if the bytes are no UTF-8. */
function utf8Text(bytes: Uint8Array): string | null {
  try {
    return strictUtf8.decode(bytes);
  } catch (fault) {
    if (fault instanceof TypeError) return null;
    throw fault;
  }
}

/** What is UTF-8 as text, each other byte as a lone surrogate (PEP 383). */
function escapedText(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length;) {
    const size = utf8Length(bytes[start]);
    const character = start + size <= bytes.length ? utf8Text(bytes.subarray(start, start + size)) : null;
    text += character ?? String.fromCharCode(ESCAPE + bytes[start]);
    start += character === null ? 1 : size;
  }
  return text;
}

/** Bytes of the character that begins with `lead` (RFC 3629 section 3). */
function utf8Length(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

const ESCAPE = 0xdc00;
const PERCENT = 0x25;

/** RFC 3986 section 3.3: what a path segment may hold as it is, and the slash. */
const ENCODED = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/gu;

/** A path in its matching form as it is sent to an upstream. */
export function encodePath(path: string): string {
  return path.replace(ENCODED, encodeCharacter);
}

function encodeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  if (character.length === 1 && code >= ESCAPE + 0x80 && code <= ESCAPE + 0xff) {
    return `%${(code - ESCAPE).toString(16).toUpperCase()}`;
  }
  // A replacement may have cut a character in two: half of one cannot be encoded.
  return encodeURIComponent(character.toWellFormed());
}

/**
 * Whether `path` is `prefix` or lies below it, by whole segments: `/admin` and `/admin/` hold `/admin` and
 * `/admin/x`, not `/administrator`.
 */
export function isUnder(path: string, prefix: string): boolean {
  const base = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  if (!path.startsWith(base)) return false;
  return path.length === base.length || path.charCodeAt(base.length) === SLASH;
}

const SLASH = 0x2f;
