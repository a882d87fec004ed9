/**
 * The character classes of HTTP/1.1 messages, as tables over the 256 byte values, so that reading and
 * writing a message check each byte with one load.
 */

function byteTable(allowed: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => allowed(byte) ? 1 : 0);
}

const TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** RFC 9110 section 5.6.2: `tchar`, what methods and field names are made of. */
export const TOKEN = byteTable((byte) => TOKEN_CHARACTERS.includes(String.fromCharCode(byte)));

/**
 * RFC 9110 section 5.5: what may stand in a field value. CR, LF and NUL must be refused; the other control
 * characters may be, and are, because the server side could not send them on.
 */
export const FIELD_VALUE = byteTable((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f));

/**
 * What may stand in a request target: visible ASCII and the bytes above it. RFC 9112 section 3.2 has only
 * ASCII; the bytes above it cannot end the target, and clients do send them.
 */
export const REQUEST_TARGET = byteTable((byte) => byte > 0x20 && byte !== 0x7f);

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** A message that RFC 9112 does not allow; the connection it came from cannot be used any more. */
export class Http1SyntaxError extends Error {
  override name = "Http1SyntaxError";
}

/** Quotes what a peer sent for an error message: control characters escaped, cut at 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? text.slice(0, 80) + "…" : text);
}
