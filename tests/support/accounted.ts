/** That no record of the traffic log is lost unsaid. */
import type { Dispa } from "./dispa.ts";
import { eventually } from "./eventually.ts";

/**
 * Waits until every one of `asked` requests is among what `written` counts, or counted as lost.
 * @returns how many are lost
 */
export async function accounted(dispa: Dispa, asked: number, written: () => number): Promise<number> {
  let lost = 0;
  await eventually("each request is recorded, or counted as lost", async () => {
    lost = await dispa.metric("dispa_log_dropped_total");
    const kept = written();
    if (kept + lost === asked) return true;
    throw new Error(`${asked} requests, ${kept} records, ${lost} lost`);
  });
  return lost;
}
