import assert from "node:assert/strict";
import fc from "fast-check";
import { IpSet } from "../../../src/security/ip_set.ts";

/** The slow way round: every address as a text of bits, IPv4 ones in their IPv4-mapped form. */
function bits(ip: string): string {
  const literal = new URL(`http://[${ip.includes(":") ? ip : `::ffff:${ip}`}]/`).hostname.slice(1, -1);
  const [head, tail] = literal.split("::");
  const groups = (part: string | undefined) => part === undefined || part === "" ? [] : part.split(":");
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = literal.includes("::")
    ? [...groups(head), ...Array(missing).fill("0"), ...groups(tail)]
    : groups(head);
  return all.map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}

const MAPPED = bits("0.0.0.0").slice(0, 96);

function holds(cidr: string, ip: string): boolean {
  const [address, prefix] = cidr.split("/");
  const isIpv4 = !address.includes(":");
  // A range of IPv6 addresses holds no IPv4 address, unless it lies within the mapped ones.
  if (!isIpv4 && Number(prefix) < 96 && bits(ip).startsWith(MAPPED)) return false;
  return bits(ip).slice(0, Number(prefix) + (isIpv4 ? 96 : 0)) ===
    bits(address).slice(0, Number(prefix) + (isIpv4 ? 96 : 0));
}

// Few different octets and groups, so that ranges overlap, touch and hold the addresses.
const octet = fc.constantFrom(0, 1, 127, 128, 254, 255);
const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join("."));
const group = fc.constantFrom("0", "1", "7fff", "8000", "ffff");
const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":"));
const mapped = ipv4.map((ip) => `::ffff:${ip}`);
const address = fc.oneof(ipv4, ipv6, mapped);
const cidr = fc.oneof(
  fc.tuple(ipv4, fc.nat(32)).map(([ip, prefix]) => `${ip}/${prefix}`),
  fc.tuple(ipv6, fc.nat(128)).map(([ip, prefix]) => `${ip}/${prefix}`),
  fc.tuple(mapped, fc.nat(128)).map(([ip, prefix]) => `${ip}/${prefix}`),
);

Deno.test("an IpSet holds exactly the addresses of its ranges", () => {
  fc.assert(
    fc.property(
      fc.array(cidr, { maxLength: 12 }),
      fc.array(address, { minLength: 1 }),
      (ranges, addresses) => {
        const set = new IpSet(ranges);
        for (const ip of addresses) {
          assert.equal(set.has(ip), ranges.some((range) => holds(range, ip)), `${ip} in ${ranges}`);
          const found = set.find(ip);
          assert.equal(found, ranges.find((range) => holds(range, ip)) ?? null);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("an IpSet ends exactly where its ranges end", () => {
  const set = new IpSet(["10.0.0.4/30", "10.0.0.8", "192.168.1.*", "2001:db8::/32", "::ffff:172.16.0.0/108"]);
  for (
    const ip of ["10.0.0.4", "10.0.0.7", "10.0.0.8", "192.168.1.0", "192.168.1.255", "::ffff:10.0.0.5"]
  ) {
    assert.ok(set.has(ip), ip);
  }
  for (const ip of ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "172.16.0.0", "172.31.255.255"]) {
    assert.ok(set.has(ip), ip);
  }
  for (
    const ip of ["10.0.0.3", "10.0.0.9", "192.168.0.255", "192.168.2.0", "172.15.255.255", "172.32.0.0"]
  ) {
    assert.ok(!set.has(ip), ip);
  }
  for (const ip of ["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "::a00:4"]) {
    assert.ok(!set.has(ip), ip);
  }
});

Deno.test("the whole of IPv4 and the whole of IPv6 are two things", () => {
  const ipv4 = new IpSet(["0.0.0.0/0"]);
  assert.ok(ipv4.has("0.0.0.0") && ipv4.has("255.255.255.255") && !ipv4.has("::"));
  const ipv6 = new IpSet(["::/0"]);
  assert.ok(ipv6.has("::") && ipv6.has("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") && !ipv6.has("1.2.3.4"));
});

Deno.test("what is no address is in no set, and what is no range makes none", () => {
  const all = new IpSet(["0.0.0.0/0", "::/0"]);
  for (const text of ["", "unix", "1.2.3", "1.2.3.4:80", "[::1]"]) assert.ok(!all.has(text), text);
  assert.throws(() => new IpSet(["10.0.0.0/33"]), {
    name: "TypeError",
    message: /"10\.0\.0\.0\/33" is no range/,
  });
});

Deno.test("10,000 ranges that touch become one interval, those that do not stay apart", () => {
  const even = Array.from({ length: 10_000 }, (_, i) => `10.0.${i >> 7}.${(i & 127) * 2}`);
  const set = new IpSet(even);
  assert.ok(even.every((ip) => set.has(ip)));
  assert.ok(!set.has("10.0.0.1") && !set.has("10.0.78.31"));
  const odd = even.map((ip) => ip.replace(/[0-9]+$/, (last) => String(Number(last) + 1)));
  assert.ok(odd.every((ip) => !set.has(ip)));
  const both = new IpSet([...even, ...odd]);
  assert.ok([...even, ...odd].every((ip) => both.has(ip)));
});
