/** Limits of single requests: header, declared length, streamed body, pace. */
import assert from "node:assert/strict";
import type { DdosConfig } from "../../../src/config/model.ts";
import {
  BodyGuard,
  bodyGuard,
  isBodyRead,
  PACE_GRACE_MS,
  type RequestFacts,
  requestLimits,
} from "../../../src/security/request_limits.ts";

const DDOS: DdosConfig = {
  maxHeaders: 3,
  maxHeaderBytes: 100,
  maxBodyBytes: 10,
  requireContentLength: false,
  maxConnections: 0,
  maxConnectionsPerIp: 0,
  minBodyBytesPerSecond: 100,
};
const GET: RequestFacts = { fieldCount: 3, fieldBytes: 100, contentLength: null, hasBody: false };

function refusal(facts: Partial<RequestFacts>, ddos: Partial<DdosConfig> = {}): string | null {
  const found = requestLimits({ ...DDOS, ...ddos })({ ...GET, ...facts });
  return found === null ? null : `${found.code} ${found.denial}`;
}

Deno.test("a header at the limits passes, one beyond is refused by its kind", () => {
  assert.equal(refusal({}), null);
  assert.equal(refusal({ fieldCount: 4 }), "headers_too_large headers_len");
  assert.equal(refusal({ fieldBytes: 101 }), "headers_too_large headers_size");
});

Deno.test("a declared length is held to the limit, and 0 is no limit", () => {
  assert.equal(refusal({ hasBody: true, contentLength: "10" }), null);
  assert.equal(refusal({ hasBody: true, contentLength: "11" }), "body_too_large body_too_large");
  assert.equal(
    refusal({ hasBody: true, contentLength: "999999999999999" }),
    "body_too_large body_too_large",
  );
  assert.equal(refusal({ hasBody: true, contentLength: "11" }, { maxBodyBytes: 0 }), null);
});

Deno.test("a body without a length is refused only where one is required", () => {
  assert.equal(refusal({ hasBody: true }), null);
  const required = { requireContentLength: true };
  assert.equal(refusal({ hasBody: true }, required), "length_required length_required");
  assert.equal(refusal({ hasBody: true, contentLength: "5" }, required), null);
  assert.equal(refusal({ hasBody: false }, required), null);
});

Deno.test("a streamed body is refused with the byte that is too much", () => {
  const guard = new BodyGuard(DDOS);
  assert.equal(guard.received(10, 0), null);
  const found = guard.received(1, 0);
  assert.equal(found?.denial, "body_stream_too_large");
  assert.equal(found?.code, "body_too_large");
});

Deno.test("a client below the pace is too slow once it has been waited for long enough", () => {
  const guard = new BodyGuard({ ...DDOS, maxBodyBytes: 0 });
  guard.waiting(0);
  assert.equal(guard.tooSlow(PACE_GRACE_MS - 1), null);
  assert.equal(guard.tooSlow(PACE_GRACE_MS)?.denial, "slow_client");
  assert.equal(guard.tooSlow(PACE_GRACE_MS)?.code, "slow_client");
});

Deno.test("a client at the pace is not too slow", () => {
  const guard = new BodyGuard({ ...DDOS, maxBodyBytes: 0 });
  for (let second = 0; second < 60; second++) {
    guard.waiting(second * 1000);
    assert.equal(guard.received(101, (second + 1) * 1000), null);
  }
  guard.waiting(60_000);
  assert.equal(guard.tooSlow(60_100), null);
  assert.equal(guard.tooSlow(80_000)?.denial, "slow_client");
});

Deno.test("time in which nobody waits for the client does not count", () => {
  const guard = new BodyGuard({ ...DDOS, maxBodyBytes: 0 });
  guard.waiting(0);
  guard.received(1, 10);
  // The target takes its time.
  assert.equal(guard.tooSlow(1_000_000), null);
  guard.waiting(1_000_000);
  assert.equal(guard.tooSlow(1_000_000 + PACE_GRACE_MS - 11), null);
  assert.equal(guard.tooSlow(1_000_000 + PACE_GRACE_MS)?.denial, "slow_client");
  guard.settled(1_000_000 + PACE_GRACE_MS);
  assert.equal(guard.tooSlow(2_000_000), null);
});

Deno.test("without limits on bodies there is no guard", () => {
  assert.equal(bodyGuard({ ...DDOS, maxBodyBytes: 0, minBodyBytesPerSecond: 0 }), null);
  assert.ok(bodyGuard({ ...DDOS, maxBodyBytes: 0 }));
  const lenient = new BodyGuard({ ...DDOS, minBodyBytesPerSecond: 0 });
  lenient.waiting(0);
  assert.equal(lenient.tooSlow(1e9), null);
});

Deno.test("a body is read when as much as declared has come, or something of one without a length", () => {
  assert.equal(isBodyRead({ hasBody: false, contentLength: null }, 0), true);
  assert.equal(isBodyRead({ hasBody: true, contentLength: "5" }, 4), false);
  assert.equal(isBodyRead({ hasBody: true, contentLength: "5" }, 5), true);
  assert.equal(isBodyRead({ hasBody: true, contentLength: null }, 0), false);
});
