/**
 * The framing of RFC 6455 as a client speaks it: reads the unmasked frames of a server and puts messages
 * together, writes masked frames. Strict: what the RFC says an endpoint must not send fails the connection.
 */
import { INVALID_PAYLOAD, isWireCode, MESSAGE_TOO_BIG, NO_CODE, PROTOCOL_ERROR } from "./close_codes.ts";

/** Section 5.2. */
export const OPCODE = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

/** What one message holds: text, or bytes that are the receiver's. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** A frame or message that is refused; `code` is what the Close frame says to its sender. */
export class FrameError extends Error {
  override name = "FrameError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** What a `MessageReader` finds, in the order in which it arrives. */
export interface FrameSink {
  /** @param bytes of the payload: for text, its UTF-8 */
  message(data: Message, bytes: number): void;
  ping(payload: Uint8Array): void;
  pong(): void;
  /** The last call: what follows a Close frame is not read. @param code `NO_CODE` if there was none */
  close(code: number, reason: string): void;
}

/** Frames up to this size come through a buffer; the rest of a larger payload is read where it stays. */
const INPUT_BYTES = 8192;
const MAX_CONTROL_BYTES = 125;
const EMPTY = new Uint8Array(0);

export class MessageReader {
  readonly #sink: FrameSink;
  readonly #maxMessageBytes: number;
  // A byte order mark is part of the message.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #input = new Uint8Array(INPUT_BYTES);
  /** The bytes of `#input` that have not been looked at are those between the two. */
  #start = 0;
  #end = 0;
  /** Of the message under way: its opcode (0: there is none), its payload so far in the first `#length` bytes. */
  #opcode = 0;
  #message: Uint8Array<ArrayBuffer> = EMPTY;
  #length = 0;
  /** Of the data frame under way: bytes that are still to come, and whether it ends the message. */
  #remaining = 0;
  #inPayload = false;
  #isFinal = false;
  #closed = false;

  /** @param maxMessageBytes longest payload of a message, its fragments added up */
  constructor(sink: FrameSink, maxMessageBytes: number) {
    this.#sink = sink;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Where the next bytes from the connection belong. Never empty. Valid until `advance`. */
  get space(): Uint8Array<ArrayBuffer> {
    return this.#readsInPlace
      ? this.#message.subarray(this.#length, this.#length + this.#remaining)
      : this.#input.subarray(this.#end);
  }

  get #readsInPlace(): boolean {
    return this.#inPayload && this.#remaining >= INPUT_BYTES;
  }

  /**
   * Takes note of `count` bytes in `space` and tells the sink what they complete.
   * @throws FrameError after which the reader must not be used
   */
  advance(count: number): void {
    if (this.#readsInPlace) {
      this.#length += count;
      this.#remaining -= count;
    } else {
      this.#end += count;
    }
    while (!this.#closed && (this.#inPayload ? this.#payload() : this.#header()));
    // At most one header is left over, or nothing.
    if (this.#start > 0) {
      this.#input.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
  }

  /** @returns false if more bytes are needed */
  #header(): boolean {
    const input = this.#input;
    const at = this.#start;
    const available = this.#end - at;
    if (available < 2) return false;
    const opcode = input[at] & 0x0f;
    const isFinal = (input[at] & 0x80) !== 0;
    if ((input[at] & 0x70) !== 0) {
      throw new FrameError(PROTOCOL_ERROR, "a reserved bit is set, no extension was agreed on");
    }
    // Section 5.1: a client fails the connection when a server masks.
    if ((input[at + 1] & 0x80) !== 0) throw new FrameError(PROTOCOL_ERROR, "a frame from a server is masked");
    const short = input[at + 1];
    if (opcode >= OPCODE.close) {
      if (opcode > OPCODE.pong) throw badOpcode(opcode);
      if (!isFinal) throw new FrameError(PROTOCOL_ERROR, "a control frame is fragmented");
      if (short > MAX_CONTROL_BYTES) {
        throw new FrameError(PROTOCOL_ERROR, `a control frame is longer than ${MAX_CONTROL_BYTES} bytes`);
      }
      if (available < 2 + short) return false;
      this.#start = at + 2 + short;
      this.#control(opcode, input.subarray(at + 2, this.#start));
      return true;
    }
    const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (available < headerBytes) return false;
    let length = short;
    if (short === 126) {
      length = input[at + 2] * 256 + input[at + 3];
    } else if (short === 127) {
      length = 0;
      // Exact up to 2^53, and far above any limit beyond it.
      for (let i = at + 2; i < at + 10; i++) length = length * 256 + input[i];
    }
    this.#start = at + headerBytes;
    this.#beginData(opcode, length, isFinal);
    return true;
  }

  #beginData(opcode: number, length: number, isFinal: boolean): void {
    if (opcode === OPCODE.continuation) {
      if (this.#opcode === 0) throw new FrameError(PROTOCOL_ERROR, "a continuation frame continues nothing");
    } else {
      if (opcode > OPCODE.binary) throw badOpcode(opcode);
      if (this.#opcode !== 0) throw new FrameError(PROTOCOL_ERROR, "a message begins inside another one");
      this.#opcode = opcode;
    }
    const needed = this.#length + length;
    if (needed > this.#maxMessageBytes) {
      throw new FrameError(MESSAGE_TOO_BIG, `a message is longer than ${this.#maxMessageBytes} bytes`);
    }
    if (needed > this.#message.length) {
      // Doubling, so that a message of a million fragments is not copied a million times.
      const bytes = isFinal ? needed : Math.min(needed * 2, this.#maxMessageBytes);
      const grown = new Uint8Array(bytes);
      grown.set(this.#message.subarray(0, this.#length));
      this.#message = grown;
    }
    this.#remaining = length;
    this.#isFinal = isFinal;
    this.#inPayload = true;
  }

  /** @returns false if more bytes are needed */
  #payload(): boolean {
    const count = Math.min(this.#remaining, this.#end - this.#start);
    if (count > 0) {
      this.#message.set(this.#input.subarray(this.#start, this.#start + count), this.#length);
      this.#start += count;
      this.#length += count;
      this.#remaining -= count;
    }
    if (this.#remaining > 0) return false;
    this.#inPayload = false;
    if (this.#isFinal) this.#deliver();
    return true;
  }

  #deliver(): void {
    const bytes = this.#message.subarray(0, this.#length);
    const isText = this.#opcode === OPCODE.text;
    this.#message = EMPTY;
    this.#length = 0;
    this.#opcode = 0;
    this.#sink.message(isText ? this.#decode(bytes, "a text message") : bytes, bytes.length);
  }

  #control(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODE.ping) return this.#sink.ping(payload);
    if (opcode === OPCODE.pong) return this.#sink.pong();
    this.#closed = true;
    if (payload.length === 0) return this.#sink.close(NO_CODE, "");
    if (payload.length === 1) throw new FrameError(PROTOCOL_ERROR, "a Close frame holds half a code");
    const code = payload[0] * 256 + payload[1];
    if (!isWireCode(code)) throw new FrameError(PROTOCOL_ERROR, `a Close frame has the code ${code}`);
    this.#sink.close(code, this.#decode(payload.subarray(2), "the reason of a Close frame"));
  }

  #decode(bytes: Uint8Array, what: string): string {
    try {
      return this.#decoder.decode(bytes);
    } catch (fault) {
      if (fault instanceof TypeError) throw new FrameError(INVALID_PAYLOAD, `${what} is no UTF-8`);
      throw fault;
    }
  }
}

function badOpcode(opcode: number): FrameError {
  return new FrameError(PROTOCOL_ERROR, `a frame has the opcode ${opcode}, which nobody has defined`);
}

const encoder = new TextEncoder();
const MASKED = 0x80;
const FINAL = 0x80;

/** Writes frames of a client, each whole and masked with a fresh key (section 5.3). */
export class FrameWriter {
  readonly #keys = new Uint8Array(1024);
  #nextKey = this.#keys.length;

  message(data: Message): Uint8Array<ArrayBuffer> {
    return typeof data === "string"
      ? this.frame(OPCODE.text, encoder.encode(data))
      : this.frame(OPCODE.binary, data);
  }

  /** @param code `NO_CODE` for a frame without one @param reason at most `MAX_REASON_BYTES` of UTF-8 */
  close(code: number, reason: string): Uint8Array<ArrayBuffer> {
    if (code === NO_CODE) return this.frame(OPCODE.close, EMPTY);
    const text = encoder.encode(reason);
    const payload = new Uint8Array(2 + text.length);
    payload[0] = code >> 8;
    payload[1] = code;
    payload.set(text, 2);
    return this.frame(OPCODE.close, payload);
  }

  frame(opcode: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
    const { length } = payload;
    const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    const headerBytes = 2 + lengthBytes + 4;
    // The payload begins at a multiple of four, so that it is masked four bytes at a time.
    const payloadAt = 16;
    const bytes = new Uint8Array(payloadAt + Math.ceil(length / 4) * 4);
    const at = payloadAt - headerBytes;
    bytes[at] = FINAL | opcode;
    if (lengthBytes === 0) {
      bytes[at + 1] = MASKED | length;
    } else {
      bytes[at + 1] = MASKED | (lengthBytes === 2 ? 126 : 127);
      let rest = length;
      for (let i = at + 1 + lengthBytes; i > at + 1; i--) {
        bytes[i] = rest % 256;
        rest = Math.floor(rest / 256);
      }
    }
    const key = this.#key();
    bytes.set(key, payloadAt - 4);
    bytes.set(payload, payloadAt);
    const words = new Uint32Array(bytes.buffer, payloadAt - 4);
    const mask = words[0];
    for (let i = 1; i < words.length; i++) words[i] ^= mask;
    return bytes.subarray(at, payloadAt + length);
  }

  /** Section 10.3: a key nobody can foretell. Asking for many at once costs less. */
  #key(): Uint8Array {
    if (this.#nextKey === this.#keys.length) {
      crypto.getRandomValues(this.#keys);
      this.#nextKey = 0;
    }
    this.#nextKey += 4;
    return this.#keys.subarray(this.#nextKey - 4, this.#nextKey);
  }
}
