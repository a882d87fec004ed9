/**
 * The shared measure of what is on its way from the proxy threads to the writer thread: one per process,
 * every thread builds its own `QueueGauge` over the same buffer.
 *
 *     byte  0  Int32     characters queued      proxies add, the writer subtracts
 *     byte  4  Int32     wake sequence          the writer bumps it; waiters watch it (wraps, harmless)
 *     byte  8  BigInt64  records dropped        proxies add, the writer takes
 *
 * Queue sizes are counted in characters of the encoded lines. Almost all of them are ASCII, so one is a byte.
 */

const QUEUED = 0;
const WAKE = 1;

/** A waiter looks again after this time: `waitAsync` alone does not keep a thread's event loop running. */
const RECHECK_MS = 250;

/** The queue's counter is an Int32; a larger bound would overflow it before it could be met. */
const LARGEST_BOUND = 0x3fff_ffff;

export class QueueGauge {
  /** Size of the shared buffer a gauge needs. */
  static readonly BYTES = 16;

  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #dropped: BigInt64Array<SharedArrayBuffer>;

  /** `buffer` holds zeros or belongs to the other gauges of this process; `offset` is a multiple of 8. */
  constructor(buffer: SharedArrayBuffer, offset = 0) {
    this.#cells = new Int32Array(buffer, offset, 2);
    this.#dropped = new BigInt64Array(buffer, offset + 8, 1);
  }

  /** Bytes that are posted and not yet taken over by a sink, its spool or its retry memory. */
  queuedBytes(): number {
    return Atomics.load(this.#cells, QUEUED);
  }

  isFull(maxBytes: number): boolean {
    return this.queuedBytes() >= Math.min(maxBytes, LARGEST_BOUND);
  }

  /** Takes room for `bytes`; false, and nothing taken, where the queue would then exceed `maxBytes`. */
  tryReserve(bytes: number, maxBytes: number): boolean {
    const bound = Math.min(maxBytes, LARGEST_BOUND);
    if (Atomics.add(this.#cells, QUEUED, bytes) + bytes <= bound) return true;
    Atomics.sub(this.#cells, QUEUED, bytes);
    return false;
  }

  /** Takes room for `bytes` whatever the bound. */
  reserve(bytes: number): void {
    Atomics.add(this.#cells, QUEUED, bytes);
  }

  /** Gives room back and wakes who waits for it. */
  release(bytes: number): void {
    Atomics.sub(this.#cells, QUEUED, bytes);
    Atomics.add(this.#cells, WAKE, 1);
    Atomics.notify(this.#cells, WAKE);
  }

  /** Resolves once the queue is below `maxBytes`. */
  async room(maxBytes: number): Promise<void> {
    for (;;) {
      // The sequence is read before the fill level: a release in between makes waitAsync return at once.
      const sequence = Atomics.load(this.#cells, WAKE);
      if (!this.isFull(maxBytes)) return;
      const wait = Atomics.waitAsync(this.#cells, WAKE, sequence, RECHECK_MS);
      if (wait.async) await withRecheck(wait.value);
    }
  }

  countDropped(records: number): void {
    Atomics.add(this.#dropped, 0, BigInt(records));
  }

  /** The records dropped since the last call; the writer thread passes them on to the metric. */
  takeDropped(): number {
    return Number(Atomics.exchange(this.#dropped, 0, 0n));
  }
}

async function withRecheck(woken: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const recheck = new Promise((resolve) => timer = setTimeout(resolve, RECHECK_MS));
  await Promise.race([woken, recheck]);
  clearTimeout(timer);
}
