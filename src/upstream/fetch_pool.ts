/**
 * The transport over the runtime's `fetch` and its connection pool: https and HTTP/2 upstreams.
 *
 * What `fetch` does not let a proxy do, and what is done about it here:
 * - It resolves dot segments in the path: not to be helped, use `http1` where that matters.
 * - It adds `accept`, `accept-language`, `accept-encoding` and `user-agent` where the request has none: they
 *   are sent with an empty value instead, which says the same as their absence.
 * - It decodes gzip and br bodies: these two are taken out of `accept-encoding`, and a body that comes encoded
 *   all the same is declared as what it has become.
 * - It sends a body a second time when a pooled connection breaks, but not one that is a stream of our own.
 * - It has no connect time-out of its own: connecting counts into `timeoutMs` (`upstream_timeout`).
 * - It sends `content-length: 0` with a POST that has no body.
 * - It writes other bytes than ASCII in the path as escapes (`%C3%A9`), which say the same.
 * - It writes the methods it knows in capitals, so that `delete` would be another request to the target than
 *   it was to the rules: such a spelling is refused.
 */
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { TargetConfig } from "../config/model.ts";
import {
  isEventStream,
  type Transport,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "./transport.ts";
import { removeHopByHop } from "./hop_by_hop.ts";
import { isShortage } from "./shortage.ts";

export interface FetchPoolOptions {
  /** Idle connections kept for each host; 0: none. */
  poolMaxIdlePerHost: number;
  poolIdleTimeoutMs: number;
  /** PEM certificates trusted beside the system's. */
  caCerts?: string[];
  /** PEM certificate and key shown to targets that ask for one. */
  clientPair?: { cert: string; key: string } | null;
}

/** A body that is declared at most so long is read whole: a stream around it costs more than all the rest. */
const WHOLE_BYTES = 65536;

export class FetchPool implements Transport {
  readonly readsBodyEarly = true;
  readonly #client: Deno.HttpClient;
  #inFlight = 0;
  #closing = false;

  constructor(options: FetchPoolOptions) {
    this.#client = Deno.createHttpClient({
      allowHost: true,
      poolMaxIdlePerHost: options.poolMaxIdlePerHost,
      poolIdleTimeout: options.poolIdleTimeoutMs,
      caCerts: options.caCerts,
      ...options.clientPair,
    });
  }

  async send(request: UpstreamRequest): Promise<UpstreamResponse> {
    this.#inFlight++;
    const exchange = new FetchExchange(request, () => {
      this.#inFlight--;
      if (this.#closing && this.#inFlight === 0) this.#client.close();
    });
    return await exchange.run(this.#client);
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#inFlight === 0) this.#client.close();
  }
}

/** One request and its answer, from `fetch` to the last byte of the body. */
class FetchExchange {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /**
   * Held, not used: `fetch` follows its signal only as long as the Response is in memory. While the body alone
   * was read, the garbage collector took it, and neither time-out nor abort had any effect (Deno 2.6 and 2.9).
   */
  held: Response | null = null;
  #ended = false;
  /** Why the client's body broke off; `fetch` tells of it as of a fault of the upstream. */
  #bodyFault: UpstreamError | null = null;

  constructor(readonly request: UpstreamRequest, readonly onEnd: () => void) {}

  async run(client: Deno.HttpClient): Promise<UpstreamResponse> {
    const { request } = this;
    try {
      if (request.abort.aborted) {
        throw new UpstreamError("client_gone", "the client left before the request was sent", false);
      }
      refuseRespelt(request.method);
      request.abort.onabort = (reason) => this.#controller.abort(reason);
      this.#startTimer("sent no response header");
      const response = await fetch(origin(request.target) + escaped(request.path), {
        client,
        method: request.method,
        headers: requestHeaders(request),
        body: requestBody(request, (fault) => this.#bodyFault = fault),
        redirect: "manual",
        signal: this.#controller.signal,
      });
      this.held = response;
      return await this.#answered(response);
    } catch (fault) {
      this.#end();
      throw this.#bodyFault ?? explain(fault, request);
    }
  }

  async #answered(response: Response): Promise<UpstreamResponse> {
    const { request } = this;
    const { status } = response;
    if (status < 200 || status > 599) {
      this.#controller.abort();
      throw new UpstreamError(
        "bad_response",
        `target ${request.target.name} answered with status ${status}`,
        true,
      );
    }
    // `fetch` takes both: what one reader ends by the length, another ends by the chunks (RFC 9112 section 6.3).
    const coding = response.headers.get("transfer-encoding");
    if (coding !== null && (coding.toLowerCase() !== "chunked" || response.headers.has("content-length"))) {
      this.#controller.abort();
      throw new UpstreamError(
        "bad_response",
        `target ${request.target.name} answered with transfer-encoding ${JSON.stringify(coding)}${
          response.headers.has("content-length") ? " and content-length" : ""
        }`,
        true,
      );
    }
    const bodyless = request.method === "HEAD" || status === 204 || status === 304;
    const headers = responseHeaders(response.headers, bodyless);
    if (response.body === null || bodyless) {
      this.#end();
      return { status, headers, body: null };
    }
    const length = contentLength(headers);
    if (length !== null && length <= WHOLE_BYTES && !isEventStream(headers)) {
      this.#startTimer("sent nothing more of the response body");
      const bytes = new Uint8Array(await response.arrayBuffer());
      this.#end();
      return { status, headers, body: bytes.length === 0 ? null : bytes };
    }
    return { status, headers, body: this.#relay(response.body.getReader(), isEventStream(headers)) };
  }

  /** The body with its bytes reported and its silences bounded; pulled only as fast as it is read. */
  #relay(
    reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
    mayBeSilent: boolean,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { request } = this;
    const { observer } = request;
    let body: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
    let isReading = false;
    const fail = (fault: unknown) => {
      if (this.#ended) return;
      this.#end();
      const error = explain(fault, request);
      body.error(error);
      observer.responseEnded(error);
    };
    request.abort.onabort = (reason) => {
      this.#controller.abort(reason);
      // While nobody reads, nobody is told.
      if (!isReading) fail(reason);
    };
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        body = controller;
      },
      pull: async (controller) => {
        isReading = true;
        observer.responseWanted?.();
        if (mayBeSilent) clearTimeout(this.#timer);
        else this.#startTimer("sent nothing more of the response body");
        try {
          const { done, value } = await reader.read();
          clearTimeout(this.#timer);
          if (done) {
            controller.close();
            this.#end();
            observer.responseEnded(null);
          } else {
            observer.responseBytes(value.length);
            controller.enqueue(value);
          }
        } catch (fault) {
          fail(fault);
        } finally {
          isReading = false;
        }
      },
      cancel: (reason) => {
        if (this.#ended) return;
        this.#end();
        observer.responseEnded(
          new UpstreamError("client_gone", "the client left before the body's end", true),
        );
        this.#controller.abort(reason);
      },
    }, { highWaterMark: 0 });
  }

  #startTimer(what: string): void {
    clearTimeout(this.#timer);
    const { timeoutMs, target } = this.request;
    if (timeoutMs === 0) return;
    this.#timer = setTimeout(() => {
      this.#controller.abort(
        new UpstreamError("upstream_timeout", `target ${target.name} ${what} for ${timeoutMs} ms`, true),
      );
    }, timeoutMs);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.held = null;
    clearTimeout(this.#timer);
    this.request.abort.onabort = null;
    this.onEnd();
  }
}

/** Those that fetch writes in capitals (Fetch standard, "normalize" a method). */
const RESPELT_BY_FETCH = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

function refuseRespelt(method: string): void {
  const respelt = method.toUpperCase();
  if (method === respelt || !RESPELT_BY_FETCH.has(respelt)) return;
  throw new UpstreamError(
    "bad_request",
    `the transport "fetch" cannot send the method ${JSON.stringify(method)}, which is not ${respelt}`,
    false,
  );
}

const NOT_ASCII = /[\x80-\xff]/g;

/** The path is one character a byte; `fetch` would take each for a character and write its UTF-8. */
function escaped(path: string): string {
  return path.replace(NOT_ASCII, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function origin(target: TargetConfig): string {
  const host = target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname;
  return `${target.protocol}://${host}:${target.port}`;
}

/** Fields that `fetch` fills in where they are missing. */
const FILLED_IN_BY_FETCH = ["accept", "accept-language", "accept-encoding", "user-agent"];
/** Content codings that `fetch` decodes. */
const DECODED_BY_FETCH = new Set(["gzip", "x-gzip", "br"]);

function requestHeaders(request: UpstreamRequest): Headers {
  const headers = new Headers();
  for (let i = 0; i < request.headers.length; i += 2) {
    headers.append(request.headers[i], request.headers[i + 1]);
  }
  const accepted = headers.get("accept-encoding");
  if (accepted !== null) headers.set("accept-encoding", withoutDecodedCodings(accepted));
  for (const name of FILLED_IN_BY_FETCH) if (!headers.has(name)) headers.set(name, "");
  return headers;
}

function withoutDecodedCodings(acceptEncoding: string): string {
  const kept = acceptEncoding.split(",").filter((item) => {
    const coding = item.split(";", 1)[0].trim().toLowerCase();
    return coding !== "*" && !DECODED_BY_FETCH.has(coding);
  });
  return kept.map((item) => item.trim()).join(", ");
}

/** The client's body behind a stream of our own, which `fetch` never sends twice. */
function requestBody(
  request: UpstreamRequest,
  onFault: (fault: UpstreamError) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> | SizedBody | null {
  if (request.body === null || request.bodyLength === 0) return null;
  const stream = relayRequestBody(request, request.body, onFault);
  return request.bodyLength === null ? stream : new SizedBody(stream, request.bodyLength);
}

/** A stream of known length: of all the bodies `fetch` takes only a Blob is streamed with a `content-length`. */
class SizedBody extends Blob {
  constructor(readonly source: ReadableStream<Uint8Array<ArrayBuffer>>, readonly length: number) {
    super();
  }

  override get size(): number {
    return this.length;
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.source;
  }
}

function relayRequestBody(
  request: UpstreamRequest,
  body: ReadableStream<Uint8Array>,
  onFault: (fault: UpstreamError) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      request.observer.requestWaiting?.(true);
      let result: ReadableStreamReadResult<Uint8Array>;
      try {
        result = await reader.read();
      } catch (cause) {
        const fault = new UpstreamError("client_gone", "the request body broke off", true, false, { cause });
        onFault(fault);
        throw fault;
      } finally {
        request.observer.requestWaiting?.(false);
      }
      const { done, value } = result;
      if (done) {
        controller.close();
      } else {
        request.observer.requestBytes(value.length);
        // The runtime's body chunks never lie in shared memory.
        controller.enqueue(value as Uint8Array<ArrayBuffer>);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

/** What is left of the field: that of a body which `fetch` has decoded is gone. */
function contentLength(headers: FlatHeaders): number | null {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === "content-length") return Number(headers[i + 1]);
  }
  return null;
}

function responseHeaders(headers: Headers, bodyless: boolean): FlatHeaders {
  const coding = headers.get("content-encoding");
  const decoded = !bodyless && coding !== null && DECODED_BY_FETCH.has(coding.trim().toLowerCase());
  const flat: FlatHeaders = [];
  for (const [name, value] of headers) {
    if (decoded && (name === "content-encoding" || name === "content-length")) continue;
    // The decoded bytes are another representation: a strong validator would lie (RFC 9110 section 8.8.1).
    if (decoded && name === "etag" && value.startsWith('"')) flat.push(name, `W/${value}`);
    else flat.push(name, value);
  }
  return removeHopByHop(flat);
}

/** `fetch` tells its faults apart by their message only, in the error itself or in its causes. */
function explain(fault: unknown, request: UpstreamRequest): UpstreamError {
  if (fault instanceof UpstreamError) return fault;
  const target = `target ${request.target.name} (${request.target.hostname}:${request.target.port})`;
  const options = { cause: fault };
  if (request.abort.aborted) {
    return new UpstreamError(
      "client_gone",
      "the client left before the response was complete",
      true,
      false,
      options,
    );
  }
  const message = messages(fault);
  // The body is locked from the start: what has one cannot be given to another target.
  const touched = request.body !== null;
  const cause = /client error \(\w+\): (.*)$/s.exec(message)?.[1] ?? message;
  if (/certificate|handshake|\btls\b|InvalidContentType/i.test(message)) {
    return new UpstreamError("tls", `TLS with ${target} failed: ${cause}`, touched, false, options);
  }
  if (message.includes("(Connect)") || message.includes("dns error")) {
    return new UpstreamError(
      isShortage(fault) ? "overloaded" : "connect_refused",
      `cannot connect to ${target}: ${cause}`,
      touched,
      false,
      options,
    );
  }
  if (/invalid|parse|unexpected message|too large/i.test(cause)) {
    return new UpstreamError("bad_response", `${target} did not speak HTTP: ${cause}`, true, false, options);
  }
  return new UpstreamError("reset", `${target} closed the connection: ${cause}`, true, false, options);
}

/** The messages of an error and of what caused it. */
function messages(fault: unknown): string {
  const parts: string[] = [];
  for (let error: unknown = fault; error instanceof Error && parts.length < 5; error = error.cause) {
    parts.push(error.message);
  }
  return parts.length === 0 ? String(fault) : parts.join(": ");
}
