/** Server-sent events (WHATWG HTML, section 9.2) to clients that may be slow, go away, or never read. */

/** Between two events something is sent, so that proxies keep the connection and a dead client is noticed. */
const HEARTBEAT_MS = 15_000;
/** What a client may be behind; beyond it the oldest events are left out and their number is told. */
const MAX_WAITING_EVENTS = 256;
const MAX_WAITING_CHARACTERS = 1024 * 1024;

export interface EventStreamOptions {
  /** Asked at each heartbeat; the stream ends when it is not any more. */
  allowed: () => boolean;
  /** The stream has ended, whoever ended it; called once. */
  onEnd: () => void;
  heartbeatMs?: number;
}

const encoder = new TextEncoder();

export class EventStream {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #options: EventStreamOptions;
  readonly #heartbeat: ReturnType<typeof setInterval>;
  readonly #waiting: string[] = [];
  #waitingCharacters = 0;
  #lost = 0;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #ended = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.#controller = controller;
        // A first byte, so that the client knows that it is connected before anything happens.
        controller.enqueue(encoder.encode(": connected\n\n"));
      },
      pull: () => this.#pump(),
      cancel: () => this.#end(),
    }, { highWaterMark: 1 });
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs ?? HEARTBEAT_MS);
  }

  /** Never waits: what the client has no time for is left out. */
  send(event: string, data: unknown): void {
    if (this.#ended) return;
    this.#push(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    this.#pump();
  }

  /** Ends the answer; what waits is not sent any more. */
  close(): void {
    if (this.#ended) return;
    this.#end();
    this.#controller.close();
  }

  #push(text: string): void {
    this.#waiting.push(text);
    this.#waitingCharacters += text.length;
    while (
      this.#waiting.length > MAX_WAITING_EVENTS ||
      (this.#waitingCharacters > MAX_WAITING_CHARACTERS && this.#waiting.length > 1)
    ) {
      this.#waitingCharacters -= this.#waiting.shift()!.length;
      this.#lost++;
    }
  }

  #pump(): void {
    while (!this.#ended && (this.#controller.desiredSize ?? 0) > 0) {
      if (this.#lost > 0) {
        const events = this.#lost;
        this.#lost = 0;
        this.#controller.enqueue(encoder.encode(`event: lost\ndata: ${JSON.stringify({ events })}\n\n`));
        continue;
      }
      const text = this.#waiting.shift();
      if (text === undefined) return;
      this.#waitingCharacters -= text.length;
      this.#controller.enqueue(encoder.encode(text));
    }
  }

  #beat(): void {
    if (!this.#options.allowed()) this.close();
    else if (this.#waiting.length === 0) {
      this.#push(": still here\n\n");
      this.#pump();
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#heartbeat);
    this.#waiting.length = 0;
    this.#options.onEnd();
  }
}

/** The streams of one kind. */
export class EventStreams {
  readonly #streams = new Set<EventStream>();
  readonly #max: number;
  readonly #onChange: (listeners: number) => void;

  /** @param onChange called with the number of streams whenever one has been opened or has ended */
  constructor(max: number, onChange: (listeners: number) => void) {
    this.#max = max;
    this.#onChange = onChange;
  }

  /** Null if there are `max` already. */
  open(allowed: () => boolean, onEnd: (stream: EventStream) => void = () => {}): EventStream | null {
    if (this.#streams.size >= this.#max) return null;
    const stream: EventStream = new EventStream({
      allowed,
      onEnd: () => {
        this.#streams.delete(stream);
        onEnd(stream);
        this.#onChange(this.#streams.size);
      },
    });
    this.#streams.add(stream);
    this.#onChange(this.#streams.size);
    return stream;
  }

  send(event: string, data: unknown): void {
    for (const stream of this.#streams) stream.send(event, data);
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.close();
  }
}

export const EVENT_STREAM_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  // nginx holds events back otherwise.
  "x-accel-buffering": "no",
};
