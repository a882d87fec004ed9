/** A request's body on its way to the upstream. */
import { UpstreamError, type UpstreamRequest } from "./transport.ts";

/**
 * Hands out the body's chunks in order and holds them to the declared length: never a byte more, and an
 * error instead of an end that comes early. Nothing is read before the first `peek` or `next`.
 */
export class Upload {
  /** Whether a read of the client's stream is pending: then the client is the one that is silent. */
  waiting = false;
  stopped = false;
  readonly #request: UpstreamRequest;
  readonly #body: ReadableStream<Uint8Array>;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #peeked: Promise<Uint8Array | null> | null = null;
  #readBytes = 0;

  constructor(request: UpstreamRequest, body: ReadableStream<Uint8Array>) {
    this.#request = request;
    this.#body = body;
  }

  /** Whether the client's stream can no longer be given to somebody else. */
  get touched(): boolean {
    return this.#reader !== null;
  }

  /** Whether as many bytes as declared have been handed out. */
  get reachedLength(): boolean {
    return this.#readBytes === this.#request.bodyLength;
  }

  /** Same as `next`, but the chunk stays the next one. */
  peek(): Promise<Uint8Array | null> {
    return this.#peeked ??= this.#read();
  }

  /**
   * The next chunk, never empty; null at the end, and once `stop` was called.
   * @throws UpstreamError `client_gone` if the stream breaks, `bad_request` if it is not as long as declared
   */
  next(): Promise<Uint8Array | null> {
    const peeked = this.#peeked;
    if (peeked === null) return this.#read();
    this.#peeked = null;
    return peeked;
  }

  /** Gives the rest of the body up. The client's side learns that by the cancellation of its stream. */
  stop(reason: Error): void {
    if (this.stopped) return;
    this.stopped = true;
    // A source whose cancel fails has nobody left to tell: the exchange ends either way.
    (this.#reader ?? this.#body).cancel(reason).catch(() => {});
  }

  async #read(): Promise<Uint8Array | null> {
    const declared = this.#request.bodyLength;
    while (!this.stopped) {
      const reader = this.#reader ??= this.#body.getReader();
      this.waiting = true;
      this.#request.observer.requestWaiting?.(true);
      let chunk: ReadableStreamReadResult<Uint8Array>;
      try {
        chunk = await reader.read();
      } catch (cause) {
        throw this.#error("client_gone", "the request body broke off", cause);
      } finally {
        this.waiting = false;
        this.#request.observer.requestWaiting?.(false);
      }
      if (this.stopped) return null;
      if (chunk.done) {
        if (declared === null || this.#readBytes === declared) return null;
        throw this.#error(
          "bad_request",
          `the request body ended after ${this.#readBytes} of ${declared} bytes`,
        );
      }
      this.#readBytes += chunk.value.length;
      this.#request.observer.requestBytes(chunk.value.length);
      if (declared !== null && this.#readBytes > declared) {
        throw this.#error("bad_request", `the request body is longer than the declared ${declared} bytes`);
      }
      if (chunk.value.length > 0) return chunk.value;
    }
    return null;
  }

  #error(code: "bad_request" | "client_gone", what: string, cause?: unknown): UpstreamError {
    const { method, target } = this.#request;
    return new UpstreamError(code, `${method} to target "${target.name}": ${what}`, true, false, { cause });
  }
}
