/** Both messages of the opening handshake with the upstream (RFC 6455 section 4.1). */
import { fieldValues, type FlatHeaders, getField } from "../http/flat_headers.ts";
import { Http1SyntaxError, quote } from "../upstream/http1_syntax.ts";
import { hasToken } from "./upgrade_request.ts";

const PREFIX = "sec-websocket-";
const PROTOCOL = "sec-websocket-protocol";
/** Section 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** A fresh `Sec-WebSocket-Key`. */
export function newKey(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toBase64();
}

/** What the answer to `key` must hold. */
export async function acceptFor(key: string): Promise<string> {
  const bytes = new TextEncoder().encode(key + ACCEPT_SUFFIX);
  return new Uint8Array(await crypto.subtle.digest("SHA-1", bytes)).toBase64();
}

/** The subprotocols a client offers, in its order. */
export function offeredProtocols(headers: FlatHeaders): string[] {
  return fieldValues(headers, PROTOCOL).flatMap((value) => value.split(","))
    .map((token) => token.trim()).filter((token) => token !== "");
}

/**
 * The fields of the upstream request: the client's own, its subprotocols among them, and a handshake of ours
 * in place of its own. Extensions are not asked for: the runtime that speaks with the client knows none.
 */
export function handshakeFields(headers: FlatHeaders, key: string): FlatHeaders {
  const fields: FlatHeaders = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i];
    if (!name.startsWith(PREFIX) || name === PROTOCOL) fields.push(name, headers[i + 1]);
  }
  fields.push("connection", "Upgrade", "upgrade", "websocket");
  fields.push(`${PREFIX}version`, "13", `${PREFIX}key`, key);
  return fields;
}

/** What the upstream agreed to. */
export interface Agreement {
  protocol: string | null;
  /** End-to-end fields of the 101 for the client: cookies and the like, nothing of the handshake. */
  headers: FlatHeaders;
}

/**
 * Checks a 101.
 * @param text the whole head as latin-1: it still has the fields that end at this hop
 * @param headers its end-to-end fields
 * @throws Http1SyntaxError saying what is wrong
 */
export function checkAgreement(
  text: string,
  headers: FlatHeaders,
  expected: { accept: string; offered: string[] },
): Agreement {
  const hop = hopFields(text);
  if (hop.upgrade?.toLowerCase() !== "websocket" || !hasToken(hop.connection, "upgrade")) {
    throw new Http1SyntaxError("a 101 that does not switch to websocket");
  }
  const accept = getField(headers, `${PREFIX}accept`);
  if (accept !== expected.accept) {
    throw new Http1SyntaxError(`sec-websocket-accept ${quote(String(accept))}, wanted "${expected.accept}"`);
  }
  const extensions = getField(headers, `${PREFIX}extensions`);
  if (extensions !== null && extensions !== "") {
    throw new Http1SyntaxError(`sec-websocket-extensions ${quote(extensions)}, none were asked for`);
  }
  const protocols = fieldValues(headers, PROTOCOL);
  const protocol = protocols.length === 0 ? null : protocols.join(", ");
  if (protocol !== null && !expected.offered.includes(protocol)) {
    throw new Http1SyntaxError(`sec-websocket-protocol ${quote(protocol)}, which was not asked for`);
  }
  const rest: FlatHeaders = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i];
    // A 101 has no content (RFC 9110 section 15.2), and the listener writes a date of its own.
    if (name.startsWith(PREFIX) || name === "content-length" || name === "date") continue;
    rest.push(name, headers[i + 1]);
  }
  return { protocol, headers: rest };
}

function hopFields(text: string): { upgrade: string | null; connection: string | null } {
  const upgrade: string[] = [];
  const connection: string[] = [];
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    if (name === "upgrade") upgrade.push(line.slice(colon + 1).trim());
    else if (name === "connection") connection.push(line.slice(colon + 1).trim());
  }
  const joined = (values: string[]) => values.length === 0 ? null : values.join(",");
  return { upgrade: joined(upgrade), connection: joined(connection) };
}
