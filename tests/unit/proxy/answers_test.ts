import assert from "node:assert/strict";
import { ERROR_STATUS } from "../../../src/http/refusal.ts";
import { refusalResponse } from "../../../src/proxy/answers.ts";

Deno.test("the error codes and their status are what they were", () => {
  assert.deepEqual(ERROR_STATUS, {
    bad_request: 400,
    unauthorized: 401,
    forbidden: 403,
    domain_not_found: 404,
    method_not_allowed: 405,
    slow_client: 408,
    length_required: 411,
    body_too_large: 413,
    rate_limited: 429,
    headers_too_large: 431,
    client_gone: 499,
    internal: 500,
    plugin_failed: 500,
    connect_refused: 502,
    connect_timeout: 502,
    reset: 502,
    bad_response: 502,
    tls: 502,
    no_target: 503,
    overloaded: 503,
    upstream_timeout: 504,
  });
});

Deno.test("an answer is short text that names its code and the request", async () => {
  const { response, size } = refusalResponse({ code: "no_target", message: "Service unavailable" }, {
    method: "GET",
    requestId: "id-1",
  });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("x-dispa-error"), "no_target");
  assert.equal(response.headers.get("x-request-id"), "id-1");
  assert.equal(await response.text(), "Service unavailable\n");
  assert.equal(size, "Service unavailable\n".length);
});
