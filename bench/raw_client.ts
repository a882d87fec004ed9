/** A keep-alive HTTP/1.1 client on a bare socket: cheap enough to measure others with. */

const decoder = new TextDecoder("latin1");
const encoder = new TextEncoder();

/** Where a response's head ends and how long its body is. */
interface Head {
  status: number;
  headBytes: number;
  bodyBytes: number;
}

export class RawClient {
  readonly #connection: Deno.TcpConn;
  readonly #port: number;
  readonly #buffer = new Uint8Array(16_384);

  private constructor(connection: Deno.TcpConn, port: number) {
    this.#connection = connection;
    this.#port = port;
    connection.setNoDelay(true);
  }

  static async connect(port: number): Promise<RawClient> {
    return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }), port);
  }

  /** Asks for `path`, reads the whole answer. Throws where that is not a 200 with a content-length. */
  async get(path: string): Promise<void> {
    const head = await this.open(path);
    for (let left = head.bodyBytes; left > 0;) left -= await this.read(Math.min(left, this.#buffer.length));
  }

  /** Asks for `path` and reads the answer's head; `bodyBytes` of the result are left to `read`. */
  async open(path: string): Promise<{ bodyBytes: number }> {
    const request = encoder.encode(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n\r\n`);
    for (let sent = 0; sent < request.length;) sent += await this.#connection.write(request.subarray(sent));
    let have = 0;
    for (;;) {
      const count = await this.#connection.read(this.#buffer.subarray(have));
      if (count === null) {
        throw new Error(`port ${this.#port} closed the connection before answering GET ${path}`);
      }
      have += count;
      const head = parseHead(this.#buffer.subarray(0, have));
      if (head === null) continue;
      if (head.status !== 200) throw new Error(`GET ${path} answered ${head.status}, wanted is 200`);
      return { bodyBytes: head.bodyBytes - (have - head.headBytes) };
    }
  }

  /** Reads up to `maxBytes` (16 kB at most) of the body and returns how many came. */
  async read(maxBytes: number): Promise<number> {
    const count = await this.#connection.read(this.#buffer.subarray(0, maxBytes));
    if (count === null) throw new Error(`port ${this.#port} closed the connection in the middle of a body`);
    return count;
  }

  close(): void {
    this.#connection.close();
  }
}

function parseHead(bytes: Uint8Array): Head | null {
  const text = decoder.decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return null;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end));
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text);
  if (status === null || length === null) {
    throw new Error(`not an answer with a content-length: ${JSON.stringify(text.slice(0, end))}`);
  }
  return { status: Number(status[1]), headBytes: end + 4, bodyBytes: Number(length[1]) };
}
