/**
 * What one proxy thread has given to one writer thread, so that what is lost when either dies is known. One
 * block for each connection between the two.
 *
 *     Int32 words   0   records collected        the proxy thread adds
 *                   1   records posted           the proxy thread adds
 *                   2   bytes posted             the proxy thread adds
 *                   3   records settled          the writer adds: they count for the queue no more
 *                   4   bytes settled            the writer adds
 *
 * All wrap; only differences are looked at, and those are bounded by the queue. A thread that has died adds no
 * more, so that whoever looks then sees the truth.
 */
const COLLECTED = 0, POSTED = 1, POSTED_BYTES = 2, SETTLED = 3, SETTLED_BYTES = 4;

export class QueueAccount {
  static readonly BYTES = 5 * Int32Array.BYTES_PER_ELEMENT;
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param buffer zeroed, of `QueueAccount.BYTES`, or of the other account of this connection */
  constructor(readonly buffer: SharedArrayBuffer = new SharedArrayBuffer(QueueAccount.BYTES)) {
    this.#words = new Int32Array(buffer);
  }

  /** A plain add: the word has one writer, and this runs once a request. */
  collected(): void {
    this.#words[COLLECTED]++;
  }

  /** The records are with nobody any more, and counted as dropped by who calls. */
  dropped(records: number): void {
    Atomics.sub(this.#words, COLLECTED, records);
  }

  posted(records: number, bytes: number): void {
    Atomics.add(this.#words, POSTED, records);
    Atomics.add(this.#words, POSTED_BYTES, bytes);
  }

  settled(records: number, bytes: number): void {
    Atomics.add(this.#words, SETTLED, records);
    Atomics.add(this.#words, SETTLED_BYTES, bytes);
  }

  /** Records that are collected and not posted: what is lost if the proxy thread dies now. */
  get unposted(): number {
    return this.#difference(COLLECTED, POSTED);
  }

  /** What is posted and not settled: what is lost if the writer dies now. */
  get unsettled(): { records: number; bytes: number } {
    return {
      records: this.#difference(POSTED, SETTLED),
      bytes: this.#difference(POSTED_BYTES, SETTLED_BYTES),
    };
  }

  #difference(more: number, less: number): number {
    return (Atomics.load(this.#words, more) - Atomics.load(this.#words, less)) | 0;
  }
}
