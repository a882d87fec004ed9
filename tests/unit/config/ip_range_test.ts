import assert from "node:assert/strict";
import { BlockList, isIPv6 } from "node:net";
import fc from "fast-check";
import { isInRange, parseIp, parseIpRange, parseIpRangeText } from "../../../src/config/ip_range.ts";

Deno.test("addresses and networks come out in their plain form", () => {
  for (
    const [text, plain] of [
      ["10.1.2.3", "10.1.2.3"],
      ["10.1.2.3/8", "10.0.0.0/8"],
      ["0.0.0.0/0", "0.0.0.0/0"],
      ["255.255.255.255/32", "255.255.255.255"],
      ["10.0.0.*", "10.0.0.0/24"],
      ["10.0.*.*", "10.0.0.0/16"],
      ["10.*", "10.0.0.0/8"],
      ["2001:DB8:0:0::1", "2001:db8::1"],
      ["2001:db8:ffff::/33", "2001:db8:8000::/33"],
      ["::/0", "::/0"],
      ["::ffff:10.0.0.1", "10.0.0.1"],
      ["::ffff:10.1.0.0/104", "10.0.0.0/8"],
      ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
    ]
  ) assert.deepEqual(parseIpRangeText(text), { ok: true, value: plain }, text);
});

Deno.test("what is no address or network is refused", () => {
  for (
    const text of [
      "",
      "10",
      "10.1",
      "010.0.0.1",
      "0x7f.1",
      "256.0.0.1",
      "10.0.0.1/33",
      "10.0.0.1/",
      "10.0.0.1/8/8",
      "10.0.0.1/-1",
      "10.0.0.256.*",
      "300.*",
      "*.0.0.1",
      "10.*.0.1",
      "10.0.0.0.*",
      "10.0.0.*.*.*",
      "::1/129",
      "::ffff:10.0.0.1/95",
      "::g",
      "a.example",
      "10.0.0.0/ 8",
    ]
  ) assert.equal(parseIpRange(text).ok, false, text);
});

const ipv6 = fc.ipV6().filter((text) => isIPv6(text));

Deno.test("an address is in a network exactly if Node's list says so", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.ipV4(), ipv6),
      fc.nat(128),
      fc.oneof(fc.ipV4(), ipv6, fc.ipV4().map((text) => `::ffff:${text}`)),
      fc.boolean(),
      (network, length, other, near) => {
        const isV4 = !network.includes(":");
        const bits = isV4 ? length % 33 : length;
        const range = parseIpRange(`${network}/${bits}`);
        // Node takes IPv4-mapped networks for IPv6 ones.
        fc.pre(range.ok && isV4 === (range.value.words.length === 1));
        // Close by, so that both answers occur.
        const address = near ? network : other;
        const list = new BlockList();
        list.addSubnet(network, bits, isV4 ? "ipv4" : "ipv6");
        const words = parseIp(address);
        assert.ok(words !== null);
        const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
        assert.equal(isInRange(words, range.value), list.check(plain, plain.includes(":") ? "ipv6" : "ipv4"));
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("an address with a zone is the address, and a path is none", () => {
  assert.deepEqual(parseIp("fe80::1%eth0"), parseIp("fe80::1"));
  assert.equal(parseIp("/run/dispa.sock"), null);
});
