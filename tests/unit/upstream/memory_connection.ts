import type { RawConnection } from "../../../src/upstream/http1_dial.ts";
import { bytesOf, textOfBytes } from "../../support/bytes.ts";

/** An upstream in memory: the far end of a connection that a `dial` option returns. */
export class MemoryConnection implements RawConnection {
  written = "";
  closed = false;
  /** Reads that were asked for, pending one included. */
  reads = 0;
  /** Size of the buffer of the last read. */
  readBytes = 0;
  /** Resolves when the first byte of a request has been written. */
  readonly requested: Promise<void>;
  #requestSeen!: () => void;
  #incoming: (Uint8Array | null)[] = [];
  #pending: { into: Uint8Array; resolve(bytes: number | null): void; reject(error: Error): void } | null =
    null;

  constructor() {
    this.requested = new Promise((resolve) => this.#requestSeen = resolve);
  }

  /** Makes bytes arrive; a string is latin-1. Each call is at least one read of its own. */
  push(piece: Uint8Array | string): void {
    const bytes = typeof piece === "string" ? bytesOf(piece) : piece;
    if (bytes.length === 0) return;
    this.#incoming.push(bytes);
    this.#deliver();
  }

  /** The upstream ends its side. */
  end(): void {
    this.#incoming.push(null);
    this.#deliver();
  }

  /** The connection is lost; a read must be pending. */
  reset(): void {
    this.#pending!.reject(new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"));
    this.#pending = null;
  }

  get undelivered(): number {
    return this.#incoming.length;
  }

  read(into: Uint8Array): Promise<number | null> {
    if (this.#pending !== null) throw new Error("two reads at once");
    if (into.length === 0) throw new Error("read into nothing");
    this.reads++;
    this.readBytes = into.length;
    return new Promise((resolve, reject) => {
      this.#pending = { into, resolve, reject };
      this.#deliver();
    });
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.closed) return Promise.reject(new Deno.errors.BadResource("Bad resource ID"));
    this.written += textOfBytes(bytes);
    const written = Promise.resolve(bytes.length);
    // As over a network, the answer cannot be there before the write has returned.
    written.then(() => {}).then(this.#requestSeen);
    return written;
  }

  close(): void {
    if (this.closed) throw new Error("closed twice");
    this.closed = true;
    this.#pending?.reject(new Deno.errors.Interrupted("operation canceled"));
    this.#pending = null;
  }

  #deliver(): void {
    if (this.#pending === null || this.#incoming.length === 0) return;
    const { into, resolve } = this.#pending;
    const piece = this.#incoming[0];
    this.#pending = null;
    if (piece === null) {
      resolve(null);
      return;
    }
    const bytes = Math.min(piece.length, into.length);
    into.set(piece.subarray(0, bytes));
    if (bytes === piece.length) this.#incoming.shift();
    else this.#incoming[0] = piece.subarray(bytes);
    resolve(bytes);
  }
}
