/**
 * Ids for requests and records: UUID version 7 (RFC 9562 section 5.7), so that they sort by time and are
 * cheap index keys. Random bits come from the system's generator in blocks; a counter fills `rand_a`, so that
 * ids made in one millisecond by one thread keep their order.
 */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const BLOCK_BYTES = 4096;
const RANDOM_BYTES = 8;

export class RequestIds {
  readonly #random = new Uint8Array(BLOCK_BYTES);
  #used = BLOCK_BYTES;
  #lastMs = 0;
  #counter = 0;
  /** Text of the time part, which changes only once a millisecond. */
  #timeText = "";

  /** @param nowMs milliseconds since the epoch; a clock that goes back keeps the last time */
  next(nowMs: number): string {
    if (nowMs > this.#lastMs) {
      this.#lastMs = nowMs;
      this.#counter = 0;
      const time = nowMs.toString(16).padStart(12, "0");
      this.#timeText = `${time.slice(0, 8)}-${time.slice(8)}-7`;
    } else if (++this.#counter > 0xfff) {
      return this.next(this.#lastMs + 1);
    }
    if (this.#used + RANDOM_BYTES > BLOCK_BYTES) {
      crypto.getRandomValues(this.#random);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used = at + RANDOM_BYTES;
    const random = this.#random;
    const counter = this.#counter;
    return this.#timeText + HEX_DIGIT[counter >> 8] + HEX[counter & 0xff] + "-" +
      HEX[0x80 | (random[at] & 0x3f)] + HEX[random[at + 1]] + "-" + HEX[random[at + 2]] +
      HEX[random[at + 3]] +
      HEX[random[at + 4]] + HEX[random[at + 5]] + HEX[random[at + 6]] + HEX[random[at + 7]];
  }
}

const HEX_DIGIT = "0123456789abcdef";
