/**
 * HalfSipHash-1-3 with a 64-bit result (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the
 * reference code's 32-bit variant): a hash with a secret, in 32-bit arithmetic. Who does not know the secret
 * cannot find texts that collide. It reads the UTF-16 code units of a text, two a word.
 */
export class HalfSipHash {
  /** The two halves of the last digest. */
  low = 0;
  high = 0;
  readonly #key0: number;
  readonly #key1: number;

  constructor(key0: number, key1: number) {
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** Leaves the digest in `low` and `high`, as signed 32-bit numbers. */
  digest(text: string): void {
    let v0 = this.#key0;
    let v1 = this.#key1 ^ 0xee;
    let v2 = this.#key0 ^ 0x6c796765;
    let v3 = this.#key1 ^ 0x74656462;
    const { length } = text;
    // Message words, a last one with the length, then three finalising rounds for each half of the result.
    const words = (length >> 1) + 1;
    const rounds = words + 6;
    for (let i = 0; i < rounds; i++) {
      let word = 0;
      if (i < words - 1) {
        word = text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 16);
      } else if (i === words - 1) {
        word = (length << 25) | ((length & 1) === 0 ? 0 : text.charCodeAt(length - 1));
      } else if (i === words) {
        v2 ^= 0xee;
      } else if (i === words + 3) {
        this.low = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = (v1 << 5) | (v1 >>> 27);
      v1 ^= v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = (v3 << 8) | (v3 >>> 24);
      v3 ^= v2;
      v0 = (v0 + v3) | 0;
      v3 = (v3 << 7) | (v3 >>> 25);
      v3 ^= v0;
      v2 = (v2 + v1) | 0;
      v1 = (v1 << 13) | (v1 >>> 19);
      v1 ^= v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    this.high = v1 ^ v3;
  }
}
