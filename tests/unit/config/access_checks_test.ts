/** `[security.access_control]` and `[security.rate_limit]`. */
import assert from "node:assert/strict";
import { printConfig, redactUrl } from "../../../src/config/mod.ts";
import { accepted, check, ONE_TARGET } from "./support.ts";

const access = (lines: string) => `[security.access_control]\n${lines}\n${ONE_TARGET}`;
const limit = (lines: string) => `[security.rate_limit]\n${lines}\n${ONE_TARGET}`;

Deno.test("every key of access_control and rate_limit can be set, and comes out in one spelling", async () => {
  const { security } = await accepted(
    `
[security]
enabled = false
[security.access_control]
enabled = false
allowed_ips = ["10.0.0.0/8", "192.168.1.*", "2001:DB8::/32"]
denied_ips = ["::ffff:10.0.0.9", "10.1.2.3/32"]
trust_proxy_headers = false
[security.rate_limit]
enabled = true
requests_per_second = 0.5
burst_size = 20
store = "rediss://u:p%40ss@[::1]:7000/2"
store_timeout = 0.2
` + ONE_TARGET,
  );
  const { enabled, accessControl, rateLimit } = security;
  assert.deepEqual({ enabled, accessControl, rateLimit }, {
    enabled: false,
    accessControl: {
      enabled: false,
      allowedIps: ["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32"],
      deniedIps: ["10.0.0.9", "10.1.2.3"],
      trustProxyHeaders: false,
      trustedProxies: null,
    },
    rateLimit: {
      ratePerSec: 0.5,
      burst: 20,
      store: "rediss://u:p%40ss@[::1]:7000/2",
      storeTimeoutMs: 200,
    },
  });
});

Deno.test("a rate alone is a limit, with as much burst, and enabled = false is none", async () => {
  const rateLimit = async (lines: string) => (await accepted(limit(lines))).security.rateLimit;
  assert.deepEqual(await rateLimit("rate_per_sec = 7.5"), {
    ratePerSec: 7.5,
    burst: 7.5,
    store: null,
    storeTimeoutMs: 50,
  });
  assert.equal((await rateLimit("rate_per_sec = 0.25"))?.burst, 1);
  assert.equal(await rateLimit("rate_per_sec = 5\nenabled = false"), null);
  assert.equal(await rateLimit("enabled = false"), null);
  assert.equal(await rateLimit(""), null);
});

const errors: [what: string, text: string, expected: string[]][] = [
  [
    "what is no address or range",
    access('allowed_ips = ["10.0.0.0/33", "::1", 5, "010.0.0.1"]\ndenied_ips = "10.0.0.1"'),
    [
      'x.toml:2:16 security.access_control.allowed_ips[0]: found "10.0.0.0/33", wanted an address, a CIDR range or a pattern such as "192.0.2.7", "10.0.0.0/8", "192.168.1.*" or "2001:db8::/32"',
      'x.toml:2:38 security.access_control.allowed_ips[2]: found 5, wanted an address or a range in quotes, such as "10.0.0.0/8"',
      'x.toml:2:41 security.access_control.allowed_ips[3]: found "010.0.0.1", wanted an address, a CIDR range or a pattern such as "192.0.2.7", "10.0.0.0/8", "192.168.1.*" or "2001:db8::/32"',
      'x.toml:3:14 security.access_control.denied_ips: found "10.0.0.1", wanted a list of addresses and ranges',
    ],
  ],
  ["a misspelt protection", access('allow_ips = ["::1"]') + "[security.rate_limit]\nrate = 5\n", [
    "x.toml:2:1 security.access_control.allow_ips: unknown key, did you mean allowed_ips?",
    "x.toml:7:1 security.rate_limit.rate: unknown key, known in security.rate_limit are enabled, rate_per_sec, burst, store, store_timeout",
  ]],
  ["a limit without a rate", limit("enabled = true"), [
    "x.toml:1:2 security.rate_limit.rate_per_sec: missing, wanted a number of requests per second, or enabled = false",
  ]],
  ["a limit of which only the burst is told", limit("burst_size = 5"), [
    "x.toml:1:2 security.rate_limit.rate_per_sec: missing, wanted a number of requests per second, or enabled = false",
  ]],
  [
    "a store whose password is not encoded, without showing it",
    limit('rate_per_sec = 1\nstore = "redis://u:100%geheim@h"'),
    [
      'x.toml:3:9 security.rate_limit.store: found "redis://u:********@h", wanted redis://USER:PASSWORD@HOST:PORT/DATABASE or rediss://… for TLS, with special characters of the password percent-encoded',
    ],
  ],
];
for (const [what, text, expected] of errors) {
  Deno.test(`${what} is an error`, async () => {
    assert.deepEqual((await check(text)).errors, expected);
  });
}

const warnings: [what: string, text: string, expected: string[]][] = [
  ["an empty allow list", access("allowed_ips = []"), [
    "x.toml:2:15 security.access_control.allowed_ips: the list is empty, which lets every client in; leave it out to say so without this warning",
  ]],
  [
    "an entry that is allowed and denied, however it is spelt",
    access('allowed_ips = ["::1", "10.0.0.0/8"]\ndenied_ips = ["9.9.9.9", "10.*"]'),
    [
      'x.toml:3:26 security.access_control.denied_ips[1]: found "10.*", which security.access_control.allowed_ips[1] allows: the denial wins',
    ],
  ],
  ["a range with bits behind its prefix", access('denied_ips = ["10.1.2.3/8", "10.0.0.0/9"]'), [
    'x.toml:2:15 security.access_control.denied_ips[0]: found "10.1.2.3/8", which has bits behind its prefix: it means 10.0.0.0/8',
  ]],
  ["trusted proxies whose headers are not believed", access('trusted_proxies = ["10.0.0.1"]'), [
    "x.toml:2:19 security.access_control.trusted_proxies: plays no part, because trust_proxy_headers is not true",
  ]],
  ["nobody to trust", access("trust_proxy_headers = true\ntrusted_proxies = []"), [
    "x.toml:3:19 security.access_control.trusted_proxies: the list is empty, so that no proxy is believed",
  ]],
  ["trust in a table that is off", access("enabled = false\ntrust_proxy_headers = true"), [
    "x.toml:3:23 security.access_control.trust_proxy_headers: plays no part, because security.access_control.enabled is false",
  ]],
  ["trust in a section that is off", `security.enabled = false\n${access("trust_proxy_headers = true")}`, [
    "x.toml:3:23 security.access_control.trust_proxy_headers: plays no part, because security.enabled is false",
  ]],
  ["a time-out of no store", limit("rate_per_sec = 1\nstore_timeout = 1"), [
    "x.toml:3:17 security.rate_limit.store_timeout: plays no part without store",
  ]],
];
for (const [what, text, expected] of warnings) {
  Deno.test(`${what} is worth a warning`, async () => {
    const outcome = await check(text);
    assert.deepEqual([outcome.errors, outcome.warnings], [[], expected]);
  });
}

Deno.test("the store's password is masked when printed, and the rest loads back", async () => {
  const config = await accepted(limit('rate_per_sec = 2\nburst = 9\nstore = "redis://:geheim@h:1/0"'));
  const printed = printConfig(config);
  assert.ok(!printed.includes("geheim"));
  assert.ok(printed.includes('store = "redis://:********@h:1/0"'));
  const { rateLimit } = config.security;
  assert.ok(rateLimit?.store);
  rateLimit.store = redactUrl(rateLimit.store);
  assert.deepEqual(await accepted(printed), config);
});
