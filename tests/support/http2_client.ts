/** A client that speaks HTTP/2 frame by frame (RFC 9113), as badly as a test wants. Bytes are latin-1 text. */
import { bytesOf, textOfBytes } from "./bytes.ts";
import { closeQuietly, writeAll } from "./upstream.ts";

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export const END_STREAM = 1, ACK = 1, END_HEADERS = 4;
const SETTINGS_HEADER_TABLE_SIZE = 1, SETTINGS_INITIAL_WINDOW_SIZE = 4;

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export function frame(type: number, flags: number, stream: number, payload = ""): string {
  const { length } = payload;
  return number(length, 3) + number(type, 1) + number(flags, 1) + number(stream, 4) + payload;
}

/** A whole number, big-endian. */
export function number(value: number, bytes: number): string {
  let text = "";
  for (let shift = bytes - 1; shift >= 0; shift--) {
    text += String.fromCharCode(Math.floor(value / 2 ** (8 * shift)) & 255);
  }
  return text;
}

/** An integer of HPACK with `bits` bits in its first byte (RFC 7541 section 5.1). */
function hpackInteger(value: number, bits: number, first: number): string {
  const limit = 2 ** bits - 1;
  if (value < limit) return String.fromCharCode(first | value);
  let text = String.fromCharCode(first | limit);
  for (value -= limit; value >= 128; value = Math.floor(value / 128)) {
    text += String.fromCharCode(value % 128 | 128);
  }
  return text + String.fromCharCode(value);
}

const hpackString = (text: string) => hpackInteger(text.length, 7, 0) + text;

/** A field as it is, never put into the table (RFC 7541 section 6.2.3): any bytes, in any order. */
export function literal(name: string, value: string): string {
  return `\x10${hpackString(name)}${hpackString(value)}`;
}

/** A field that is put into the table, where it gets the index 62 (RFC 7541 section 6.2.1). */
export function indexed(name: string, value: string): string {
  return `\x40${hpackString(name)}${hpackString(value)}`;
}

/** The field of an index. */
export function reference(index: number): string {
  return hpackInteger(index, 7, 0x80);
}

export type Fields = readonly (readonly [name: string, value: string])[];

export function block(fields: Fields): string {
  return fields.map(([name, value]) => literal(name, value)).join("");
}

export function get(path = "/", authority = "example.com"): Fields {
  return [[":method", "GET"], [":scheme", "http"], [":authority", authority], [":path", path]];
}

export interface Http2Stream {
  /** Null until the header of the answer is there. */
  status: number | null;
  body: string;
  /** The answer is whole. */
  ended: boolean;
  /** Error code of RST_STREAM. */
  reset: number | null;
}

export interface Http2Options {
  /** A TLS connection that has agreed on h2, or whatever else is connected. Default: plain TCP to the port. */
  socket?: Deno.Conn;
  /** Bytes that each answer may have before the client makes room for more, which it never does. Default: no bound. */
  window?: number;
  /** Whether the client reads. Default true; `read` begins later. */
  reads?: boolean;
}

export class Http2Client implements Disposable {
  readonly streams = new Map<number, Http2Stream>();
  /** Error code of GOAWAY. */
  goaway: number | null = null;
  /** The connection is closed. */
  ended = false;
  pongs = 0;
  settingsAcks = 0;
  nextStream = 1;
  readonly #socket: Deno.Conn;
  readonly #keepsWindow: boolean;
  #unread: Uint8Array = new Uint8Array(0);
  #isReady = false;
  #reading: Promise<void> | null = null;
  #writing: Promise<void> = Promise.resolve();
  #changed = Promise.withResolvers<void>();

  private constructor(socket: Deno.Conn, keepsWindow: boolean) {
    this.#socket = socket;
    this.#keepsWindow = keepsWindow;
  }

  static async connect(
    port: number,
    { socket, window, reads = true }: Http2Options = {},
  ): Promise<Http2Client> {
    const client = new Http2Client(
      socket ?? await Deno.connect({ hostname: "127.0.0.1", port }),
      window === undefined,
    );
    const settings = number(SETTINGS_HEADER_TABLE_SIZE, 2) + number(0, 4) +
      number(SETTINGS_INITIAL_WINDOW_SIZE, 2) + number(window ?? 1_000_000, 4);
    await client.send(PREFACE + frame(FRAME.SETTINGS, 0, 0, settings));
    if (!reads) return client;
    client.read();
    // A CONTINUATION frame may have no other before it, such as what acknowledges settings.
    await client.until(() => client.#isReady || client.ended);
    return client;
  }

  /** Writes bytes. False once the connection is closed. */
  send(bytes: string): Promise<boolean> {
    const sent = this.#writing.then(() => writeAll(this.#socket, bytesOf(bytes)));
    // Flow control is the client's own, so that one write may wait for the next read.
    this.#writing = sent.catch(() => {});
    return sent.then(() => true, (fault) => {
      if (isEnd(fault)) return false;
      throw fault;
    });
  }

  /** Sends a request without a body. @returns the number of its stream */
  async request(fields: Fields): Promise<number> {
    const id = this.open();
    await this.send(frame(FRAME.HEADERS, END_HEADERS | END_STREAM, id, block(fields)));
    return id;
  }

  /** The number for a new stream, of which notes are taken from now on. */
  open(): number {
    const id = this.nextStream;
    this.nextStream += 2;
    this.streams.set(id, { status: null, body: "", ended: false, reset: null });
    return id;
  }

  /** A request's answer, or its reset, or the end of the connection. */
  async answer(fields: Fields): Promise<Http2Stream> {
    const id = await this.request(fields);
    const stream = this.streams.get(id)!;
    await this.until(() => stream.ended || stream.reset !== null || this.ended);
    return stream;
  }

  /** Resolves when `condition` holds, which is looked at after each frame; fails after `timeoutMs`. */
  async until(condition: () => boolean, timeoutMs = 15_000): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, timeoutMs);
    try {
      while (!condition()) {
        if (isLate) throw new Error(`waited ${timeoutMs} ms in vain for ${condition}`);
        await this.#changed.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /** Begins to read; once more does nothing. */
  read(): void {
    this.#reading ??= this.#read();
  }

  async #read(): Promise<void> {
    const chunk = new Uint8Array(65536);
    try {
      for (let count; (count = await this.#socket.read(chunk)) !== null;) {
        const bytes = new Uint8Array(this.#unread.length + count);
        bytes.set(this.#unread);
        bytes.set(chunk.subarray(0, count), this.#unread.length);
        this.#unread = bytes;
        this.#takeFrames();
        this.#wake();
      }
    } catch (fault) {
      if (!isEnd(fault)) throw fault;
    } finally {
      this.ended = true;
      this.#wake();
    }
  }

  #takeFrames(): void {
    let bytes = this.#unread;
    while (bytes.length >= 9) {
      const length = bytes[0] << 16 | bytes[1] << 8 | bytes[2];
      if (bytes.length < 9 + length) break;
      const id = (bytes[5] & 0x7f) << 24 | bytes[6] << 16 | bytes[7] << 8 | bytes[8];
      this.#take(bytes[3], bytes[4], id, bytes.subarray(9, 9 + length));
      bytes = bytes.subarray(9 + length);
    }
    this.#unread = bytes.slice();
  }

  #take(type: number, flags: number, id: number, payload: Uint8Array): void {
    const stream = this.streams.get(id);
    switch (type) {
      case FRAME.DATA:
        if (stream !== undefined) stream.body += textOfBytes(payload);
        if (this.#keepsWindow && payload.length > 0) {
          const more = number(payload.length, 4);
          void this.send(frame(FRAME.WINDOW_UPDATE, 0, 0, more) + frame(FRAME.WINDOW_UPDATE, 0, id, more));
        }
        break;
      case FRAME.HEADERS:
        if (stream !== undefined) stream.status = statusOf(payload);
        break;
      case FRAME.RST_STREAM:
        if (stream !== undefined) stream.reset = code(payload, 0);
        break;
      case FRAME.SETTINGS:
        if (flags & ACK) this.settingsAcks++;
        else {
          void this.send(frame(FRAME.SETTINGS, ACK, 0));
          this.#isReady = true;
        }
        break;
      case FRAME.PING:
        if (flags & ACK) this.pongs++;
        break;
      case FRAME.GOAWAY:
        this.goaway = code(payload, 4);
    }
    if ((type === FRAME.DATA || type === FRAME.HEADERS) && flags & END_STREAM && stream !== undefined) {
      stream.ended = true;
    }
  }

  [Symbol.dispose](): void {
    closeQuietly(this.#socket);
  }
}

function code(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
}

/** The answer's status comes first (RFC 9113 section 8.3); with a table of size 0 it is one of three forms. */
function statusOf(bytes: Uint8Array): number {
  let at = 0;
  while ((bytes[at] & 0xe0) === 0x20) at++;
  const first = bytes[at];
  if (first & 0x80) return [200, 204, 206, 304, 400, 404, 500][first - 0x88];
  const isHuffman = (bytes[at + 1] & 0x80) !== 0;
  const value = bytes.subarray(at + 2, at + 2 + (bytes[at + 1] & 0x7f));
  return isHuffman ? huffmanDigits(value) : Number(textOfBytes(value));
}

/** Three digits: 0 to 2 have five bits each, the others six (RFC 7541 appendix B). */
function huffmanDigits(bytes: Uint8Array): number {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  let digits = "";
  for (let at = 0; digits.length < 3;) {
    const five = parseInt(bits.slice(at, at + 5), 2);
    digits += five <= 2 ? five : parseInt(bits.slice(at, at + 6), 2) - 0x19 + 3;
    at += five <= 2 ? 5 : 6;
  }
  return Number(digits);
}

function isEnd(fault: unknown): boolean {
  const { BrokenPipe, ConnectionReset, BadResource, Interrupted, UnexpectedEof, NotConnected } = Deno.errors;
  return [BrokenPipe, ConnectionReset, BadResource, Interrupted, UnexpectedEof, NotConnected]
    .some((kind) => fault instanceof kind);
}
