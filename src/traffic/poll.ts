/** Waiting between two looks at something that has no event of its own. */

/** Resolves after `delayMs`, or as soon as the signal aborts. */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, signal.aborted ? 0 : delayMs);
    signal.addEventListener("abort", done);
  });
}
