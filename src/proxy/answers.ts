/** From a refusal to the response that says it. */
import { ERROR_STATUS, type Refusal } from "../http/refusal.ts";

const encoder = new TextEncoder();

/** The response for a refusal: short text, the code in `x-dispa-error`, the request's id. */
export function answer(refusal: Refusal, requestId: string): { response: Response; size: number } {
  const body = encoder.encode(`${refusal.message}\n`);
  const headers: [string, string][] = [
    ["content-type", "text/plain; charset=utf-8"],
    ["cache-control", "no-store"],
    ["x-dispa-error", refusal.code],
    ["x-request-id", requestId],
  ];
  if (refusal.headers !== undefined) {
    for (let i = 0; i < refusal.headers.length; i += 2) {
      headers.push([refusal.headers[i], refusal.headers[i + 1]]);
    }
  }
  return { response: new Response(body, { status: ERROR_STATUS[refusal.code], headers }), size: body.length };
}
