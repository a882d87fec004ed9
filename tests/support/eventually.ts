/** Waits for what another process brings about and tells nobody of. */

const POLL_MS = 20;

/**
 * Calls `probe` until it returns something other than undefined, null or false, and returns that.
 * @throws Error naming `what`, with the last fault of `probe`, after `timeoutMs`
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = 15_000,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = Date.now() + timeoutMs;
  let fault: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
      fault = undefined;
    } catch (thrown) {
      fault = thrown;
    }
    if (Date.now() >= deadline) throw new Error(`gave up waiting: ${what}`, { cause: fault });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
