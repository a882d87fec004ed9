/** A target that dies, cutting every connection, and comes back on the same port; some of its paths are faults. */
import { acceptFor } from "../../src/websocket/handshake.ts";
import { Seeded } from "../support/seeded.ts";
import { closeQuietly, fromLatin1, latin1, writeAll } from "../support/upstream.ts";
import { CLOSE, frame, RawSocket, TEXT } from "../support/websocket_frames.ts";
import { eventText, largeBody, receipt, smallBody } from "./contents.ts";
import { isBroken } from "../support/wire.ts";

/** Between two events of a stream. */
const EVENT_MS = 50;
const PIECE_BYTES = 16_384;

interface Received {
  method: string;
  kind: string;
  number: number;
  fields: Map<string, string>;
  body: Uint8Array<ArrayBuffer>;
}

export class FlappingTarget implements AsyncDisposable {
  readonly port: number;
  /** When it was dead, in the time of `performance.now`. */
  readonly deaths: { fromMs: number; toMs: number }[] = [];
  #listener: Deno.TcpListener | null;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #random: Seeded;

  constructor(readonly name: string, seed: number) {
    this.#random = new Seeded(seed);
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#run(this.#serve(this.#listener));
  }

  get isAlive(): boolean {
    return this.#listener !== null;
  }

  /** Open now. */
  get connections(): number {
    return this.#open.size;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  die(): void {
    this.deaths.push({ fromMs: performance.now(), toMs: Infinity });
    this.#listener?.close();
    this.#listener = null;
    for (const socket of this.#open) closeQuietly(socket);
  }

  revive(): void {
    this.deaths.at(-1)!.toMs = performance.now();
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.port });
    this.#run(this.#serve(this.#listener));
  }

  #run(task: Promise<void>): void {
    const running: Promise<void> = task.finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  async #serve(listener: Deno.TcpListener): Promise<void> {
    try {
      for await (const socket of listener) this.#run(this.#connection(socket));
    } catch (fault) {
      if (!isBroken(fault)) throw fault;
    }
  }

  async #connection(socket: Deno.TcpConn): Promise<void> {
    this.#open.add(socket);
    const reader = new RequestReader(socket);
    try {
      for (;;) {
        const request = await reader.request();
        if (request === null || !await this.#answer(socket, request)) return;
      }
    } catch (fault) {
      if (!isBroken(fault)) throw fault;
    } finally {
      this.#open.delete(socket);
      closeQuietly(socket);
    }
  }

  /** @returns whether the connection can go on */
  async #answer(socket: Deno.TcpConn, request: Received): Promise<boolean> {
    const { kind, number, body } = request;
    switch (kind) {
      case "health":
        await this.#whole(socket, fromLatin1("well\n"));
        return true;
      case "small":
      case "slow":
      case "wrong-host":
        await this.#whole(socket, fromLatin1(smallBody(number)));
        return true;
      case "large":
      case "leave":
        await this.#whole(socket, largeBody(number));
        return true;
      case "echo":
        await this.#whole(socket, fromLatin1(receipt(body)));
        return true;
      case "events":
        await this.#events(socket, number);
        return true;
      case "websocket":
        await this.#webSocket(socket, request);
        return false;
      default:
        await this.#fault(socket, kind);
        return false;
    }
  }

  /** With a length or in chunks, by lot. */
  async #whole(socket: Deno.TcpConn, body: Uint8Array): Promise<void> {
    const head = `HTTP/1.1 200 OK\r\nx-target: ${this.name}\r\n`;
    if (this.#random.next() < 0.5) {
      await writeAll(socket, fromLatin1(`${head}content-length: ${body.length}\r\n\r\n`));
      await writeAll(socket, body);
      return;
    }
    await writeAll(socket, fromLatin1(`${head}transfer-encoding: chunked\r\n\r\n`));
    for (let at = 0; at < body.length; at += PIECE_BYTES) {
      await chunk(socket, body.subarray(at, at + PIECE_BYTES));
    }
    await writeAll(socket, fromLatin1("0\r\n\r\n"));
  }

  async #events(socket: Deno.TcpConn, number: number): Promise<void> {
    await writeAll(
      socket,
      fromLatin1(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
      ),
    );
    for (let event = 0; event < eventCount(number); event++) {
      await chunk(socket, fromLatin1(eventText(number, event)));
      await delay(EVENT_MS);
    }
    await writeAll(socket, fromLatin1("0\r\n\r\n"));
  }

  /** Says its name, then echoes. */
  async #webSocket(socket: Deno.TcpConn, { fields }: Received): Promise<void> {
    const accept = await acceptFor(fields.get("sec-websocket-key")!);
    await writeAll(
      socket,
      fromLatin1(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
      ),
    );
    const frames = new RawSocket(socket);
    await frames.send(frame(TEXT, this.name));
    for (let next = await frames.frame(); next !== null; next = await frames.frame()) {
      await frames.send(frame(next.opcode, next.payload));
      if (next.opcode === CLOSE) return;
    }
  }

  async #fault(socket: Deno.TcpConn, kind: string): Promise<void> {
    switch (kind) {
      case "reset":
        return;
      case "reset-in-header":
        return await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ncontent-le"));
      case "cut-length":
        return await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"));
      case "cut-chunks":
        return await writeAll(
          socket,
          fromLatin1("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        );
      case "garbage":
        return await writeAll(socket, fromLatin1("what do you want from me?\r\n\r\n"));
      case "silence":
        await socket.read(new Uint8Array(1));
        return;
      default:
        throw new Error(`no such path: /${kind}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
    await Promise.all(this.#tasks);
  }
}

/** How many events the stream with that number has. */
export function eventCount(number: number): number {
  return 5 + number % 100;
}

async function chunk(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  await writeAll(socket, fromLatin1(`${bytes.length.toString(16)}\r\n`));
  await writeAll(socket, bytes);
  await writeAll(socket, fromLatin1("\r\n"));
}

export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Whole requests from a connection. */
class RequestReader {
  #unread = new Uint8Array(0);

  constructor(readonly socket: Deno.TcpConn) {}

  /** Null when the other side has closed. */
  async request(): Promise<Received | null> {
    let head = "";
    for (;;) {
      const text = latin1(this.#unread.subarray(0, 16_384));
      const end = text.indexOf("\r\n\r\n");
      if (end !== -1) {
        head = text.slice(0, end);
        this.#unread = this.#unread.subarray(end + 4);
        break;
      }
      if (!await this.#more()) return null;
    }
    const [line, ...lines] = head.split("\r\n");
    const [method, target] = line.split(" ");
    const fields = new Map(lines.map((text) => {
      const colon = text.indexOf(":");
      return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
    }));
    const [, kind, number] = /^\/([a-z-]+)(?:\/(\d+))?/.exec(target)!;
    const body = await this.#body(fields);
    return { method, kind, number: Number(number), fields, body };
  }

  async #body(fields: Map<string, string>): Promise<Uint8Array<ArrayBuffer>> {
    if (!fields.get("transfer-encoding")?.includes("chunked")) {
      return await this.#exactly(Number(fields.get("content-length") ?? 0));
    }
    const pieces: Uint8Array[] = [];
    for (;;) {
      const size = parseInt(await this.#line(), 16);
      pieces.push(await this.#exactly(size));
      await this.#line();
      if (size === 0) break;
    }
    const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  async #exactly(count: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#unread.length < count) {
      if (!await this.#more()) throw new Deno.errors.UnexpectedEof("cut body");
    }
    const taken = this.#unread.slice(0, count);
    this.#unread = this.#unread.subarray(count);
    return taken;
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#unread.indexOf(10);
      if (end !== -1) {
        const line = latin1(this.#unread.subarray(0, end - 1));
        this.#unread = this.#unread.subarray(end + 1);
        return line;
      }
      if (!await this.#more()) throw new Deno.errors.UnexpectedEof("cut line");
    }
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(65_536);
    const count = await this.socket.read(buffer);
    if (count === null) return false;
    const unread = new Uint8Array(this.#unread.length + count);
    unread.set(this.#unread);
    unread.set(buffer.subarray(0, count), this.#unread.length);
    this.#unread = unread;
    return true;
  }
}
