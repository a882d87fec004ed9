import assert from "node:assert/strict";
import type { RateLimitConfig, SecurityConfig } from "../../../src/config/mod.ts";
import { rateLimitBytes, rateLimitStep } from "../../../src/security/rate_limit.ts";
import { NO_SECURITY } from "./fixture.ts";

const LIMIT: RateLimitConfig = { ratePerSec: 0.5, burst: 2, store: null, storeTimeoutMs: 50 };

function withLimit(limit: Partial<RateLimitConfig> = {}): SecurityConfig {
  return { ...NO_SECURITY, rateLimit: { ...LIMIT, ...limit } };
}

function stepAt(security: SecurityConfig) {
  const clock = { ms: Date.UTC(2030, 0, 1) };
  const shared = new SharedArrayBuffer(rateLimitBytes(security));
  const step = rateLimitStep(security, shared, () => assert.fail("nothing to log"), () => clock.ms);
  assert.ok(step !== null);
  return { step, shared, clock };
}

Deno.test("rateLimitStep is null and wants no memory where nothing is asked for, or all is off", () => {
  for (const security of [NO_SECURITY, { ...withLimit(), enabled: false }]) {
    assert.equal(rateLimitBytes(security), 0);
    assert.equal(rateLimitStep(security, null, () => assert.fail("nothing to log")), null);
  }
});

Deno.test("a client over its limit is refused, and told in whole seconds when to come again", () => {
  const { step, clock } = stepAt(withLimit());
  const client = { clientIp: "192.0.2.1" };
  assert.equal(step.check(client), null);
  assert.equal(step.check(client), null);
  assert.deepEqual(step.check(client), {
    code: "rate_limited",
    message: "Too many requests: try again in 2 s",
    headers: ["retry-after", "2"],
    denial: "rate_limit",
  });
  clock.ms += 900;
  const late = step.check(client);
  assert.ok(late !== null && !(late instanceof Promise));
  assert.deepEqual(late.headers, ["retry-after", "2"], "1.1 s are rounded up");
  clock.ms += 1099;
  const last = step.check(client);
  assert.ok(last !== null && !(last instanceof Promise));
  assert.deepEqual(last.headers, ["retry-after", "1"], "never 0");
  clock.ms += 1;
  assert.equal(step.check(client), null);
});

Deno.test("clients are told apart, IPv6 clients by their first 64 bits", () => {
  const { step } = stepAt(withLimit({ burst: 1 }));
  assert.equal(step.check({ clientIp: "2001:db8:1:2::1" }), null);
  assert.notEqual(step.check({ clientIp: "2001:db8:1:2:ffff::9" }), null);
  assert.equal(step.check({ clientIp: "2001:db8:1:3::1" }), null);
  assert.equal(step.check({ clientIp: "192.0.2.1" }), null);
  assert.equal(step.check({ clientIp: "192.0.2.2" }), null);
  assert.notEqual(step.check({ clientIp: "192.0.2.1" }), null);
});

Deno.test("peek says what check would, and counts nothing", () => {
  const { step } = stepAt(withLimit({ burst: 1 }));
  const client = { clientIp: "192.0.2.1" };
  for (let i = 0; i < 3; i++) assert.equal(step.peek(client), null);
  assert.equal(step.check(client), null);
  assert.deepEqual(step.peek(client), step.check(client));
});

Deno.test("a limit goes on where the memory outlives a reload, with another rate, too", () => {
  const { step, shared, clock } = stepAt(withLimit({ burst: 1, ratePerSec: 1 }));
  assert.equal(step.check({ clientIp: "192.0.2.1" }), null);
  const security = withLimit({ burst: 3, ratePerSec: 2 });
  assert.equal(rateLimitBytes(security), shared.byteLength);
  const next = rateLimitStep(security, shared, () => assert.fail("nothing to log"), () => clock.ms);
  // The bucket was 1 s from full; at the new rate that is two tokens short of three.
  assert.equal(next?.check({ clientIp: "192.0.2.1" }), null);
  assert.notEqual(next?.check({ clientIp: "192.0.2.1" }), null);
});
