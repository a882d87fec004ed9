import assert from "node:assert/strict";
import { getField } from "../../../src/http/flat_headers.ts";
import { httpsRedirect } from "../../../src/proxy/https_redirect.ts";

function location(authority: string, target: string, port: number): string | null {
  const answer = httpsRedirect({ scheme: "http", authority, target }, port);
  assert.ok(answer);
  assert.equal(answer.status, 308);
  return getField(answer.headers, "location");
}

Deno.test("plain HTTP is redirected to the same host, path and query over HTTPS", () => {
  assert.equal(location("example.com", "/a%2Fb?c=d", 443), "https://example.com/a%2Fb?c=d");
  assert.equal(location("example.com:8080", "/", 8443), "https://example.com:8443/");
  assert.equal(location("[::1]:8080", "/x", 8443), "https://[::1]:8443/x");
  assert.equal(location("[::1]", "/x", 443), "https://[::1]/x");
});

Deno.test("a target that is no path, or has bytes beyond ASCII, still gives a valid location", () => {
  assert.equal(location("example.com", "*", 443), "https://example.com/");
  assert.equal(location("example.com", "/caf\xc3\xa9", 443), "https://example.com/caf%C3%A9");
  assert.equal(location("example.com", "//evil.com/x", 443), "https://example.com//evil.com/x");
});

Deno.test("HTTPS is not redirected", () => {
  assert.equal(httpsRedirect({ scheme: "https", authority: "example.com", target: "/" }, 443), null);
});
