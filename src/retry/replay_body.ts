/** A request's body that is kept while it is first sent, so that it can be sent again. */

/** What all bodies that one proxy thread keeps may take together. */
export class ReplayMemory {
  #freeBytes: number;

  constructor(bytes = 32 * 1024 * 1024) {
    this.#freeBytes = bytes;
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** @returns false if there is not so much left */
  take(bytes: number): boolean {
    if (bytes > this.#freeBytes) return false;
    this.#freeBytes -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#freeBytes += bytes;
  }
}

export interface ReplayBodyOptions {
  /** The client's; from now on only the ReplayBody reads it. */
  readonly source: ReadableStream<Uint8Array>;
  /** A longer body is passed on, but not kept. */
  readonly maxBytes: number;
  readonly memory: ReplayMemory;
}

/**
 * Gives each attempt a stream of the whole body: what was kept first, then the rest as it comes from the
 * client. As soon as more than `maxBytes` came, or there is no memory, nothing is kept any more: the stream
 * then goes on to its end, but there can be no other.
 *
 * The chunks belong to the ReplayBody: transports must not be given them (`giveChunks: false`). A transport
 * that cancels its stream leaves the client's alone for as long as the body may be sent again. So every
 * ReplayBody ends with `settle` or `abandon`.
 */
export class ReplayBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #maxBytes: number;
  readonly #memory: ReplayMemory;
  /** From the beginning of the body while it is kept; else only what the current stream has not had yet. */
  #chunks: Uint8Array[] = [];
  /** Index in `#chunks` of what the current stream gets next. */
  #next = 0;
  #isKept = true;
  #keptBytes = 0;
  #readBytes = 0;
  #ended = false;
  #fault: { error: unknown } | null = null;
  /** Stands for the stream that an attempt reads; null: there is none, or it was cancelled. */
  #current: object | null = null;

  constructor({ source, maxBytes, memory }: ReplayBodyOptions) {
    this.#reader = source.getReader();
    this.#maxBytes = maxBytes;
    this.#memory = memory;
  }

  /** Whether `stream` can be called once more. */
  get isReplayable(): boolean {
    return this.#isKept && this.#fault === null;
  }

  /** Bytes that are kept now. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Bytes that came from the client, however often they were sent. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /**
   * The body from its beginning, for one attempt; a stream given before breaks off. It is read from the client
   * only as fast as the stream is read.
   * @throws TypeError if the body is not replayable
   */
  stream(): ReadableStream<Uint8Array> {
    if (!this.isReplayable) throw new TypeError("cannot send the request body again: it was not kept");
    const own = {};
    this.#current = own;
    this.#next = 0;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        while (this.#current === own) {
          const chunk = this.#takeChunk();
          if (chunk !== null) return controller.enqueue(chunk);
          if (this.#fault !== null) throw this.#fault.error;
          if (this.#ended) return controller.close();
          await this.#readMore();
        }
        controller.error(new TypeError("another attempt has taken over the request body"));
      },
      cancel: (reason) => {
        if (this.#current !== own) return undefined;
        this.#current = null;
        return this.#isKept ? undefined : this.#reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }

  /**
   * The current attempt is the last one, and goes on: from now on nothing is kept, and if its stream is
   * cancelled, or has been, so is the client's.
   */
  settle(): void {
    if (this.#isKept) this.#letGo();
    if (this.#current === null) this.#cancelSource(new Error("the request's last attempt has left its body"));
  }

  /** There will be no attempt, and none is under way: the client's stream is cancelled. */
  abandon(reason: Error): void {
    this.#current = null;
    if (this.#isKept) this.#letGo();
    this.#cancelSource(reason);
  }

  #cancelSource(reason: Error): void {
    // A source whose cancel fails has nobody left to tell: the exchange ends either way.
    this.#reader.cancel(reason).catch(() => {});
  }

  #takeChunk(): Uint8Array | null {
    if (this.#next === this.#chunks.length) return null;
    return this.#isKept ? this.#chunks[this.#next++] : this.#chunks.shift()!;
  }

  /** A stream that was left may have a read under way when the next begins: both add in the order of the reads. */
  async #readMore(): Promise<void> {
    try {
      const { done, value } = await this.#reader.read();
      if (done) this.#ended = true;
      else this.#add(value);
    } catch (error) {
      this.#fault = { error };
    }
  }

  #add(chunk: Uint8Array): void {
    this.#readBytes += chunk.length;
    if (this.#isKept) {
      const fits = this.#keptBytes + chunk.length <= this.#maxBytes;
      if (fits && this.#memory.take(chunk.length)) this.#keptBytes += chunk.length;
      else this.#letGo();
    }
    this.#chunks.push(chunk);
  }

  /** Keeps only what the current stream has yet to get. */
  #letGo(): void {
    this.#isKept = false;
    this.#chunks.splice(0, this.#next);
    this.#next = 0;
    this.#memory.giveBack(this.#keptBytes);
    this.#keptBytes = 0;
  }
}
