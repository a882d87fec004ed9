/** Slows down who guesses tokens: after a few wrong ones an address has to wait, longer each time. */

/** So many wrong tokens in a row cost nothing: people mistype. */
export const FREE_ATTEMPTS = 5;
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 60_000;
/** An address that has been quiet for so long starts afresh. */
const FORGET_AFTER_MS = 15 * 60_000;
/** Addresses remembered at once; the one that has been quiet longest makes room. */
const MAX_ADDRESSES = 1_024;

interface Failures {
  count: number;
  lastMs: number;
  blockedUntilMs: number;
}

export class Attempts {
  /** In the order of their last failure. */
  readonly #failures = new Map<string, Failures>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** How long the address has to wait before a token of its is looked at; 0 if it need not. */
  waitMs(address: string): number {
    const failures = this.#failures.get(groupOf(address));
    return Math.max(0, (failures?.blockedUntilMs ?? 0) - this.#nowMs());
  }

  failed(address: string): void {
    const key = groupOf(address);
    const now = this.#nowMs();
    const before = this.#failures.get(key);
    const forgotten = before === undefined || now - before.lastMs > FORGET_AFTER_MS;
    const count = forgotten ? 1 : before.count + 1;
    const over = count - FREE_ATTEMPTS;
    const waitMs = over < 0 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** over, MAX_WAIT_MS);
    this.#failures.delete(key);
    this.#failures.set(key, { count, lastMs: now, blockedUntilMs: now + waitMs });
    if (this.#failures.size > MAX_ADDRESSES) {
      this.#failures.delete(this.#failures.keys().next().value!);
    }
  }

  succeeded(address: string): void {
    this.#failures.delete(groupOf(address));
  }

  get size(): number {
    return this.#failures.size;
  }
}

/** Whoever has one IPv6 address usually has the 2^64 beside it. */
function groupOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head, tail] = address.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  return [...first, ...Array(zeros).fill("0"), ...last].slice(0, 4).join(":");
}
