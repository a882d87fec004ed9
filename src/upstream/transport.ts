/**
 * What the proxy asks of an upstream transport. Two stand behind it, `fetch_pool.ts` and `http1_pool.ts`;
 * both pass the suite in `tests/conformance/`.
 */
import type { TargetConfig } from "../config/model.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";

export interface UpstreamRequest {
  target: TargetConfig;
  method: string;
  /** Origin-form target, byte for byte what goes on the request line (RFC 9112 section 3.2.1). */
  path: string;
  /**
   * End-to-end fields, `host` included; no hop-by-hop field and no framing field: `bodyLength` says the
   * framing.
   */
  headers: FlatHeaders;
  /**
   * Null: no body at all (no framing field is sent unless `bodyLength` is 0). The transport reads it to its
   * end or cancels it, with one exception: when `send` rejects with `sent: false` it has not been touched and
   * is still the caller's, who may give it to another target.
   */
  body: ReadableStream<Uint8Array> | null;
  /** Exact length if the client declared one; null with a body: chunked. 0 sends `content-length: 0`. */
  bodyLength: number | null;
  /**
   * Whether the chunks of `body` become the transport's, which may free their memory (detach them) once they
   * are sent. Right for the body of a Deno.serve request as it is; wrong for chunks that somebody keeps.
   * Default: false.
   */
  giveChunks?: boolean;
  /** Aborts the exchange at any stage: the client has left, or the proxy gives up. */
  abort: AbortHandle;
  /**
   * Whether a streamed response body may take the memory of a chunk back when it is asked for the next one;
   * that chunk is then detached (empty). For readers that have passed a chunk on before they ask again, as
   * Deno.serve does with the body of a Response that it is given as it is: a 1 GiB body then needs 1 MB
   * instead of 70, and half the processor. Wrong for readers that collect chunks (`Response.text`) or read
   * ahead (a TransformStream, a ReadableStream with a high-water mark above 0). Default: false.
   */
  lendChunks?: boolean;
  /** Told of body bytes as they pass, so that bodies need no second stream around them to be counted. */
  observer: BodyObserver;
  connectTimeoutMs: number;
  /** Longest wait for the response header, and longest silence inside a body that is no event stream. 0: none. */
  timeoutMs: number;
}

export interface BodyObserver {
  /** The transport waits for more of the request's body, or has stopped waiting: a chunk came, or the end. */
  requestWaiting?(waiting: boolean): void;
  /** Bytes of the request's body were taken from the client. */
  requestBytes(count: number): void;
  /** Bytes of a response body that is a stream were handed to its reader. */
  responseBytes(count: number): void;
  /** The reader of a response body that is a stream has taken what it was handed, and asks for more. */
  responseWanted?(): void;
  /**
   * A response body that is a stream has ended; called exactly once for each, never for other bodies.
   * @param error null if it is whole; else why it was cut (`client_gone` if its reader cancelled it)
   */
  responseEnded(error: UpstreamError | null): void;
}

export interface UpstreamResponse {
  status: number;
  /** End-to-end fields only: hop-by-hop fields, and those `Connection` names, are already gone. */
  headers: FlatHeaders;
  /**
   * A small body that arrived with the header whole; a stream otherwise; null where the message has none
   * (HEAD, 204, 304, zero length). A stream that errors (with an UpstreamError) means the upstream cut the body. The reader owns
   * it: it must be read to its end or cancelled, else its connection stays taken.
   */
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

export interface Transport {
  /** Whether the body of a request is read before there is a connection to send it on. */
  readonly readsBodyEarly: boolean;
  /**
   * Sends one request and resolves with the answer's header, its body perhaps still arriving.
   * @throws UpstreamError for everything that can go wrong before that
   */
  send(request: UpstreamRequest): Promise<UpstreamResponse>;
  /** Closes idle connections now and others when their exchange ends. */
  close(): void;
}

/** Whether the body is one of server-sent events, which may be silent for as long as nothing happens. */
export function isEventStream(headers: FlatHeaders): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === "content-type") return headers[i + 1].toLowerCase().startsWith("text/event-stream");
  }
  return false;
}

/**
 * A cheap stand-in for AbortSignal on the forwarding path: one callback slot, no events. The transport that
 * holds the exchange sets `onabort`; whoever ends the exchange calls `abort`.
 */
export class AbortHandle {
  aborted = false;
  onabort: ((reason: Error) => void) | null = null;

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    const callback = this.onabort;
    this.onabort = null;
    callback?.(reason);
  }
}

/**
 * Where an exchange with an upstream broke. The names are `x-dispa-error` codes (DESIGN 6). `bad_request`:
 * the request cannot be written as one unambiguous message (a line break in a field, a body that is not as
 * long as declared); `client_gone`: the client left, or sent nothing of its body for `timeoutMs`; `overloaded`:
 * this process has no descriptor or memory left for a connection, whatever the target is; `shutting_down`: the
 * proxy ends what is in flight.
 */
export type UpstreamErrorCode =
  | "bad_request"
  | "connect_refused"
  | "connect_timeout"
  | "overloaded"
  | "reset"
  | "bad_response"
  | "tls"
  | "upstream_timeout"
  | "client_gone"
  | "shutting_down";

/**
 * @property sent whether any byte of the request may have reached the upstream, or its body was touched: if
 *   not, sending it again is always safe
 * @property reused whether the connection had served an earlier request, so that the fault may only mean
 *   that the upstream had closed it while it was idle
 */
export class UpstreamError extends Error {
  override name = "UpstreamError";
  constructor(
    readonly code: UpstreamErrorCode,
    message: string,
    readonly sent: boolean,
    readonly reused = false,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
