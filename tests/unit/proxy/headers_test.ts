import assert from "node:assert/strict";
import { clientRequestId, readFields, upstreamFields } from "../../../src/proxy/headers.ts";

const CONTEXT = {
  peerIp: "10.0.0.9",
  scheme: "http",
  authority: "Ex.com:80",
  requestId: "r1",
  trusted: false,
} as const;

function forwarded(fields: Record<string, string>, trusted = false): Record<string, string> {
  const flat = upstreamFields(readFields(new Headers(fields)), { ...CONTEXT, trusted });
  return Object.fromEntries(
    Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]),
  );
}

Deno.test("upstreamFields says who asked and keeps what the client sent", () => {
  assert.deepEqual(forwarded({ accept: "*/*", cookie: "a=1" }), {
    host: "Ex.com:80",
    accept: "*/*",
    cookie: "a=1",
    "x-forwarded-for": "10.0.0.9",
    "x-forwarded-proto": "http",
    "x-forwarded-host": "Ex.com:80",
    "x-request-id": "r1",
  });
});

Deno.test("upstreamFields appends to the chain of a trusted proxy and keeps its other words", () => {
  const fields = forwarded({
    "x-forwarded-for": "1.2.3.4",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "o.com",
  }, true);
  assert.equal(fields["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
  assert.equal(fields["x-forwarded-proto"], "https");
  assert.equal(fields["x-forwarded-host"], "o.com");
});

Deno.test("clientRequestId refuses ids that are not fit to be recorded", () => {
  for (
    const [id, kept] of [["abc-1", "abc-1"], ["a b", null], ["x".repeat(201), null], ["", null]] as const
  ) {
    assert.equal(clientRequestId(readFields(new Headers({ "x-request-id": id }))), kept);
  }
});
