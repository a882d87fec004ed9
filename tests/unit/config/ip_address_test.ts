import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  canonicalIp,
  formatIpv4,
  formatIpv6,
  newIpv6Groups,
  parseIpv4,
  parseIpv6,
} from "../../../src/config/ip_address.ts";
import { parseIpRange } from "../../../src/config/ip_range.ts";

/** Made of the pieces of addresses, so that many are one and many just fail to be one. */
const almostAddress = fc.array(
  fc.oneof(
    fc.constantFrom(
      ":",
      ":",
      "::",
      ".",
      "0",
      "1",
      "255",
      "256",
      "00",
      "01",
      "ffff",
      "fFf",
      "10000",
      "g",
      " ",
    ),
    fc.ipV4(),
    fc.ipV6(),
    fc.nat(300).map(String),
  ),
  { maxLength: 16 },
).map((pieces) => pieces.join(""));

const ipv4Like = fc.array(fc.nat(260).map(String), { minLength: 3, maxLength: 5 }).map((octets) =>
  octets.join(".")
);
const ipv6Like = fc.array(fc.constantFrom("", "0", "1", "ab", "ffff", "12345", "1.2.3.4"), {
  minLength: 2,
  maxLength: 9,
}).map((groups) => groups.join(":"));
const anything = fc.oneof(almostAddress, ipv4Like, ipv6Like, fc.ipV4(), fc.ipV6(), fc.string());

Deno.test("parseIpv4 and parseIpv6 take exactly what isIP of node:net takes, but for zones", () => {
  fc.assert(
    fc.property(anything, (text) => {
      assert.equal(parseIpv4(text) !== -1, isIPv4(text));
      if (!text.includes("%")) assert.equal(parseIpv6(text, newIpv6Groups()), isIPv6(text));
    }),
    { numRuns: 5000 },
  );
});

Deno.test("spellings that other readers take for another address are no addresses", () => {
  for (const text of ["010.0.0.1", "10.1", "0x7f.0.0.1", "1.2.3.4.", " 1.2.3.4", "1.2.3.4\n", "", "1..2.3"]) {
    assert.equal(canonicalIp(text), null, text);
  }
  for (
    const text of ["1::2::3", "::12345", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:", ":1::", "[::1]", "::1.2.3"]
  ) {
    assert.equal(canonicalIp(text), null, text);
  }
});

Deno.test("an address that is formatted is read back, in the spelling of URLs", () => {
  fc.assert(
    fc.property(fc.uint16Array({ minLength: 8, maxLength: 8 }), fc.nat(255), (groups, zeros) => {
      // Groups of zeros are rare otherwise.
      for (let i = 0; i < 8; i++) if ((zeros >> i & 1) === 1) groups[i] = 0;
      const text = formatIpv6(groups);
      const read = newIpv6Groups();
      assert.ok(parseIpv6(text, read));
      assert.deepEqual([...read], [...groups]);
      assert.equal(`[${text}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
  fc.assert(fc.property(fc.ipV4(), (text) => assert.equal(formatIpv4(parseIpv4(text)), text)));
});

Deno.test("canonicalIp gives every spelling of an address the same one", () => {
  const spellings: [string, string][] = [
    ["255.255.255.255", "255.255.255.255"],
    ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::FFFF:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:c000:0201", "192.0.2.1"],
    ["::192.0.2.1", "::c000:201"],
    ["fe80::1%eth0", "fe80::1"],
    ["::", "::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
  ];
  for (const [text, canonical] of spellings) assert.equal(canonicalIp(text), canonical);
});

Deno.test("parseIpRange reads addresses, CIDR ranges and patterns, and says each in one way", () => {
  const ranges: [string, string][] = [
    ["192.0.2.7", "192.0.2.7"],
    ["192.0.2.7/32", "192.0.2.7"],
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["192.168.1.*", "192.168.1.0/24"],
    ["10.*", "10.0.0.0/8"],
    ["10.1.*.*", "10.1.0.0/16"],
    ["2001:DB8::/32", "2001:db8::/32"],
    ["2001:db8:ffff:ffff::1/33", "2001:db8:8000::/33"],
    ["::1/128", "::1"],
    ["::/0", "::/0"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
    ["::ffff:0:0/95", "::fffe:0:0/95"],
  ];
  for (const [text, range] of ranges) assert.deepEqual(parseIpRange(text), { ok: true, value: range }, text);
});

Deno.test("parseIpRange refuses what is no range", () => {
  const wrong = [
    ...["", "*", "*.1.2.3", "1.*.2.*", "1.2.3.4.*", "1.2.3.*/24", "1.2.3*", "01.2.3.*", "256.*", "1.2.*.*.*"],
    ...["10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/255.0.0.0", "10.0.0.0/8/8"],
    ...[
      "::/129",
      "::/1e1",
      "2001:db8::*",
      "fe80::1%eth0",
      "[::1]",
      "localhost",
      "10.0.0.1-10.0.0.9",
      " 10.0.0.1",
    ],
  ];
  for (const text of wrong) assert.equal(parseIpRange(text).ok, false, text);
});
