/** An upstream that speaks raw bytes over TCP, as well or as badly as a test wants. */
import type { TargetConfig } from "../../src/config/model.ts";
import { bytesOf, textOfBytes } from "./bytes.ts";
import { targetAt } from "./upstream_requests.ts";

/** What one connection of a `ScriptedUpstream` does. `index` counts connections from 0. */
export type Script = (connection: UpstreamSide, index: number) => Promise<void>;

/** The upstream's side of one TCP connection. */
export class UpstreamSide {
  /** Everything that has been read, as latin-1. */
  received = "";
  #unread = "";

  constructor(readonly conn: Deno.Conn) {}

  async send(text: string | Uint8Array): Promise<void> {
    let bytes = typeof text === "string" ? bytesOf(text) : text;
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
    const text = textOfBytes(buffer.subarray(0, bytes));
    this.received += text;
    this.#unread += text;
    return true;
  }
}

/** A TCP server on a free port that runs one script a connection and closes it afterwards. */
export class ScriptedUpstream implements AsyncDisposable {
  readonly port: number;
  connections = 0;
  readonly sides: UpstreamSide[] = [];
  #isClosed = false;
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

  /** Waits for all scripts, also when asked again: close the pool first, so that they see their connections end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) this.#listener.close();
    this.#isClosed = true;
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
