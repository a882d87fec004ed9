/** Takes chunked bodies apart (RFC 9112 section 7.1). */
import { CR, FIELD_VALUE, Http1SyntaxError, LF, SEMICOLON, SPACE, TAB } from "./http1_syntax.ts";

/** Longest size line of one chunk, extensions included. They are read over, not passed on. */
export const MAX_SIZE_LINE_BYTES = 4096;
/** Longest trailer section. Trailers are read over, not passed on (RFC 9110 section 6.5.1). */
export const MAX_TRAILER_BYTES = 16384;

/** What the next byte is. */
type Expecting =
  | "first digit"
  | "digit"
  | "blank before extension"
  | "extension"
  | "LF of size line"
  | "data"
  | "CR after data"
  | "LF after data"
  | "trailer line"
  | "inside trailer"
  | "LF of trailer"
  | "LF of end";

export class ChunkedDecoder {
  /** Whether the whole message has been read. */
  done = false;
  /** Bytes that followed the message in the last `decode`; they belong to nothing that was asked for. */
  excessBytes = 0;
  #expecting: Expecting = "first digit";
  #remaining = 0;
  #lineBytes = 0;
  #trailerBytes = 0;

  /**
   * Reads the next bytes of the message between `from` and `to` and moves the payload among them to `from`.
   * @returns index after the payload
   * @throws Http1SyntaxError
   */
  decode(bytes: Uint8Array, from: number, to: number): number {
    let out = from;
    let at = from;
    while (at < to && !this.done) {
      if (this.#expecting === "data") {
        const length = Math.min(this.#remaining, to - at);
        if (out !== at) bytes.copyWithin(out, at, at + length);
        out += length;
        at += length;
        this.#remaining -= length;
        if (this.#remaining === 0) this.#expecting = "CR after data";
      } else {
        this.#framing(bytes[at++]);
      }
    }
    this.excessBytes = to - at;
    return out;
  }

  #framing(byte: number): void {
    switch (this.#expecting) {
      case "first digit":
      case "digit":
        this.#sizeByte(byte);
        return;
      case "blank before extension":
        // BWS may stand before an extension, not after a size that has none.
        this.#countSizeLine();
        if (byte === SEMICOLON) this.#expecting = "extension";
        else if (byte !== SPACE && byte !== TAB) throw badByte(byte, "a chunk size");
        return;
      case "extension":
        this.#countSizeLine();
        if (byte === CR) this.#expecting = "LF of size line";
        else if (FIELD_VALUE[byte] !== 1) throw badByte(byte, "a chunk extension");
        return;
      case "LF of size line":
        if (byte !== LF) throw badByte(byte, "a chunk's size line");
        this.#lineBytes = 0;
        this.#expecting = this.#remaining === 0 ? "trailer line" : "data";
        return;
      case "CR after data":
        if (byte !== CR) throw badByte(byte, "chunk data, wanted CR");
        this.#expecting = "LF after data";
        return;
      case "LF after data":
        if (byte !== LF) throw badByte(byte, "chunk data, wanted LF");
        this.#expecting = "first digit";
        return;
      case "trailer line":
      case "inside trailer":
        this.#trailerByte(byte);
        return;
      case "LF of trailer":
        if (byte !== LF) throw badByte(byte, "a trailer field");
        this.#trailerBytes++;
        this.#expecting = "trailer line";
        return;
      case "LF of end":
        if (byte !== LF) throw badByte(byte, "the last chunk");
        this.done = true;
    }
  }

  /** chunk-size = 1*HEXDIG. Sizes above 2^52 would lose precision and are nobody's: refused. */
  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    this.#countSizeLine();
    if (digit !== -1) {
      this.#remaining = this.#remaining * 16 + digit;
      if (this.#remaining > 2 ** 52) throw new Http1SyntaxError("a chunk size above 2^52");
      this.#expecting = "digit";
    } else if (this.#expecting === "first digit") {
      throw badByte(byte, "where a chunk size should begin");
    } else if (byte === CR) {
      this.#expecting = "LF of size line";
    } else if (byte === SEMICOLON) {
      this.#expecting = "extension";
    } else if (byte === SPACE || byte === TAB) {
      this.#expecting = "blank before extension";
    } else {
      throw badByte(byte, "a chunk size");
    }
  }

  #trailerByte(byte: number): void {
    if (++this.#trailerBytes > MAX_TRAILER_BYTES) {
      throw new Http1SyntaxError(`a trailer section above ${MAX_TRAILER_BYTES} bytes`);
    }
    if (byte === CR) this.#expecting = this.#expecting === "trailer line" ? "LF of end" : "LF of trailer";
    else if (FIELD_VALUE[byte] !== 1) throw badByte(byte, "a trailer field");
    else this.#expecting = "inside trailer";
  }

  #countSizeLine(): void {
    if (++this.#lineBytes > MAX_SIZE_LINE_BYTES) {
      throw new Http1SyntaxError(`a chunk size line above ${MAX_SIZE_LINE_BYTES} bytes`);
    }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lowerCase = byte | 0x20;
  return lowerCase >= 0x61 && lowerCase <= 0x66 ? lowerCase - 0x57 : -1;
}

function badByte(byte: number, place: string): Http1SyntaxError {
  return new Http1SyntaxError(`byte 0x${byte.toString(16).padStart(2, "0")} in or after ${place}`);
}
