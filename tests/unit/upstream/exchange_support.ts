/** Requests, outcomes and upstreams for the tests of the http1 transport. */
import type { TargetConfig } from "../../../src/config/model.ts";
import type { RawConnection } from "../../../src/upstream/http1_dial.ts";
import {
  AbortHandle,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../../../src/upstream/transport.ts";

export function targetAt(port: number, more: Partial<TargetConfig> = {}): TargetConfig {
  return {
    name: "backend",
    url: `http://127.0.0.1:${port}`,
    protocol: "http",
    hostname: "127.0.0.1",
    port,
    basePath: "",
    weight: 1,
    timeoutMs: null,
    ...more,
  };
}

export function requestTo(target: TargetConfig, more: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    target,
    method: "GET",
    path: "/",
    headers: ["host", "example.com"],
    body: null,
    bodyLength: null,
    abort: new AbortHandle(),
    observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
    connectTimeoutMs: 5000,
    timeoutMs: 5000,
    ...more,
  };
}

/** A POST whose whole body is there at once. */
export function postTo(
  target: TargetConfig,
  body: string,
  more: Partial<UpstreamRequest> = {},
): UpstreamRequest {
  return requestTo(target, { method: "POST", body: streamOf(body), bodyLength: body.length, ...more });
}

export function streamOf(...chunks: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks.map(latin1));
}

/** One byte a UTF-16 unit. */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The body as latin-1 text, read to its end; "" for none. */
export async function textOf({ body }: UpstreamResponse): Promise<string> {
  if (body === null) return "";
  if (body instanceof Uint8Array) return fromLatin1(body);
  let text = "";
  for await (const chunk of body) text += fromLatin1(chunk);
  return text;
}

/** The error of something that must fail with an UpstreamError. */
export async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof UpstreamError) return error;
    throw error;
  }
  throw new Error(`wanted an UpstreamError, got ${Deno.inspect(value)}`);
}

/** Resolves when `condition` holds, which is looked at after each turn of the event loop; fails after 10 s. */
export async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`waited 10 s in vain for ${condition}`);
    await nextTurn();
  }
}

/** Lets everything that is ready run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** An upstream in memory: the far end of a connection that a `dial` option returns. */
export class MemoryConnection implements RawConnection {
  written = "";
  closed = false;
  /** Reads that were asked for, pending one included. */
  reads = 0;
  /** Resolves when the first byte of a request has been written. */
  readonly requested: Promise<void>;
  #requestSeen!: () => void;
  #incoming: (Uint8Array | null)[] = [];
  #pending: { into: Uint8Array; resolve(bytes: number | null): void; reject(error: Error): void } | null =
    null;

  constructor() {
    this.requested = new Promise((resolve) => this.#requestSeen = resolve);
  }

  /** Makes bytes arrive; a string is latin-1. Each call is at least one read of its own. */
  push(piece: Uint8Array | string): void {
    const bytes = typeof piece === "string" ? latin1(piece) : piece;
    if (bytes.length === 0) return;
    this.#incoming.push(bytes);
    this.#deliver();
  }

  /** The upstream ends its side. */
  end(): void {
    this.#incoming.push(null);
    this.#deliver();
  }

  /** The connection is lost; a read must be pending. */
  reset(): void {
    this.#pending!.reject(new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"));
    this.#pending = null;
  }

  get undelivered(): number {
    return this.#incoming.length;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.#pending !== null) throw new Error("two reads at once");
    if (into.length === 0) throw new Error("read into nothing");
    this.reads++;
    return new Promise((resolve, reject) => {
      this.#pending = { into, resolve, reject };
      this.#deliver();
    });
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.closed) return Promise.reject(new Deno.errors.BadResource("Bad resource ID"));
    this.written += fromLatin1(bytes);
    const written = Promise.resolve(bytes.length);
    // As over a network, the answer cannot be there before the write has returned.
    written.then(() => {}).then(this.#requestSeen);
    return written;
  }

  close(): void {
    if (this.closed) throw new Error("closed twice");
    this.closed = true;
    this.#pending?.reject(new Deno.errors.Interrupted("operation canceled"));
    this.#pending = null;
  }

  #deliver(): void {
    if (this.#pending === null || this.#incoming.length === 0) return;
    const { into, resolve } = this.#pending;
    const piece = this.#incoming[0];
    this.#pending = null;
    if (piece === null) {
      resolve(null);
      return;
    }
    const bytes = Math.min(piece.length, into.length);
    into.set(piece.subarray(0, bytes));
    if (bytes === piece.length) this.#incoming.shift();
    else this.#incoming[0] = piece.subarray(bytes);
    resolve(bytes);
  }
}

/** What one connection of a `RawUpstream` does. `index` counts connections from 0. */
export type Script = (connection: UpstreamSide, index: number) => Promise<void>;

/** The upstream's side of one TCP connection. */
export class UpstreamSide {
  /** Everything that has been read, as latin-1. */
  received = "";
  #unread = "";

  constructor(readonly conn: Deno.Conn) {}

  async send(text: string | Uint8Array): Promise<void> {
    let bytes = typeof text === "string" ? latin1(text) : text;
    while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
  }

  /** The next request's head; null if the proxy closed instead. */
  readHead(): Promise<string | null> {
    return this.readTo("\r\n\r\n");
  }

  /** Reads up to and including `mark`; null if the proxy closed before. */
  async readTo(mark: string): Promise<string | null> {
    for (;;) {
      const at = this.#unread.indexOf(mark);
      if (at !== -1) return this.#take(at + mark.length);
      if (!await this.#more()) return null;
    }
  }

  async readBytes(count: number): Promise<string | null> {
    while (this.#unread.length < count) if (!await this.#more()) return null;
    return this.#take(count);
  }

  /** Resolves when the proxy has closed, cleanly or not. */
  async closed(): Promise<void> {
    while (await this.#more());
  }

  #take(count: number): string {
    const text = this.#unread.slice(0, count);
    this.#unread = this.#unread.slice(count);
    return text;
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(65536);
    let bytes: number | null;
    try {
      bytes = await this.conn.read(buffer);
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return false;
      throw error;
    }
    if (bytes === null) return false;
    const text = fromLatin1(buffer.subarray(0, bytes));
    this.received += text;
    this.#unread += text;
    return true;
  }
}

/** A TCP server on a free port that runs one script a connection and closes it afterwards. */
export class RawUpstream implements AsyncDisposable {
  readonly port: number;
  connections = 0;
  readonly sides: UpstreamSide[] = [];
  readonly #listener: Deno.Listener;
  readonly #running: Promise<void>[] = [];
  readonly #serving: Promise<void>;

  constructor(script: Script, listener: Deno.Listener = Deno.listen({ hostname: "127.0.0.1", port: 0 })) {
    this.#listener = listener;
    this.port = (listener.addr as Deno.NetAddr).port;
    this.#serving = this.#serve(script);
  }

  get target(): TargetConfig {
    return targetAt(this.port);
  }

  async #serve(script: Script): Promise<void> {
    for await (const conn of this.#listener) {
      const side = new UpstreamSide(conn);
      this.sides.push(side);
      this.#running.push(
        script(side, this.connections++).finally(() => conn.close()),
      );
    }
  }

  /** Waits for all scripts: close the pool first, so that they see their connections end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    await Promise.all(this.#running);
  }
}

/** Answers every request head on a connection with `answer` until the proxy closes it. */
export function answering(answer: string): Script {
  return async (side) => {
    while (await side.readHead() !== null) await side.send(answer);
  };
}
