import assert from "node:assert/strict";
import { accessStep } from "../../../src/security/access.ts";
import { NO_SECURITY, withAccess } from "./fixture.ts";

/** The kind of denial for each address, null where it may pass. */
function verdicts(access: Parameters<typeof withAccess>[0], ...ips: string[]): (string | null)[] {
  const step = accessStep(withAccess(access));
  assert.ok(step !== null);
  return ips.map((clientIp) => {
    const refusal = step.check({ clientIp });
    if (refusal === null) return null;
    assert.equal(refusal.code, "forbidden");
    assert.ok(!refusal.message.includes(clientIp));
    return refusal.denial ?? "no kind";
  });
}

Deno.test("accessStep is null where nothing is asked for, or all is off", () => {
  assert.equal(accessStep(NO_SECURITY), null);
  assert.equal(accessStep(withAccess({ trustProxyHeaders: true })), null);
  assert.equal(accessStep(withAccess({ enabled: false, deniedIps: ["10.0.0.1"] })), null);
  assert.equal(accessStep({ ...withAccess({ deniedIps: ["10.0.0.1"] }), enabled: false }), null);
});

Deno.test("denied_ips refuses its clients and nobody else", () => {
  assert.deepEqual(
    verdicts(
      { deniedIps: ["192.168.1.*", "2001:db8::/32"] },
      "192.168.1.9",
      "192.168.2.9",
      "2001:db8::1",
      "::1",
    ),
    ["denied_ip", null, "denied_ip", null],
  );
});

Deno.test("allowed_ips refuses everybody else", () => {
  assert.deepEqual(
    verdicts({ allowedIps: ["10.0.0.0/8", "::1"] }, "10.9.9.9", "11.0.0.1", "::1", "::2", "not an address"),
    [null, "not_allowed_ip", null, "not_allowed_ip", "not_allowed_ip"],
  );
});

Deno.test("a denial wins over an allowance, whichever is the narrower", () => {
  assert.deepEqual(
    verdicts({ allowedIps: ["10.0.0.0/8"], deniedIps: ["10.1.0.0/16"] }, "10.0.0.1", "10.1.0.1", "9.0.0.1"),
    [null, "denied_ip", "not_allowed_ip"],
  );
  assert.deepEqual(
    verdicts({ allowedIps: ["10.1.0.1"], deniedIps: ["10.0.0.0/8"] }, "10.1.0.1"),
    ["denied_ip"],
  );
});

Deno.test("explain names the entry that decides", () => {
  const step = accessStep(withAccess({ allowedIps: ["10.0.0.0/8"], deniedIps: ["10.1.0.0/16"] }));
  assert.equal(step?.explain({ clientIp: "10.1.0.1" }), "10.1.0.1 is refused: denied_ips holds 10.1.0.0/16");
  assert.equal(step?.explain({ clientIp: "10.2.0.1" }), "10.2.0.1 may pass: allowed_ips holds 10.0.0.0/8");
  assert.equal(step?.explain({ clientIp: "::1" }), "::1 is refused: it is not in allowed_ips");
  const denial = accessStep(withAccess({ deniedIps: ["10.1.0.0/16"] }));
  assert.equal(denial?.explain({ clientIp: "::1" }), "::1 may pass: it is not in denied_ips");
});
