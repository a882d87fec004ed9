/** Time as the health checks see it, so that tests can turn it by hand. */
export interface Clock {
  /** Unix time in milliseconds; jumps when the machine's clock is set. */
  now(): number;
  /** Milliseconds since some fixed moment; never jumps. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`. @returns calls it off */
  after(delayMs: number, callback: () => void): () => void;
}

/** setTimeout takes more than this for 1 ms. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(delayMs, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
