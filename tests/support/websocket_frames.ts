/** WebSocket frames as a test wants them: right, or wrong in one place. */

export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

export interface FrameShape {
  /** Default: true. */
  final?: boolean;
  /** The three reserved bits as a number; default 0. */
  reserved?: number;
  /** Four bytes; null, the default: not masked. */
  key?: Uint8Array | null;
  /** What the header says in place of the payload's length. */
  declaredLength?: number;
}

export function frame(opcode: number, payload: string | Uint8Array, shape: FrameShape = {}): Uint8Array {
  const data = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const { final = true, reserved = 0, key = null, declaredLength: length = data.length } = shape;
  const head = [(final ? 0x80 : 0) | reserved << 4 | opcode];
  const masked = key === null ? 0 : 0x80;
  if (length < 126) head.push(masked | length);
  else if (length < 65_536) head.push(masked | 126, length >> 8, length & 255);
  else head.push(masked | 127, ...eightBytes(length));
  if (key !== null) head.push(...key);
  return concat(Uint8Array.from(head), key === null ? data : data.map((byte, i) => byte ^ key[i % 4]));
}

/** A frame as a client sends it. */
export function clientFrame(opcode: number, payload: string | Uint8Array, shape: FrameShape = {}) {
  return frame(opcode, payload, { key: Uint8Array.of(7, 11, 13, 17), ...shape });
}

export function closePayload(code: number, reason = ""): Uint8Array {
  return concat(Uint8Array.of(code >> 8, code & 255), new TextEncoder().encode(reason));
}

export interface ParsedFrame {
  opcode: number;
  final: boolean;
  masked: boolean;
  /** Unmasked. */
  payload: Uint8Array;
}

/** Takes the first frame off `bytes`; null if it is not whole. */
export function parseFrame(bytes: Uint8Array): { parsed: ParsedFrame; rest: Uint8Array } | null {
  if (bytes.length < 2) return null;
  const masked = (bytes[1] & 0x80) !== 0;
  let length = bytes[1] & 0x7f;
  let at = 2;
  const more = length === 126 ? 2 : length === 127 ? 8 : 0;
  if (bytes.length < at + more) return null;
  if (more > 0) {
    length = 0;
    for (const byte of bytes.subarray(at, at + more)) length = length * 256 + byte;
    at += more;
  }
  const key = masked ? bytes.subarray(at, at + 4) : null;
  if (masked) at += 4;
  if (bytes.length < at + length) return null;
  const raw = bytes.slice(at, at + length);
  const payload = key === null ? raw : raw.map((byte, i) => byte ^ key[i % 4]);
  const parsed = { opcode: bytes[0] & 0x0f, final: (bytes[0] & 0x80) !== 0, masked, payload };
  return { parsed, rest: bytes.subarray(at + length) };
}

/** All frames in `bytes`, which must hold whole ones. */
export function parseFrames(bytes: Uint8Array): ParsedFrame[] {
  const frames: ParsedFrame[] = [];
  while (bytes.length > 0) {
    const next = parseFrame(bytes);
    if (next === null) throw new Error(`a frame is cut: ${bytes.length} bytes are left`);
    frames.push(next.parsed);
    bytes = next.rest;
  }
  return frames;
}

export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function eightBytes(length: number): number[] {
  const bytes: number[] = [];
  for (let i = 7; i >= 0; i--) bytes.push(Math.floor(length / 256 ** i) % 256);
  return bytes;
}

/** One end of a WebSocket connection after its handshake, frame by frame. */
export class RawSocket {
  #unread: Uint8Array;
  #isClosed = false;

  constructor(readonly conn: Deno.Conn, unread: Uint8Array = new Uint8Array(0)) {
    this.#unread = unread;
  }

  async send(...frames: Uint8Array[]): Promise<void> {
    let bytes: Uint8Array = concat(...frames);
    while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
  }

  /** Closes the connection, if that has not been done. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.conn.close();
  }

  /** The next frame; null if the connection ended, cleanly or not. */
  async frame(): Promise<ParsedFrame | null> {
    for (;;) {
      const next = parseFrame(this.#unread);
      if (next !== null) {
        this.#unread = next.rest;
        return next.parsed;
      }
      if (!await this.#more()) return null;
    }
  }

  /** The next frame in short: `text hi`, `close 1000 bye`; null as for `frame`. */
  async said(): Promise<string | null> {
    const next = await this.frame();
    return next === null ? null : inShort(next);
  }

  /** Resolves when the other end has closed; throws if it says anything before. */
  async closed(): Promise<void> {
    const said = await this.said();
    if (said !== null) throw new Error(`wanted the end of the connection, got ${said}`);
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(1024 * 1024);
    try {
      const count = await this.conn.read(buffer);
      if (count === null) return false;
      this.#unread = concat(this.#unread, buffer.subarray(0, count));
      return true;
    } catch (fault) {
      if (fault instanceof Deno.errors.ConnectionReset) return false;
      throw fault;
    }
  }
}

function inShort({ opcode, payload }: ParsedFrame): string {
  const text = new TextDecoder().decode(opcode === CLOSE ? payload.subarray(2) : payload);
  switch (opcode) {
    case TEXT:
      return `text ${text}`;
    case BINARY:
      return `binary ${[...payload].join()}`;
    case CLOSE:
      return payload.length === 0 ? "close" : `close ${payload[0] * 256 + payload[1]} ${text}`.trimEnd();
    case PING:
      return `ping ${text}`.trimEnd();
    case PONG:
      return `pong ${text}`.trimEnd();
    default:
      return `opcode ${opcode}`;
  }
}

const REQUEST = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

export const UPGRADE_REQUEST = `${REQUEST}\r\n`;

/** A raw client that has been upgraded, and the head of the answer. */
export async function connected(
  port: number,
  fields = "",
): Promise<{ socket: RawSocket; head: string } & Disposable> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode(`${REQUEST}${fields}\r\n`));
  let bytes: Uint8Array = new Uint8Array(0);
  const buffer = new Uint8Array(4096);
  for (;;) {
    const text = new TextDecoder("latin1").decode(bytes);
    const end = text.indexOf("\r\n\r\n");
    if (end !== -1) {
      const socket = new RawSocket(conn, bytes.slice(end + 4));
      return { socket, head: text.slice(0, end + 4), [Symbol.dispose]: () => socket.close() };
    }
    const count = await conn.read(buffer);
    if (count === null) throw new Error(`the connection ended in the middle of the answer: ${text}`);
    bytes = concat(bytes, buffer.subarray(0, count));
  }
}
