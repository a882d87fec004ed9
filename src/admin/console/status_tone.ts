/** How an answer's status is coloured. */
import type { Tone } from "./widgets.tsx";

export function statusTone(status: number): Tone {
  return status >= 500 ? "bad" : status >= 400 ? "warn" : status >= 300 ? "neutral" : "good";
}
