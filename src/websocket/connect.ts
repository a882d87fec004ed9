/** Opens the upstream's side of a WebSocket, or brings the answer that the upstream gave instead. */
import { Buffer } from "node:buffer";
import { createDial, describeTarget, type Dial, type RawConnection } from "../upstream/http1_dial.ts";
import { Http1Pool } from "../upstream/http1_pool.ts";
import {
  checkHeadBeginning,
  findHeadEnd,
  MAX_HEAD_BYTES,
  parseResponseHead,
} from "../upstream/http1_response.ts";
import { Http1SyntaxError } from "../upstream/http1_syntax.ts";
import {
  AbortHandle,
  UpstreamError,
  type UpstreamErrorCode,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../upstream/transport.ts";
import {
  acceptFor,
  type Agreement,
  checkAgreement,
  handshakeFields,
  newKey,
  offeredProtocols,
} from "./handshake.ts";
import type { WebSocketLimits } from "./limits.ts";
import { UpstreamSocket } from "./upstream_socket.ts";

/**
 * As for a `Transport`; the method is GET and there is no body. `headers` are the client's end-to-end fields
 * with `sec-websocket-*` among them, which are replaced where they are about one connection only.
 */
export type WebSocketRequest = Omit<UpstreamRequest, "method" | "body" | "bodyLength" | "giveChunks">;

/**
 * Makes a connection of its own to `request.target`, by http or https, and asks it for a WebSocket.
 * @returns the socket, which is the caller's and has to be given to `relay` or dropped; or, if the upstream
 *   did not switch, its ordinary answer, whose body is the caller's as with `Transport.send`
 * @throws UpstreamError as `Transport.send` does; `bad_response` too for a 101 that breaks RFC 6455
 */
export async function connectWebSocket(
  request: WebSocketRequest,
  limits: WebSocketLimits,
  dial: Dial = createDial(),
): Promise<UpstreamSocket | UpstreamResponse> {
  const key = newKey();
  const expected = { accept: await acceptFor(key), offered: offeredProtocols(request.headers) };
  // The pool brings time-outs, errors and bodies of ordinary answers; it is left when a 101 comes.
  const pool = new Http1Pool({
    poolMaxIdlePerHost: 0,
    poolIdleTimeoutMs: 0,
    dial: async (target, signal) => new Diversion(await dial(target, signal), switched.resolve),
  });
  const switched = Promise.withResolvers<Diversion>();
  const abort = new AbortHandle();
  request.abort.onabort = (reason) => abort.abort(reason);
  if (request.abort.aborted) abort.abort(new Error("the request was given up before it was sent"));
  const answer = pool.send({
    ...request,
    method: "GET",
    headers: handshakeFields(request.headers, key),
    body: null,
    bodyLength: null,
    abort,
  });
  try {
    const first = await Promise.race([switched.promise, answer]);
    if (!(first instanceof Diversion)) return first;
    request.abort.onabort = null;
    // The pool loses an exchange, which it says to nobody: the connection goes on without it.
    answer.catch(() => {});
    abort.abort(new Error("the connection has become a WebSocket"));
    return await readSwitch(first, request, expected, limits);
  } finally {
    pool.close();
  }
}

const SWITCHING = "HTTP/1.1 101";

/** A connection that the pool uses until the upstream answers with a 101; then it is no longer the pool's. */
class Diversion implements RawConnection {
  /** What has been read since it was opened, until it is known which way it goes. */
  received: Uint8Array = new Uint8Array(0);
  #way: "unknown" | "pool" | "switched" = "unknown";
  #pendingRead: ((bytes: null) => void) | null = null;

  constructor(readonly conn: RawConnection, readonly onSwitch: (connection: Diversion) => void) {}

  async read(into: Uint8Array): Promise<number | null> {
    const bytes = await this.conn.read(into);
    if (this.#way === "pool" || bytes === null) return bytes;
    this.received = concat(this.received, into.subarray(0, bytes));
    const beginning = String.fromCharCode(...this.received.subarray(0, SWITCHING.length));
    if (beginning === SWITCHING) {
      this.#way = "switched";
      this.onSwitch(this);
      return new Promise((resolve) => this.#pendingRead = resolve);
    }
    if (!SWITCHING.startsWith(beginning)) {
      this.#way = "pool";
      this.received = new Uint8Array(0);
    }
    return bytes;
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.conn.write(bytes);
  }

  /** Called by the pool. */
  close(): void {
    if (this.#way === "switched") this.#pendingRead?.(null);
    else this.conn.close();
  }
}

/** Reads the rest of the 101 and makes the socket. The connection is closed if it throws. */
async function readSwitch(
  { conn, received }: Diversion,
  request: WebSocketRequest,
  expected: { accept: string; offered: string[] },
  limits: WebSocketLimits,
): Promise<UpstreamSocket> {
  const { target, abort, timeoutMs } = request;
  const fail = (code: UpstreamErrorCode, what: string, cause?: unknown) =>
    new UpstreamError(code, `${describeTarget(target)} ${what}`, true, false, { cause });
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => {});
  abort.onabort = (reason) =>
    stopped.reject(
      reason instanceof UpstreamError ? reason : fail("client_gone", "was given up by the proxy", reason),
    );
  const timer = timeoutMs === 0 ? undefined : setTimeout(
    () => stopped.reject(fail("upstream_timeout", `sent no whole response header for ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    if (abort.aborted) throw fail("client_gone", "was given up by the proxy");
    const head = await Promise.race([readHead(conn, received), stopped.promise]);
    const text = Buffer.from(head.bytes.buffer, head.bytes.byteOffset, head.length).toString("latin1");
    const { headers } = parseResponseHead(head.bytes, head.length, text, "GET");
    const agreement: Agreement = checkAgreement(text, headers, expected);
    return new UpstreamSocket(conn, agreement, head.bytes.subarray(head.length), limits);
  } catch (fault) {
    conn.close();
    if (fault instanceof UpstreamError) throw fault;
    if (fault instanceof Http1SyntaxError) {
      throw fail("bad_response", `answered with ${fault.message}`, fault);
    }
    throw fail("reset", "closed the connection in the middle of the response header", fault);
  } finally {
    clearTimeout(timer);
    abort.onabort = null;
  }
}

async function readHead(
  conn: RawConnection,
  bytes: Uint8Array,
): Promise<{ bytes: Uint8Array; length: number }> {
  const more = new Uint8Array(4096);
  for (;;) {
    const length = findHeadEnd(bytes, 0, bytes.length);
    if (length !== -1) return { bytes, length };
    checkHeadBeginning(bytes, 0, bytes.length);
    if (bytes.length > MAX_HEAD_BYTES) {
      throw new Http1SyntaxError(`a response header above ${MAX_HEAD_BYTES} bytes`);
    }
    const count = await conn.read(more);
    if (count === null) throw new Error("the connection ended");
    bytes = concat(bytes, more.subarray(0, count));
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
