/** Tokens that were found valid, by their digests. */
import type { FlatHeaders } from "../http/flat_headers.ts";

const MAX_ENTRIES = 10_000;
/** Of the fields of all entries together. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

export interface VerifiedToken {
  /** Unix time from which it is valid no more, the leeway included. */
  expiresMs: number;
  /** What the upstream gets to know of it. */
  fields: FlatHeaders;
}

/** Bounded; the token that was not used for longest goes first. */
export class TokenCache {
  readonly #entries = new Map<string, VerifiedToken>();
  #characters = 0;

  get size(): number {
    return this.#entries.size;
  }

  get(digest: string, nowMs: number): VerifiedToken | null {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return null;
    this.#entries.delete(digest);
    if (nowMs >= entry.expiresMs) {
      this.#characters -= charactersOf(entry);
      return null;
    }
    // A map keeps the order of insertion: the last used one moves to the end.
    this.#entries.set(digest, entry);
    return entry;
  }

  set(digest: string, entry: VerifiedToken): void {
    this.#remove(digest);
    this.#entries.set(digest, entry);
    this.#characters += charactersOf(entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES && this.#characters <= MAX_CHARACTERS) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#characters = 0;
  }

  #remove(digest: string): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#characters -= charactersOf(entry);
  }
}

function charactersOf({ fields }: VerifiedToken): number {
  return fields.reduce((sum, text) => sum + text.length, 0);
}
