import assert from "node:assert/strict";
import fc from "fast-check";
import { formatIpv6 } from "../../../src/config/ip_address.ts";
import { networkKey, TrustedPeers } from "../../../src/security/client_address.ts";
import { NO_SECURITY, withAccess } from "./fixture.ts";

const local = new TrustedPeers(withAccess({ trustProxyHeaders: true }));
const chain = new TrustedPeers(
  withAccess({ trustProxyHeaders: true, trustedProxies: ["203.0.113.0/24", "2001:db8:5::/48"] }),
);

Deno.test("without trust_proxy_headers, and where the section or the table is off, the client is the peer", () => {
  for (
    const security of [
      NO_SECURITY,
      withAccess({ trustedProxies: ["10.0.0.0/8"] }),
      withAccess({ enabled: false, trustProxyHeaders: true }),
      { ...withAccess({ trustProxyHeaders: true }), enabled: false },
    ]
  ) {
    const peers = new TrustedPeers(security);
    assert.equal(peers.clientAddress("10.0.0.1", "192.0.2.1"), "10.0.0.1");
    assert.ok(!peers.trusts("10.0.0.1"));
  }
});

Deno.test("without trusted_proxies loopback, private and link-local peers are trusted, and no others", () => {
  const trusted = [
    ...["127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "172.31.0.1", "192.168.0.1", "169.254.1.1"],
    ...["::1", "fc00::1", "fd00::1", "fe80::1", "febf::1", "::ffff:10.0.0.1"],
  ];
  for (const ip of trusted) assert.ok(local.trusts(ip), ip);
  const strangers = [
    "8.8.8.8",
    "172.32.0.1",
    "172.15.0.1",
    "11.0.0.1",
    "2001:db8::1",
    "::ffff:8.8.8.8",
    "fec0::1",
  ];
  for (const ip of strangers) assert.ok(!local.trusts(ip), ip);
});

Deno.test("trusted_proxies takes the place of the local addresses", () => {
  assert.ok(chain.trusts("203.0.113.7") && chain.trusts("2001:db8:5::1"));
  assert.ok(!chain.trusts("10.0.0.1") && !chain.trusts("127.0.0.1"));
  const nobody = new TrustedPeers(withAccess({ trustProxyHeaders: true, trustedProxies: [] }));
  assert.equal(nobody.clientAddress("127.0.0.1", "192.0.2.1"), "127.0.0.1");
});

Deno.test("the client is the first address from the right that is no trusted proxy's", () => {
  const cases: [peer: string, forwardedFor: string | null, client: string][] = [
    ["203.0.113.1", null, "203.0.113.1"],
    ["203.0.113.1", "192.0.2.1", "192.0.2.1"],
    ["203.0.113.1", "6.6.6.6, 192.0.2.1", "192.0.2.1"],
    ["203.0.113.1", "6.6.6.6, 192.0.2.1, 203.0.113.2", "192.0.2.1"],
    ["203.0.113.1", "203.0.113.9, 192.0.2.1,203.0.113.2,203.0.113.3", "192.0.2.1"],
    // Nobody but proxies: the one that is furthest away.
    ["203.0.113.1", "203.0.113.3, 203.0.113.2", "203.0.113.3"],
    // A stranger's word is not heard.
    ["198.51.100.1", "192.0.2.1", "198.51.100.1"],
    ["198.51.100.1", "203.0.113.5", "198.51.100.1"],
    ["::ffff:203.0.113.1", "2001:DB8:5:0::1", "2001:db8:5::1"],
    ["2001:db8:5::1", "2001:DB8:0:0::7", "2001:db8::7"],
    ["203.0.113.1", "::ffff:192.0.2.1", "192.0.2.1"],
  ];
  for (const [peer, field, client] of cases) {
    assert.equal(chain.clientAddress(peer, field), client, `${field}`);
  }
});

Deno.test("ports and brackets are no obstacle", () => {
  for (
    const [entry, client] of [
      ["192.0.2.1:4711", "192.0.2.1"],
      ["[2001:db8::1]:443", "2001:db8::1"],
      ["[2001:db8::1]", "2001:db8::1"],
      ["\t192.0.2.1 ", "192.0.2.1"],
      ["[::ffff:192.0.2.1]:1", "192.0.2.1"],
    ]
  ) {
    assert.equal(chain.clientAddress("203.0.113.1", `6.6.6.6, ${entry}`), client, entry);
  }
});

Deno.test("an entry that is no address ends the walk at the last one that was", () => {
  const garbage = [
    ...["unknown", "_hidden", "1.2.3", "010.0.0.1", "1.2.3.4:port", "1.2.3.4:123456", "[1.2.3.4", "::1]:80"],
    ...["[::1]80", "[[::1]]", "1.2.3.4;5.6.7.8", "\u00e4", "localhost", "[]"],
  ];
  for (const entry of garbage) {
    assert.equal(chain.clientAddress("203.0.113.1", `6.6.6.6, ${entry}`), "203.0.113.1", entry);
    assert.equal(chain.clientAddress("203.0.113.1", `6.6.6.6, ${entry}, 203.0.113.2`), "203.0.113.2", entry);
  }
});

Deno.test("empty elements mean nothing", () => {
  for (const field of ["", " ", ",", ",,, ,"]) {
    assert.equal(chain.clientAddress("203.0.113.1", field), "203.0.113.1", `"${field}"`);
  }
  assert.equal(chain.clientAddress("203.0.113.1", ",192.0.2.1, ,203.0.113.2,,"), "192.0.2.1");
});

Deno.test("a chain of proxies has an end", () => {
  const long = ["192.0.2.1", ...Array(100_000).fill("203.0.113.2")].join(",");
  assert.equal(chain.clientAddress("203.0.113.1", long), "203.0.113.2");
});

Deno.test("whatever a client sends, it is taken for nobody but the address its proxy saw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.array(fc.ipV4()).map((list) => list.join(", "))), (claim) => {
      // What every proxy does: it appends the address of its own peer.
      assert.equal(chain.clientAddress("203.0.113.1", `${claim}, 192.0.2.1`), "192.0.2.1");
      assert.equal(chain.clientAddress("192.0.2.1", claim), "192.0.2.1");
    }),
  );
});

Deno.test("networkKey takes IPv4 addresses whole and IPv6 addresses by 64 bits", () => {
  assert.equal(networkKey("192.0.2.1"), "192.0.2.1");
  assert.equal(networkKey("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
  assert.equal(networkKey("2001:db8:1:2::"), "2001:db8:1:2");
  assert.equal(networkKey("2001:db8:1::2"), "2001:db8:1:0");
  assert.equal(networkKey("::1"), "0:0:0:0");
  assert.equal(networkKey("no:address"), "no:address");
});

Deno.test("networkKey of every IPv6 address is its first four groups", () => {
  fc.assert(
    fc.property(fc.uint16Array({ minLength: 8, maxLength: 8 }), fc.nat(255), (groups, zeros) => {
      for (let i = 0; i < 8; i++) if ((zeros >> i & 1) === 1) groups[i] = 0;
      const expected = [...groups.subarray(0, 4)].map((group) => group.toString(16)).join(":");
      assert.equal(networkKey(formatIpv6(groups)), expected);
    }),
  );
});
