/** A client's side of one HTTP/1.1 connection, written by hand so that it sees what is on the wire and nothing else. */
import { closeQuietly, fromLatin1, latin1, writeAll } from "./upstream.ts";

export interface Head {
  status: number;
  /** Lower-case names. */
  fields: Map<string, string>;
}

export interface Answer extends Head {
  body: Uint8Array<ArrayBuffer>;
  /** Whether the body came to the end that its framing promises. */
  isWhole: boolean;
  /** Whether the server ends the connection after it. */
  closes: boolean;
}

/** The connection ended, or broke, before the first byte of an answer. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
}

export interface ReadOptions {
  /** Called with each piece of the body; a promise holds the reading back. */
  onBody?: (piece: Uint8Array<ArrayBuffer>) => void | Promise<void>;
}

export class Wire implements Disposable {
  #unread: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timedOut = false;
  #broken: unknown = null;

  private constructor(readonly socket: Deno.TcpConn) {}

  /** @param timeoutMs after which the connection is given up, whatever happens on it */
  static async connect(port: number, timeoutMs = 60_000): Promise<Wire> {
    const wire = new Wire(await Deno.connect({ hostname: "127.0.0.1", port }));
    wire.extend(timeoutMs);
    return wire;
  }

  extend(timeoutMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timedOut = true;
      closeQuietly(this.socket);
    }, timeoutMs);
  }

  async send(text: string | Uint8Array): Promise<void> {
    try {
      await writeAll(this.socket, typeof text === "string" ? fromLatin1(text) : text);
    } catch (fault) {
      // What the server had to say may be there nevertheless: reading tells.
      if (!isBroken(fault)) throw fault;
    }
  }

  /** What has come and nobody has taken. */
  get unread(): Uint8Array {
    return this.#unread;
  }

  /** @throws NoAnswer */
  async head(): Promise<Head> {
    let end: number;
    while ((end = this.#find("\r\n\r\n")) === -1) {
      if (!await this.#more()) {
        if (this.#unread.length === 0) throw new NoAnswer(this.#why());
        throw new Error(`the connection ended within a header: ${JSON.stringify(latin1(this.#unread))}`);
      }
    }
    const [line, ...lines] = latin1(this.#take(end)).split("\r\n");
    this.#take(4);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    if (Number.isNaN(status)) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    const fields = new Map(lines.map((text) => {
      const colon = text.indexOf(":");
      return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
    }));
    return { status, fields };
  }

  /** @throws NoAnswer */
  async answer({ onBody }: ReadOptions = {}): Promise<Answer> {
    const { status, fields } = await this.head();
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const take = async (piece: Uint8Array<ArrayBuffer>) => {
      pieces.push(piece);
      await onBody?.(piece);
    };
    const chunked = fields.get("transfer-encoding") === "chunked";
    const length = fields.get("content-length");
    if (!chunked && length === undefined) throw new Error(`an answer ${status} without framing`);
    const isWhole = chunked ? await this.#chunked(take) : await this.#exactly(Number(length), take);
    return { status, fields, body: joined(pieces), isWhole, closes: fields.get("connection") === "close" };
  }

  async #exactly(
    count: number,
    take: (piece: Uint8Array<ArrayBuffer>) => Promise<void>,
  ): Promise<boolean> {
    while (count > 0) {
      if (this.#unread.length === 0 && !await this.#more()) return false;
      const piece = this.#take(Math.min(count, this.#unread.length));
      count -= piece.length;
      await take(piece);
    }
    return true;
  }

  async #chunked(take: (piece: Uint8Array<ArrayBuffer>) => Promise<void>): Promise<boolean> {
    for (;;) {
      const line = await this.#line();
      if (line === null) return false;
      const size = parseInt(line, 16);
      if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`not the size of a chunk: ${JSON.stringify(line)}`);
      if (size > 0 && !await this.#exactly(size, take)) return false;
      if (await this.#line() !== "") return false;
      if (size === 0) return true;
    }
  }

  async #line(): Promise<string | null> {
    let end: number;
    while ((end = this.#find("\r\n")) === -1) if (!await this.#more()) return null;
    const line = latin1(this.#take(end));
    this.#take(2);
    return line;
  }

  #find(mark: string): number {
    const [first] = fromLatin1(mark);
    for (let at = this.#unread.indexOf(first); at !== -1; at = this.#unread.indexOf(first, at + 1)) {
      if (latin1(this.#unread.subarray(at, at + mark.length)) === mark) return at;
    }
    return -1;
  }

  #take(count: number): Uint8Array<ArrayBuffer> {
    const taken = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(count);
    return taken;
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(65536);
    let count: number | null;
    try {
      count = await this.socket.read(buffer);
    } catch (fault) {
      if (!isBroken(fault)) throw fault;
      this.#broken = fault;
      return false;
    }
    if (count === null) return false;
    this.#unread = this.#unread.length === 0
      ? buffer.subarray(0, count)
      : joined([this.#unread, buffer.subarray(0, count)]);
    return true;
  }

  #why(): string {
    if (this.#timedOut) return "no answer in time";
    return this.#broken === null ? "the connection was closed" : String(this.#broken);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    closeQuietly(this.socket);
  }
}

export function isBroken(fault: unknown): boolean {
  return fault instanceof Deno.errors.ConnectionReset || fault instanceof Deno.errors.BrokenPipe ||
    fault instanceof Deno.errors.BadResource || fault instanceof Deno.errors.Interrupted ||
    fault instanceof Deno.errors.ConnectionAborted || fault instanceof Deno.errors.NotConnected ||
    fault instanceof Deno.errors.UnexpectedEof;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (pieces.length === 1) return pieces[0] as Uint8Array<ArrayBuffer>;
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
