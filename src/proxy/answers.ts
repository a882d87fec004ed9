/** The answers Dispa makes itself: one catalogue of codes, one way from a fault to a response (DESIGN 6). */
import type { UpstreamErrorCode } from "../upstream/transport.ts";

/** Every `x-dispa-error` code with its status. Part of the public contract: a test pins them. */
export const ERROR_STATUS = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  domain_not_found: 404,
  method_not_allowed: 405,
  length_required: 411,
  body_too_large: 413,
  rate_limited: 429,
  headers_too_large: 431,
  /** The client left before it was answered: nobody reads this status, the record keeps it (as nginx does). */
  client_gone: 499,
  internal: 500,
  connect_refused: 502,
  connect_timeout: 502,
  reset: 502,
  bad_response: 502,
  tls: 502,
  no_target: 503,
  upstream_timeout: 504,
} as const satisfies Record<UpstreamErrorCode, number> & Record<string, number>;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** A request that Dispa answers itself. `message` goes to the client: it names what to look at, no secret. */
export interface Refusal {
  code: ErrorCode;
  message: string;
}

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
  return { response: new Response(body, { status: ERROR_STATUS[refusal.code], headers }), size: body.length };
}
