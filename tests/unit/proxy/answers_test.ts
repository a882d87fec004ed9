import assert from "node:assert/strict";
import type { ErrorPageConfig, ErrorPagesConfig } from "../../../src/config/model.ts";
import { ERROR_STATUS, type Refusal } from "../../../src/http/refusal.ts";
import { type Asked, refusalResponse } from "../../../src/proxy/answers.ts";
import { ErrorPages, titleOf } from "../../../src/proxy/error_pages.ts";

Deno.test("the error codes and their status are what they were", () => {
  assert.deepEqual(ERROR_STATUS, {
    bad_request: 400,
    unauthorized: 401,
    forbidden: 403,
    domain_not_found: 404,
    method_not_allowed: 405,
    shutting_down: 503,
    slow_client: 408,
    length_required: 411,
    body_too_large: 413,
    upgrade_required: 426,
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
    auth_unavailable: 503,
    overloaded: 503,
    upstream_timeout: 504,
  });
});

/** What a refusal looks like with these pages. */
async function refused(
  pages: Partial<ErrorPagesConfig> = {},
  refusal: Refusal = { code: "no_target", message: "Service unavailable" },
  asked: Partial<Asked> = {},
) {
  const { response, size } = refusalResponse(
    refusal,
    { method: "GET", requestId: "id-1", accept: null, ...asked },
    new ErrorPages({ problemJson: true, pages: [], ...pages }),
  );
  const { status, headers } = response;
  return { status, headers, type: headers.get("content-type"), text: await response.text(), size };
}

function page(
  text: string,
  statuses: ErrorPageConfig["statuses"],
  contentType = "text/plain",
): ErrorPageConfig {
  return { statuses, file: null, text, contentType };
}

Deno.test("an answer is short text that names its code and the request", async () => {
  const { status, headers, text, size } = await refused();
  assert.equal(status, 503);
  assert.equal(headers.get("x-dispa-error"), "no_target");
  assert.equal(headers.get("x-request-id"), "id-1");
  assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal(text, "Service unavailable\n");
  assert.equal(size, text.length);
  assert.equal((await refused({}, undefined, { method: "HEAD" })).size, 0);
});

Deno.test("a client that puts JSON first gets problem details, unless that is turned off", async () => {
  const { type, text, headers, size } = await refused({}, undefined, { accept: "application/json, */*" });
  assert.equal(type, "application/problem+json");
  assert.deepEqual(JSON.parse(text), {
    title: "Service Unavailable",
    status: 503,
    detail: "Service unavailable",
    code: "no_target",
    request_id: "id-1",
  });
  assert.equal(headers.get("x-dispa-error"), "no_target");
  assert.equal(size, text.length);
  const off = await refused({ problemJson: false }, undefined, { accept: "application/json" });
  assert.equal(off.text, "Service unavailable\n");
});

Deno.test("a status has the page of its own, else that of its class, else a line of text", async () => {
  const pages = [page("own", [503]), page("class", ["5xx", "4xx"])];
  assert.equal((await refused({ pages })).text, "own");
  assert.equal((await refused({ pages }, { code: "reset", message: "m" })).text, "class");
  assert.equal((await refused({ pages }, { code: "forbidden", message: "m" })).text, "class");
  assert.equal((await refused({ pages: [pages[0]] }, { code: "reset", message: "m" })).text, "m\n");
});

Deno.test("the placeholders of a page are filled in, escaped as its type needs it, and other braces stay", async () => {
  const refusal: Refusal = { code: "bad_request", message: `<b a="1">'&"\\` };
  const text = "{code} {status} {title} {request_id} {message} {other} p { x: y }";
  const filled = async (contentType: string) =>
    (await refused({ pages: [page(text, [400], contentType)] }, refusal)).text;
  const around = (message: string) => `bad_request 400 Bad Request id-1 ${message} {other} p { x: y }`;
  assert.equal(await filled("text/plain"), around(refusal.message));
  const escaped = around("&#60;b a=&#34;1&#34;&#62;&#39;&#38;&#34;\\");
  for (const type of ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"]) {
    assert.equal(await filled(type), escaped);
  }
  assert.equal(await filled("application/json"), around(`<b a=\\"1\\">'&\\"\\\\`));
});

Deno.test("a page that is JSON itself goes to clients that want JSON too", async () => {
  const pages = [page('{"error":"{code}"}', ["5xx"], "application/json")];
  const { type, text } = await refused({ pages }, undefined, { accept: "application/json" });
  assert.deepEqual([type, text], ["application/json", '{"error":"no_target"}']);
  const html = [page("<p>", ["5xx"], "text/html")];
  assert.equal(
    (await refused({ pages: html }, undefined, { accept: "application/json" })).type,
    "application/problem+json",
  );
});

Deno.test("every status that refusals have, has a title of its own", () => {
  for (const status of new Set(Object.values(ERROR_STATUS))) {
    assert.doesNotMatch(titleOf(status), /^(Client|Server) Error$/);
  }
});
