/**
 * One connection to an upstream and the exchange that is on it.
 *
 * A read is always posted while the connection is idle: so a close by the upstream is noticed at once,
 * bytes nobody asked for are seen for what they are, and the next answer finds its read waiting.
 *
 *     idle ── start ──▶ head ──▶ whole body there ─────────────────────▶ idle | closed
 *                        │ └───▶ gather (small body, not yet whole) ──▶ idle | closed
 *                        │          └── took too long ──▶ stream
 *                        └─────▶ stream (body is read as the reader pulls) ──▶ idle | closed
 */
import { Buffer } from "node:buffer";
import { ChunkedDecoder } from "./http1_chunked.ts";
import { describeTarget, type RawConnection } from "./http1_dial.ts";
import { requestHeadBound, writeRequestHead } from "./http1_request.ts";
import {
  checkHeadBeginning,
  findHeadEnd,
  MAX_HEAD_BYTES,
  MAX_INTERIM_RESPONSES,
  parseResponseHead,
  type ResponseHead,
} from "./http1_response.ts";
import { Http1SyntaxError } from "./http1_syntax.ts";
import { Upload } from "./http1_upload.ts";
import {
  isEventStream,
  UpstreamError,
  type UpstreamErrorCode,
  type UpstreamRequest,
  type UpstreamResponse,
} from "./transport.ts";

/** What an idle connection keeps for reading and for writing; more is given back after the exchange. */
const INPUT_BYTES = 16384;
const OUTPUT_BYTES = 4096;
const MAX_IDLE_OUTPUT_BYTES = 16384;
/** A body that is at most so long is collected and handed over whole: that saves a stream. */
const GATHER_BYTES = 65536;
/** … unless it takes longer than this: then what is there goes on its way. */
const GATHER_MS = 100;
/** A request body that is declared at most so long goes out in one write with its head. */
const BATCH_BYTES = 16384;
/** A request body of unknown length goes out in chunks of at most this, framing included. */
const FRAMED_CHUNK_BYTES = 16384;
/**
 * Reads of a streamed body begin with the smaller buffer; one that fills it makes the next four times as
 * large, one that leaves three quarters empty as small again. With 64 KiB as the largest a 1 MiB answer costs
 * half as much again.
 */
const MIN_CHUNK_BYTES = 16384;
const MAX_CHUNK_BYTES = 262144;
const EMPTY = new Uint8Array(0);
const ENCODER = new TextEncoder();
const LINE_END = ENCODER.encode("\r\n");
/** RFC 9112 section 7.1: the chunk of size 0 and an empty trailer section. */
const LAST_CHUNK = ENCODER.encode("0\r\n\r\n");

/**
 * Frees a chunk's memory now, by detaching it. The garbage collector does not see memory outside its heap as
 * urgent: left to it, 40 to 70 MB of chunks pile up while a large body passes.
 */
function freeChunk(chunk: Uint8Array): void {
  if (chunk.length > 0) (chunk.buffer as ArrayBuffer).transfer(0);
}

/** What a connection tells the pool it belongs to. */
export interface ConnectionOwner {
  /** The clock of time-outs; at most one sweep old. */
  readonly nowMs: number;
  /**
   * The exchange ended cleanly: the connection can carry another one, and may have begun one when this returns.
   * @returns whether the pool keeps it; if not it is to close
   */
  release(connection: Http1Connection): boolean;
  /** The connection is closed for good, and said so once. */
  closed(connection: Http1Connection): void;
  /**
   * The connection, a reused one, broke before it answered, and sending the request again cannot do harm. It
   * has to go out on a fresh one: so it cannot come here twice.
   */
  resend(exchange: Exchange): void;
}

/** One request and who waits for its answer. It survives its connection if it may be sent again. */
export class Exchange {
  readonly upload: Upload | null;
  /** Whether any byte may have reached an upstream. */
  sent = false;
  /** Whether the request has been written to its end. */
  uploaded = false;
  interimResponses = 0;

  constructor(
    readonly request: UpstreamRequest,
    readonly resolve: (response: UpstreamResponse) => void,
    readonly reject: (error: Error) => void,
  ) {
    this.upload = request.body === null ? null : new Upload(request, request.body);
  }

  /** Ends the exchange with an error; the body is given up unless it is still the caller's. */
  fail(error: UpstreamError): void {
    this.request.abort.onabort = null;
    if (!error.sent && this.upload?.touched) {
      const { code, message, reused, cause } = error;
      error = new UpstreamError(code, message, true, reused, { cause });
    }
    if (error.sent) this.upload?.stop(error);
    this.reject(error);
  }

  /** Whether the request may be sent again after its connection broke without a byte of an answer. */
  get mayBeResent(): boolean {
    if (!this.sent) return true;
    return isIdempotent(this.request.method) && !this.upload?.touched;
  }
}

/** RFC 9110 section 9.2.2. */
function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "PUT":
    case "DELETE":
    case "OPTIONS":
    case "TRACE":
      return true;
    default:
      return false;
  }
}

/** A buffer for the request's head and a small body, with the head written into it. */
export interface EncodedRequest {
  output: Uint8Array<ArrayBuffer>;
  headBytes: number;
}

/**
 * Writes the request's head into `output`, or into a larger buffer if it does not fit.
 * @throws UpstreamError `bad_request`
 */
export function encodeRequest(
  request: UpstreamRequest,
  output: Uint8Array<ArrayBuffer> | null,
): EncodedRequest {
  let bytes = requestHeadBound(request);
  const { body, bodyLength } = request;
  if (body !== null && bodyLength !== null && bodyLength <= BATCH_BYTES) bytes += bodyLength;
  if (output === null || output.length < bytes) output = new Uint8Array(Math.max(bytes, OUTPUT_BYTES));
  return { output, headBytes: writeRequestHead(request, output) };
}

/** A buffer for a connection that has no request yet. */
export function newOutput(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(OUTPUT_BYTES);
}

/** The writing side of a body that is handed out as a stream. */
interface StreamedBody {
  controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  /** Its reader gave it up. That can happen inside `enqueue`, after which `close` would throw. */
  cancelled: boolean;
}

export class Http1Connection {
  /** When the pool may no longer use it. Set by the pool, by a clock of its own. */
  expiresAtMs = 0;
  /** What the last response said about that (`Keep-Alive: timeout=`). */
  keepAliveMs: number | null = null;
  output: Uint8Array<ArrayBuffer>;

  readonly #raw: RawConnection;
  readonly #encrypted: boolean;
  readonly #owner: ConnectionOwner;
  #phase: "idle" | "head" | "gather" | "stream" | "closed" = "idle";
  #exchange: Exchange | null = null;
  /** Whether an exchange has ended well on it. */
  #reused = false;
  /** Whether the system has taken a byte of the present request. */
  #wrote = false;
  #headBytes = 0;
  /** When either side last moved, by the owner's clock. */
  #lastActiveMs = 0;

  /** The head so far, and what came with it, are the first `#filled` bytes of `#input`. */
  #input!: Uint8Array<ArrayBuffer>;
  /** The same memory: Buffer decodes latin-1 in 66 ns, TextDecoder in 437, and to windows-1252. */
  #inputText!: Buffer;
  #filled = 0;
  /** So many bytes of `#input` are known not to hold the head's end. */
  #scanned = 0;
  #reading = false;

  /** Of the body: its framing, what it is read into, who reads it. */
  #head: ResponseHead | null = null;
  #remaining = 0;
  #chunked: ChunkedDecoder | null = null;
  #chunk = EMPTY;
  #chunkBytes = MIN_CHUNK_BYTES;
  #gathered = 0;
  #gatherSinceMs = 0;
  #body: StreamedBody | null = null;
  /** Whether the body is one of events, which come when they come. */
  #mayBeSilent = false;

  /**
   * @param raw this connection's from now on
   * @param output buffer that its requests are written into
   */
  constructor(
    raw: RawConnection,
    encrypted: boolean,
    owner: ConnectionOwner,
    output: Uint8Array<ArrayBuffer>,
  ) {
    this.#raw = raw;
    this.#encrypted = encrypted;
    this.#owner = owner;
    this.output = output;
    this.#useInput(INPUT_BYTES);
  }

  /** Sends a request whose head is the first bytes of `output`. The connection must be idle. */
  start(exchange: Exchange, headBytes: number): void {
    this.#exchange = exchange;
    this.#phase = "head";
    this.#wrote = false;
    this.#headBytes = headBytes;
    this.#lastActiveMs = this.#owner.nowMs;
    exchange.request.abort.onabort = this.#onAbort;
    if (exchange.upload === null) {
      exchange.sent = true;
      this.#raw.write(this.output.subarray(0, headBytes)).then(this.#onHeadWritten, this.#onWriteError);
    } else {
      this.#upload(exchange, exchange.upload);
    }
    this.#listen();
  }

  /** Waits for a request, so that the upstream's closing is noticed: for a fresh connection that has none yet. */
  park(): void {
    this.#listen();
  }

  #listen(): void {
    if (!this.#reading) this.#read(this.#input);
  }

  /** Closes the connection, which must not have an exchange. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#raw.close();
    this.#owner.closed(this);
  }

  /**
   * Looks at the exchange's deadlines.
   * @param slackMs by how much the times taken from `owner.nowMs` may be too early
   */
  sweep(nowMs: number, slackMs: number): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (this.#phase === "gather" && nowMs - this.#gatherSinceMs >= GATHER_MS) this.#streamGathered(exchange);
    const { timeoutMs } = exchange.request;
    if (this.#mayBeSilent) return;
    if (timeoutMs === 0 || nowMs - this.#lastActiveMs < timeoutMs + slackMs) return;
    if (this.#phase === "head" && exchange.upload?.waiting) {
      this.#fail(this.#error("client_gone", `got nothing of the request body for ${timeoutMs} ms`));
    } else if (this.#reading) {
      const missing = this.#phase === "head" ? "no response header" : "nothing more of the response body";
      this.#fail(this.#error("upstream_timeout", `sent ${missing} for ${timeoutMs} ms`));
    }
  }

  // ---- the request's way out ----

  #onHeadWritten = (bytes: number): void => {
    this.#wrote = true;
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (bytes === this.#headBytes) exchange.uploaded = true;
    else this.#writeRest(exchange, bytes);
  };

  async #writeRest(exchange: Exchange, from: number): Promise<void> {
    if (await this.#writeAll(this.output.subarray(from, this.#headBytes))) exchange.uploaded = true;
  }

  /**
   * Not the end of the exchange: the upstream may have answered before it closed (RFC 9112 section 9.5), and
   * if it has not, the pending read is about to say so.
   */
  #onWriteError = (): void => {
    // TLS keeps bytes of its own between us and the system: there nobody knows what went out.
    if (this.#exchange !== null && !this.#wrote && !this.#encrypted) this.#exchange.sent = false;
  };

  /** @returns false if the connection takes no more */
  async #writeAll(bytes: Uint8Array): Promise<boolean> {
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(await this.#raw.write(bytes));
      } catch {
        this.#onWriteError();
        return false;
      }
      this.#wrote = true;
      this.#lastActiveMs = this.#owner.nowMs;
    }
    return true;
  }

  /** Sends head and body while the answer may already be arriving. */
  async #upload(exchange: Exchange, upload: Upload): Promise<void> {
    const { bodyLength } = exchange.request;
    const isOver = () => this.#exchange !== exchange || upload.stopped;
    try {
      let bytes = this.#headBytes;
      if (bodyLength !== null && bodyLength <= BATCH_BYTES) {
        // Only peeked at: if the connection is lost meanwhile, a fresh one sends the same chunk.
        const first = await upload.peek();
        if (isOver()) return;
        if (first !== null) {
          this.output.set(first, bytes);
          bytes += first.length;
        }
      }
      exchange.sent = true;
      if (!await this.#writeAll(this.output.subarray(0, bytes)) || isOver()) return;
      if (bytes > this.#headBytes) await upload.next();
      exchange.uploaded = upload.reachedLength;
      const framed = bodyLength === null ? new Uint8Array(FRAMED_CHUNK_BYTES) : null;
      for (;;) {
        const chunk = await upload.next();
        if (isOver()) return upload.stop(new Error("the exchange with the upstream has ended"));
        if (chunk === null) break;
        this.#lastActiveMs = this.#owner.nowMs;
        if (!await (framed === null ? this.#writeAll(chunk) : this.#writeChunk(chunk, framed))) return;
        if (exchange.request.giveChunks) freeChunk(chunk);
        exchange.uploaded = upload.reachedLength;
      }
      if (framed !== null && await this.#writeAll(LAST_CHUNK)) exchange.uploaded = true;
    } catch (error) {
      if (this.#exchange === exchange) this.#fail(this.#asUpstreamError(error));
    }
  }

  /** One piece of a body of unknown length as chunks (RFC 9112 section 7.1), each in one write. */
  async #writeChunk(data: Uint8Array, buffer: Uint8Array): Promise<boolean> {
    const maxBytes = buffer.length - 16;
    for (let from = 0; from < data.length; from += maxBytes) {
      const part = data.subarray(from, from + maxBytes);
      const { written } = ENCODER.encodeInto(part.length.toString(16) + "\r\n", buffer);
      const end = written + part.length;
      buffer.set(part, written);
      buffer.set(LINE_END, end);
      if (!await this.#writeAll(buffer.subarray(0, end + LINE_END.length))) return false;
    }
    return true;
  }

  // ---- the response's way in ----

  #read(into: Uint8Array): void {
    this.#reading = true;
    this.#raw.read(into).then(this.#onRead, this.#onReadError);
  }

  #onRead = (bytes: number | null): void => {
    this.#reading = false;
    if (this.#phase === "closed") return;
    if (bytes === null) {
      this.#onEnd(undefined);
      return;
    }
    const exchange = this.#exchange;
    if (exchange === null) {
      // Bytes that nobody asked for: whatever follows could not be told from an answer.
      this.close();
      return;
    }
    this.#lastActiveMs = this.#owner.nowMs;
    try {
      if (this.#phase === "head") {
        this.#filled += bytes;
        this.#readHead(exchange);
      } else if (this.#phase === "gather") {
        this.#gather(exchange, bytes);
      } else {
        this.#stream(exchange, bytes);
      }
    } catch (error) {
      this.#fail(this.#asUpstreamError(error));
    }
  };

  #onReadError = (cause: unknown): void => {
    this.#reading = false;
    if (this.#phase !== "closed") this.#onEnd(cause);
  };

  /** The upstream closed the connection, or (with a cause) lost it. */
  #onEnd(cause: unknown): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
    } else if (this.#phase === "stream" && this.#head!.framing === "close" && cause === undefined) {
      const { controller } = this.#body!;
      this.#finish(false);
      controller.close();
      exchange.request.observer.responseEnded(null);
    } else {
      const place = this.#phase !== "head"
        ? "in the middle of the response body"
        : this.#filled > 0
        ? "in the middle of the response header"
        : "before it answered";
      this.#fail(this.#error("reset", `closed the connection ${place}`, cause));
    }
  }

  #readHead(exchange: Exchange): void {
    for (;;) {
      const from = Math.max(0, this.#scanned - 3);
      const headEnd = findHeadEnd(this.#input, from, this.#filled);
      if (headEnd === -1) {
        checkHeadBeginning(this.#input, from, this.#filled);
        this.#scanned = this.#filled;
        if (this.#filled === this.#input.length) {
          if (this.#filled >= MAX_HEAD_BYTES) {
            throw new Http1SyntaxError(`a header above ${MAX_HEAD_BYTES} bytes`);
          }
          const soFar = this.#input;
          this.#useInput(soFar.length * 2);
          this.#input.set(soFar);
        }
        this.#read(this.#input.subarray(this.#filled));
        return;
      }
      const text = this.#inputText.toString("latin1", 0, headEnd);
      const head = parseResponseHead(this.#input, headEnd, text, exchange.request.method);
      if (head.status >= 200) return this.#answer(exchange, head, headEnd);
      // RFC 9110 section 15.2: interim responses may be skipped. 101 is one only to who asked for it.
      if (head.status === 101) throw new Http1SyntaxError("a 101 that nobody asked for");
      if (++exchange.interimResponses > MAX_INTERIM_RESPONSES) {
        throw new Http1SyntaxError(`more than ${MAX_INTERIM_RESPONSES} interim responses`);
      }
      this.#input.copyWithin(0, headEnd, this.#filled);
      this.#filled -= headEnd;
      this.#scanned = 0;
    }
  }

  /** The final head is there, and perhaps a part of the body, or all of it, or more. */
  #answer(exchange: Exchange, head: ResponseHead, headEnd: number): void {
    this.keepAliveMs = head.keepAliveMs;
    // RFC 9112 section 9.5: the upstream does not want the rest of a request that it refuses. After other
    // answers the rest may still matter to the one who is answering.
    if (head.status >= 400 && !exchange.uploaded) {
      exchange.upload?.stop(new Error(`the upstream answered ${head.status} before the body's end`));
    }
    const filled = this.#filled;
    switch (head.framing) {
      case "none":
        this.#answerWhole(exchange, head, null, filled - headEnd);
        return;
      case "length": {
        const bodyEnd = headEnd + head.length;
        if (bodyEnd <= filled) {
          this.#answerWhole(exchange, head, this.#input.slice(headEnd, bodyEnd), filled - bodyEnd);
        } else if (head.length <= GATHER_BYTES) {
          this.#head = head;
          this.#phase = "gather";
          this.#gatherSinceMs = this.#owner.nowMs;
          this.#chunk = new Uint8Array(head.length);
          this.#chunk.set(this.#input.subarray(headEnd, filled));
          this.#gathered = filled - headEnd;
          this.#read(this.#chunk.subarray(this.#gathered));
        } else {
          this.#remaining = bodyEnd - filled;
          this.#answerStream(exchange, head, this.#input.slice(headEnd, filled));
        }
        return;
      }
      case "chunked": {
        const decoder = new ChunkedDecoder();
        const payload = this.#input.slice(headEnd, decoder.decode(this.#input, headEnd, filled));
        if (decoder.done) {
          this.#answerWhole(exchange, head, payload.length === 0 ? null : payload, decoder.excessBytes);
        } else {
          this.#chunked = decoder;
          this.#answerStream(exchange, head, payload);
        }
        return;
      }
      case "close":
        this.#answerStream(exchange, head, this.#input.slice(headEnd, filled));
    }
  }

  #answerWhole(
    exchange: Exchange,
    { status, headers, persistent }: ResponseHead,
    body: Uint8Array<ArrayBuffer> | null,
    excessBytes: number,
  ): void {
    this.#finish(persistent && excessBytes === 0);
    exchange.resolve({ status, headers, body });
  }

  #answerStream(exchange: Exchange, head: ResponseHead, first: Uint8Array<ArrayBuffer>): void {
    const { status, headers } = head;
    this.#head = head;
    this.#phase = "stream";
    this.#chunkBytes = MIN_CHUNK_BYTES;
    this.#mayBeSilent = isEventStream(headers);
    const { observer } = exchange.request;
    // The reader can still pull or cancel the last chunks when the connection has its next exchange.
    const isMine = () => this.#exchange === exchange;
    let streamed: StreamedBody;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        streamed = { controller, cancelled: false };
        if (first.length === 0) return;
        observer.responseBytes(first.length);
        controller.enqueue(first);
      },
      pull: () => {
        observer.responseWanted?.();
        if (!isMine() || this.#reading) return;
        // The reader asks again: it is done with the last chunk.
        if (exchange.request.lendChunks) freeChunk(this.#chunk);
        this.#readChunk();
      },
      cancel: () => {
        streamed.cancelled = true;
        if (!isMine()) return;
        const error = this.#error("client_gone", "was left by the reader of the response body");
        this.#finish(false);
        observer.responseEnded(error);
      },
    }, { highWaterMark: 0 });
    this.#body = streamed!;
    exchange.resolve({ status, headers, body });
  }

  #gather(exchange: Exchange, bytes: number): void {
    this.#gathered += bytes;
    const body = this.#chunk;
    if (this.#gathered < body.length) this.#read(body.subarray(this.#gathered));
    else this.#answerWhole(exchange, this.#head!, body, 0);
  }

  /** Hands out what has been gathered; the read that is pending goes on as the stream's first. */
  #streamGathered(exchange: Exchange): void {
    const first = this.#chunk.slice(0, this.#gathered);
    this.#chunk = this.#chunk.subarray(this.#gathered);
    this.#remaining = this.#chunk.length;
    this.#answerStream(exchange, this.#head!, first);
  }

  #readChunk(): void {
    const bytes = this.#head!.framing === "length"
      ? Math.min(this.#chunkBytes, this.#remaining)
      : this.#chunkBytes;
    this.#chunk = new Uint8Array(bytes);
    this.#read(this.#chunk);
  }

  #stream(exchange: Exchange, bytes: number): void {
    const { observer } = exchange.request;
    const body = this.#body!;
    const { framing, persistent } = this.#head!;
    const chunk = this.#chunk;
    if (bytes === chunk.length) this.#chunkBytes = Math.min(this.#chunkBytes * 4, MAX_CHUNK_BYTES);
    else if (bytes * 4 < chunk.length) this.#chunkBytes = Math.max(this.#chunkBytes / 4, MIN_CHUNK_BYTES);
    let end = bytes;
    let isWhole = false;
    let excessBytes = 0;
    if (framing === "length") {
      this.#remaining -= bytes;
      isWhole = this.#remaining === 0;
    } else if (framing === "chunked") {
      const decoder = this.#chunked!;
      end = decoder.decode(chunk, 0, bytes);
      isWhole = decoder.done;
      excessBytes = decoder.excessBytes;
    }
    if (end > 0) observer.responseBytes(end);
    if (isWhole) {
      // First the end of the exchange: `enqueue` may call `pull` and `cancel`, which then do nothing.
      this.#finish(persistent && excessBytes === 0);
      if (end > 0) body.controller.enqueue(chunk.subarray(0, end));
      if (!body.cancelled) body.controller.close();
      observer.responseEnded(null);
    } else if (end > 0) {
      body.controller.enqueue(chunk.subarray(0, end));
    } else {
      this.#readChunk();
    }
  }

  // ---- the exchange's end ----

  /**
   * The response has ended.
   * @param clean whether nothing of it is left on the connection and the upstream keeps that open
   */
  #finish(clean: boolean): void {
    const exchange = this.#detach()!;
    if (!exchange.uploaded) {
      exchange.upload?.stop(new Error("the upstream answered before the body's end"));
    } else if (clean) {
      this.#reused = true;
      this.#phase = "idle";
      this.#filled = 0;
      this.#scanned = 0;
      if (this.#input.length > INPUT_BYTES) this.#useInput(INPUT_BYTES);
      if (this.output.length > MAX_IDLE_OUTPUT_BYTES) this.output = new Uint8Array(OUTPUT_BYTES);
      if (this.#owner.release(this)) {
        this.#listen();
        return;
      }
    }
    this.close();
  }

  #fail(error: UpstreamError): void {
    const noAnswer = this.#phase === "head" && this.#filled === 0;
    const body = this.#body;
    const reused = this.#reused;
    const exchange = this.#detach();
    this.close();
    if (exchange === null) return;
    if (body !== null) {
      exchange.upload?.stop(error);
      body.controller.error(error);
      exchange.request.observer.responseEnded(error);
    } else if (
      error.code === "reset" && reused && noAnswer && exchange.interimResponses === 0 && exchange.mayBeResent
    ) {
      this.#owner.resend(exchange);
    } else {
      exchange.fail(error);
    }
  }

  #detach(): Exchange | null {
    const exchange = this.#exchange;
    if (exchange !== null) exchange.request.abort.onabort = null;
    this.#exchange = null;
    this.#head = null;
    this.#body = null;
    this.#mayBeSilent = false;
    this.#chunked = null;
    this.#chunk = EMPTY;
    return exchange;
  }

  #onAbort = (reason: Error): void => {
    this.#fail(
      reason instanceof UpstreamError
        ? reason
        : this.#error("client_gone", "was given up by the proxy", reason),
    );
  };

  #asUpstreamError(error: unknown): UpstreamError {
    if (error instanceof UpstreamError) return error;
    if (error instanceof Http1SyntaxError) {
      return this.#error("bad_response", `answered with ${error.message}`, error);
    }
    return this.#error("reset", "was lost by a fault", error);
  }

  #error(code: UpstreamErrorCode, what: string, cause?: unknown): UpstreamError {
    const exchange = this.#exchange!;
    const because = code !== "bad_response" && cause instanceof Error ? `: ${cause.message}` : "";
    return new UpstreamError(
      code,
      `${describeTarget(exchange.request.target)} ${what}${because}`,
      exchange.sent,
      this.#reused,
      { cause },
    );
  }

  #useInput(bytes: number): void {
    this.#input = new Uint8Array(bytes);
    this.#inputText = Buffer.from(this.#input.buffer);
  }
}
