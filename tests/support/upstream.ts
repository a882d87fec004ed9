/** Upstream servers for tests: one that records bytes on raw sockets, and helpers to talk raw to the proxy. */

/** One character a byte: what was on the wire, nothing decoded. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}

export function fromLatin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export interface RawRequest {
  /** Request line and header fields as they came, without the empty line. */
  head: string;
  /** Request line. */
  line: string;
  method: string;
  target: string;
  /** Fields in their order, names as they came. */
  fields: [string, string][];
  body: string;
}

/** Value of a field, whatever the case of its name; undefined if absent. */
export function field(request: RawRequest, name: string): string | undefined {
  return request.fields.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

/** What the server does with a request: the bytes of an answer, or full control over the socket. */
export type Reply =
  | string
  | Uint8Array
  | ((socket: Deno.TcpConn, request: RawRequest) => Promise<void> | void);

/** An HTTP/1.1 server on a raw socket: records every request byte for byte, answers with given bytes. */
export class RawUpstream implements AsyncDisposable {
  readonly requests: RawRequest[] = [];
  readonly port: number;
  /** Connections accepted so far, and those open now. */
  accepted = 0;
  readonly open = new Set<Deno.TcpConn>();
  readonly #listener: Deno.TcpListener;
  readonly #serving: Promise<void>;
  readonly #tasks = new Set<Promise<void>>();

  constructor(readonly reply: (request: RawRequest) => Reply, port = 0, hostname = "127.0.0.1") {
    this.#listener = Deno.listen({ hostname, port });
    this.port = this.#listener.addr.port;
    this.#serving = this.#serve();
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async #serve(): Promise<void> {
    for (;;) {
      let socket: Deno.TcpConn;
      try {
        socket = await this.#listener.accept();
      } catch (fault) {
        if (fault instanceof Deno.errors.BadResource || fault instanceof Deno.errors.Interrupted) return;
        throw fault;
      }
      this.accepted++;
      this.open.add(socket);
      const task: Promise<void> = this.#handle(socket).finally(() => {
        this.open.delete(socket);
        this.#tasks.delete(task);
      });
      this.#tasks.add(task);
    }
  }

  async #handle(socket: Deno.TcpConn): Promise<void> {
    const reader = new RawReader(socket);
    try {
      for (;;) {
        const request = await reader.request();
        if (request === null) break;
        this.requests.push(request);
        const reply = this.reply(request);
        if (typeof reply === "function") await reply(socket, request);
        else await writeAll(socket, typeof reply === "string" ? fromLatin1(reply) : reply);
      }
    } catch (fault) {
      // The peer, or the test, has cut the connection: that is what many tests are about.
      if (!isDisconnect(fault)) throw fault;
    } finally {
      closeQuietly(socket);
    }
  }

  /** Closes the listener and every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const socket of this.open) closeQuietly(socket);
    await this.#serving;
    await Promise.all(this.#tasks);
  }
}

/** An answer with a length. */
export function ok(body: string, fields: Record<string, string> = {}): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `HTTP/1.1 200 OK\r\n${lines}content-length: ${body.length}\r\n\r\n${body}`;
}

export async function writeAll(socket: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await socket.write(bytes.subarray(at));
}

function isDisconnect(fault: unknown): boolean {
  return fault instanceof Deno.errors.ConnectionReset || fault instanceof Deno.errors.BrokenPipe ||
    fault instanceof Deno.errors.BadResource || fault instanceof Deno.errors.Interrupted ||
    fault instanceof Deno.errors.UnexpectedEof || fault instanceof Deno.errors.ConnectionAborted ||
    fault instanceof Deno.errors.NotConnected;
}

export function closeQuietly(socket: Deno.Conn): void {
  try {
    socket.close();
  } catch (fault) {
    if (!(fault instanceof Deno.errors.BadResource)) throw fault;
  }
}

/** Reads whole HTTP/1.1 requests from a socket with content-length or chunked bodies. */
class RawReader {
  #buffer = "";

  constructor(readonly socket: Deno.TcpConn) {}

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(65536);
    const count = await this.socket.read(chunk);
    if (count === null) return false;
    this.#buffer += latin1(chunk.subarray(0, count));
    return true;
  }

  async request(): Promise<RawRequest | null> {
    let end: number;
    while ((end = this.#buffer.indexOf("\r\n\r\n")) === -1) if (!await this.#more()) return null;
    const head = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 4);
    const [line, ...rest] = head.split("\r\n");
    const [method, target] = line.split(" ");
    const fields = rest.map((text): [string, string] => {
      const colon = text.indexOf(":");
      return [text.slice(0, colon), text.slice(colon + 1).trim()];
    });
    const request: RawRequest = { head, line, method, target, fields, body: "" };
    const length = field(request, "content-length");
    if (field(request, "transfer-encoding")?.includes("chunked")) request.body = await this.#chunked();
    else if (length !== undefined) request.body = await this.#exactly(Number(length));
    return request;
  }

  async #exactly(length: number): Promise<string> {
    while (this.#buffer.length < length) {
      if (!await this.#more()) throw new Deno.errors.UnexpectedEof("cut body");
    }
    const body = this.#buffer.slice(0, length);
    this.#buffer = this.#buffer.slice(length);
    return body;
  }

  async #line(): Promise<string> {
    let end: number;
    while ((end = this.#buffer.indexOf("\r\n")) === -1) {
      if (!await this.#more()) throw new Deno.errors.UnexpectedEof("cut line");
    }
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 2);
    return line;
  }

  async #chunked(): Promise<string> {
    let body = "";
    for (;;) {
      const size = parseInt(await this.#line(), 16);
      if (size === 0) {
        while (await this.#line() !== "");
        return body;
      }
      body += await this.#exactly(size);
      await this.#line();
    }
  }
}

/** A raw client socket with what has been read from it so far. */
export class RawClient implements Disposable {
  received = "";
  ended = false;

  private constructor(readonly socket: Deno.TcpConn) {}

  static async connect(port: number): Promise<RawClient> {
    return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  async send(text: string): Promise<void> {
    await writeAll(this.socket, fromLatin1(text));
  }

  /** Reads until `received` matches, or the connection ends (`ended`); fails after `timeoutMs`. */
  async readUntil(pattern: RegExp, timeoutMs = 15_000): Promise<string> {
    const timer = setTimeout(() => closeQuietly(this.socket), timeoutMs);
    try {
      while (!pattern.test(this.received) && !this.ended) {
        const chunk = new Uint8Array(65536);
        const count = await this.socket.read(chunk);
        if (count === null) this.ended = true;
        else this.received += latin1(chunk.subarray(0, count));
      }
    } catch (fault) {
      if (fault instanceof Deno.errors.ConnectionReset) this.ended = true;
      else {throw new Error(`waiting for ${pattern}, received ${shown(this.received)}`, {
          cause: fault,
        });}
    } finally {
      clearTimeout(timer);
    }
    return this.received;
  }

  /** Reads to the end of the connection. */
  readToEnd(timeoutMs = 15_000): Promise<string> {
    return this.readUntil(/[^\s\S]/, timeoutMs);
  }

  [Symbol.dispose](): void {
    closeQuietly(this.socket);
  }
}

/** For messages: the end is what tells how far it came. */
function shown(received: string): string {
  return JSON.stringify(received.length <= 2000 ? received : `…${received.slice(-2000)}`) +
    ` (${received.length} bytes)`;
}

/** Sends bytes on a fresh connection and returns all that comes back until it is closed. */
export async function exchange(port: number, text: string): Promise<string> {
  using client = await RawClient.connect(port);
  await client.send(text);
  return await client.readToEnd();
}
