/** The answer to who comes too often. */
import type { Refusal } from "../http/refusal.ts";

/** @param waitMs until the next request may come, above 0 */
export function tooManyRequests(waitMs: number): Refusal {
  // RFC 9110 section 10.2.3: whole seconds. Rounded up, so that who keeps to them is let in.
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return {
    code: "rate_limited",
    message: `Too many requests: try again in ${seconds} s`,
    headers: ["retry-after", String(seconds)],
  };
}
