/** Waiting for what happens in the same process. */

/** Resolves when `condition` holds, which is looked at after each turn of the event loop; fails after 10 s. */
export async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`waited 10 s in vain for ${condition}`);
    await nextTurn();
  }
}

/** Lets everything that is ready run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
