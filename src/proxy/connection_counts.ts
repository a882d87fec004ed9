/**
 * How many client connections are open, in all and by address, in memory that all proxy threads share, so
 * that the limits hold for the process whatever the number of threads.
 *
 *     Int32 words   0          connections open, all threads (atomic)
 *                   1          seed of the hash; 0: not set yet (the first view sets it)
 *                   2 .. 257   lock of stripe 0..255: 0 free, else the number of the thread inside, plus 1
 *                   258 ..     65,536 slots, 256 to a stripe, STRIDE words each, under the stripe's lock:
 *                     +0 high  \ the address: the upper 64 bits of an IPv6 one; -1 and all of an IPv4 one
 *                     +1 low   /
 *                     +2 open  connections open from it; 0: the slot is free
 *
 * An address lies within WINDOW slots from the one it hashes to, so that all that may hold it are looked at.
 * Where a window is full the connection is not counted by address: with half the slots taken that happens once
 * in some billions, and the limit on all connections is there still.
 *
 * Beside it every proxy thread has `OwnConnections`: word 0 and a word for each slot, what this thread has
 * counted in, so that the control thread can take it back when the thread dies.
 */

export type OwnConnections = Int32Array<SharedArrayBuffer>;

const TOTAL = 0, SEED = 1, LOCKS = 2;
const STRIPES = 256;
const STRIPE_SLOTS = 256;
const SLOT_COUNT = STRIPES * STRIPE_SLOTS;
const SLOTS = LOCKS + STRIPES;
const STRIDE = 3;
const HIGH = 0, LOW = 1, OPEN = 2;
const WINDOW = 16;
/** Nobody stays inside longer than a few hundred nanoseconds, unless the system has put the thread to sleep. */
const SPINS_BEFORE_SLEEP = 100;
const SLEEP_MS = 1;

/** A connection that is counted in all, but not by address. */
export const UNCOUNTED = -1;

export class ConnectionCounts {
  static readonly BYTES = (SLOTS + SLOT_COUNT * STRIDE) * Int32Array.BYTES_PER_ELEMENT;
  static readonly OWN_BYTES = (1 + SLOT_COUNT) * Int32Array.BYTES_PER_ELEMENT;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #seed: number;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
    // Nobody outside can know which addresses share a window.
    const [random] = crypto.getRandomValues(new Int32Array(1));
    Atomics.compareExchange(this.#words, SEED, 0, random | 1);
    this.#seed = Atomics.load(this.#words, SEED);
  }

  /** Connections open now. */
  get total(): number {
    return Atomics.load(this.#words, TOTAL);
  }

  /** Counts a connection in. @returns false, and nothing counted, if `maximum` are open; 0: no maximum */
  enter(maximum: number, own: OwnConnections): boolean {
    const before = Atomics.add(this.#words, TOTAL, 1);
    if (maximum > 0 && before >= maximum) {
      Atomics.sub(this.#words, TOTAL, 1);
      return false;
    }
    own[0]++;
    return true;
  }

  leave(own: OwnConnections): void {
    Atomics.sub(this.#words, TOTAL, 1);
    own[0]--;
  }

  /**
   * Counts a connection in by its address.
   * @param thread number of the calling thread
   * @returns the slot to give to `leaveAddress`, `UNCOUNTED` if it is not counted, null if `maximum` are open
   */
  enterAddress(ip: string, maximum: number, own: OwnConnections, thread: number): number | null {
    const key = addressKey(ip);
    if (key === null) return UNCOUNTED;
    const hash = mix(key.high, key.low, this.#seed);
    const stripe = hash & (STRIPES - 1);
    const first = (hash >>> 8) & (STRIPE_SLOTS - 1);
    this.#lock(stripe, thread);
    const result = this.#enter(stripe, first, key, maximum, own);
    this.#unlock(stripe);
    return result;
  }

  #enter(
    stripe: number,
    first: number,
    key: AddressKey,
    maximum: number,
    own: OwnConnections,
  ): number | null {
    const words = this.#words;
    let free = UNCOUNTED;
    for (let step = 0; step < WINDOW; step++) {
      const slot = stripe * STRIPE_SLOTS + ((first + step) & (STRIPE_SLOTS - 1));
      const at = SLOTS + slot * STRIDE;
      const open = words[at + OPEN];
      if (open === 0) {
        if (free === UNCOUNTED) free = slot;
      } else if (words[at + HIGH] === key.high && words[at + LOW] === key.low) {
        if (open >= maximum) return null;
        words[at + OPEN] = open + 1;
        own[1 + slot]++;
        return slot;
      }
    }
    if (free === UNCOUNTED) return UNCOUNTED;
    const at = SLOTS + free * STRIDE;
    words[at + HIGH] = key.high;
    words[at + LOW] = key.low;
    words[at + OPEN] = 1;
    own[1 + free]++;
    return free;
  }

  /** Counts a connection out; exactly once for each that `enterAddress` has counted in. */
  leaveAddress(slot: number, own: OwnConnections, thread: number): void {
    if (slot === UNCOUNTED) return;
    const stripe = Math.floor(slot / STRIPE_SLOTS);
    this.#lock(stripe, thread);
    this.#words[SLOTS + slot * STRIDE + OPEN]--;
    own[1 + slot]--;
    this.#unlock(stripe);
  }

  /** Counts out all that a thread still held. Only once that thread has ended. @param thread its number */
  takeBack(own: OwnConnections, thread: number): void {
    for (let stripe = 0; stripe < STRIPES; stripe++) {
      // It may have ended inside.
      Atomics.compareExchange(this.#words, LOCKS + stripe, thread + 1, 0);
    }
    Atomics.sub(this.#words, TOTAL, Atomics.exchange(own, 0, 0));
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const held = Atomics.exchange(own, 1 + slot, 0);
      if (held === 0) continue;
      const stripe = Math.floor(slot / STRIPE_SLOTS);
      this.#lock(stripe, thread);
      this.#words[SLOTS + slot * STRIDE + OPEN] -= held;
      this.#unlock(stripe);
    }
  }

  #lock(stripe: number, thread: number): void {
    const at = LOCKS + stripe;
    for (let spins = 0;; spins++) {
      const inside = Atomics.compareExchange(this.#words, at, 0, thread + 1);
      if (inside === 0) return;
      if (spins >= SPINS_BEFORE_SLEEP) Atomics.wait(this.#words, at, inside, SLEEP_MS);
    }
  }

  #unlock(stripe: number): void {
    Atomics.store(this.#words, LOCKS + stripe, 0);
  }
}

interface AddressKey {
  high: number;
  low: number;
}

/** No address of a client is in ffff:ffff::/32, which is multicast. */
const IPV4_HIGH = -1;

/**
 * What an address is counted under: an IPv4 address as a whole, of an IPv6 one the network of 64 bits that one
 * customer has at the least. Null for what is neither.
 * @param ip as the runtime writes it, IPv4-mapped addresses as IPv4
 */
export function addressKey(ip: string): AddressKey | null {
  if (!ip.includes(":")) {
    const parts = ip.split(".");
    if (parts.length !== 4) return null;
    let low = 0;
    for (const part of parts) low = low << 8 | Number(part);
    return { high: IPV4_HIGH, low };
  }
  const [head, tail] = ip.split("%", 1)[0].split("::", 2);
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? [] : tail.split(":");
    while (groups.length + after.length < 8) groups.push("0");
    groups.push(...after);
  }
  if (groups.length < 8) return null;
  const group = (index: number) => parseInt(groups[index], 16);
  return { high: group(0) << 16 | group(1), low: group(2) << 16 | group(3) };
}

/** Thomas Mueller's integer finisher over both words; all bits of the result depend on all of them. */
function mix(high: number, low: number, seed: number): number {
  let hash = Math.imul(high ^ seed, 0x45d9f3b) ^ low;
  hash = Math.imul(hash ^ hash >>> 16, 0x45d9f3b);
  hash = Math.imul(hash ^ hash >>> 16, 0x45d9f3b) ^ seed;
  return (hash ^ hash >>> 16) >>> 0;
}
