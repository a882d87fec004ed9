/**
 * Writes request heads. Every byte is checked while it is copied, so that nothing that came from a client
 * can end a line or a field and become another field, another request or another body.
 */
import { FIELD_VALUE, quote, REQUEST_TARGET, TOKEN } from "./http1_syntax.ts";
import { UpstreamError, type UpstreamRequest } from "./transport.ts";

/** Bytes that the parts `requestHeadBound` does not add up can take: " HTTP/1.1", framing field, line ends. */
const FIXED_BYTES = 64;

/** An upper bound of the bytes that `writeRequestHead` needs for this request. */
export function requestHeadBound(request: UpstreamRequest): number {
  const { headers } = request;
  let bytes = FIXED_BYTES + request.method.length + request.path.length;
  for (let i = 0; i < headers.length; i += 2) bytes += headers[i].length + headers[i + 1].length + 4;
  return bytes;
}

/**
 * Writes request line, fields and the framing field that `bodyLength` asks for (RFC 9112 sections 3, 5, 6).
 * @param into at least `requestHeadBound` bytes
 * @returns the number of bytes written
 * @throws UpstreamError `bad_request` if a part cannot be written without changing the message's meaning
 */
export function writeRequestHead(request: UpstreamRequest, into: Uint8Array): number {
  const { method, path, headers } = request;
  // A tunnel is not an exchange of messages: the answer to CONNECT has no framing (RFC 9112 section 6.3).
  if (method === "" || method === "CONNECT") refuse(request, "the method", method);
  const firstOfPath = path.charCodeAt(0);
  // Origin form, or asterisk form (RFC 9112 sections 3.2.1 and 3.2.4): never an authority of its own.
  if (firstOfPath !== 0x2f /* / */ && path !== "*") refuse(request, "the target", path);

  let at = put(request, "the method", method, TOKEN, into, 0);
  into[at++] = 0x20;
  at = put(request, "the target", path, REQUEST_TARGET, into, at);
  at = putAscii(" HTTP/1.1\r\n", into, at);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i];
    // Two framings in one message are how requests are smuggled (RFC 9112 section 11.2).
    if (name === "" || isFraming(name)) refuse(request, "a field name", name);
    at = put(request, "a field name", name, TOKEN, into, at);
    into[at++] = 0x3a;
    into[at++] = 0x20;
    at = put(request, "a field value", headers[i + 1], FIELD_VALUE, into, at);
    into[at++] = 0x0d;
    into[at++] = 0x0a;
  }
  const framing = framingField(request);
  if (framing !== "") at = putAscii(framing, into, at);
  into[at++] = 0x0d;
  into[at++] = 0x0a;
  return at;
}

function isFraming(name: string): boolean {
  if (name.length !== 14 && name.length !== 17) return false;
  const lowerCase = name.toLowerCase();
  return lowerCase === "content-length" || lowerCase === "transfer-encoding";
}

function framingField({ method, path, body, bodyLength, target }: UpstreamRequest): string {
  if (bodyLength === null) return body === null ? "" : "transfer-encoding: chunked\r\n";
  if (!Number.isSafeInteger(bodyLength) || bodyLength < 0 || (body === null && bodyLength > 0)) {
    throw new UpstreamError(
      "bad_request",
      `cannot send ${method} ${quote(path)} to target "${target.name}": ` +
        `the body's length is ${bodyLength}${
          body === null ? " without a body" : ""
        }, wanted a whole number of bytes`,
      false,
    );
  }
  return `content-length: ${bodyLength}\r\n`;
}

/** Copies `text` as one byte a UTF-16 unit: fields are byte strings, bytes above 0x7f included. */
function put(
  request: UpstreamRequest,
  part: string,
  text: string,
  allowed: Uint8Array,
  into: Uint8Array,
  at: number,
): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // `undefined` beyond the table: a unit above 255 is no byte.
    if (allowed[unit] !== 1) refuse(request, part, text);
    into[at++] = unit;
  }
  return at;
}

function putAscii(text: string, into: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) into[at++] = text.charCodeAt(i);
  return at;
}

function refuse(request: UpstreamRequest, part: string, value: string): never {
  throw new UpstreamError(
    "bad_request",
    `cannot send ${quote(request.method)} to target "${request.target.name}": ${part} ${quote(value)} ` +
      `cannot stand in an HTTP/1.1 request`,
    false,
  );
}
