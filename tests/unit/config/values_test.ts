import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatSocketAddress,
  parseHostname,
  parseSocketAddress,
  parseTargetUrl,
} from "../../../src/config/address.ts";
import { parseDomainPattern } from "../../../src/config/domain_pattern.ts";
import type { Parsed } from "../../../src/config/fields.ts";
import { nearest } from "../../../src/config/nearest.ts";
import { formatPath } from "../../../src/config/problem.ts";
import { redactUrl } from "../../../src/config/redact.ts";

function valueOf<Value>(parsed: Parsed<Value>): Value {
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.wanted);
  return parsed.value;
}

Deno.test("parseSocketAddress takes host and port apart", () => {
  const addresses: [string, string, number][] = [
    ["0.0.0.0:8080", "0.0.0.0", 8080],
    [":8080", "0.0.0.0", 8080],
    ["[::]:8080", "::", 8080],
    ["[2001:DB8::1]:1", "2001:db8::1", 1],
    ["LocalHost:0", "localhost", 0],
    ["proxy.internal:65535", "proxy.internal", 65535],
  ];
  for (const [text, hostname, port] of addresses) {
    assert.deepEqual(valueOf(parseSocketAddress(text)), { hostname, port });
  }
});

Deno.test("parseSocketAddress refuses what is no address with a port", () => {
  for (
    const text of [
      "",
      "8080",
      ":",
      "localhost",
      "::1:8080",
      "::",
      "[::1]",
      "[::1:80",
      "[zz]:80",
      "[fe80::1%eth0]:80",
      "[127.0.0.1]:80",
      "1.2.3.4:65536",
      "1.2.3.4:-1",
      "1.2.3:80",
      "999.1.1.1:80",
      "a b:80",
      "http://a:80",
      "a:80/x",
      "a:8 0",
    ]
  ) assert.equal(parseSocketAddress(text).ok, false, text);
});

Deno.test("formatSocketAddress is the inverse of parseSocketAddress", () => {
  fc.assert(fc.property(
    fc.oneof(fc.ipV4(), fc.ipV6().filter((ip) => parseHostname(ip).ok), fc.domain()),
    fc.nat(65535),
    (hostname, port) => {
      const address = { hostname: hostname.toLowerCase(), port };
      assert.deepEqual(valueOf(parseSocketAddress(formatSocketAddress(address))), address);
    },
  ));
});

Deno.test("parseTargetUrl takes a target's address apart", () => {
  const urls: [string, string, string, number, string][] = [
    ["http://10.0.0.1", "http://10.0.0.1", "10.0.0.1", 80, ""],
    ["HTTP://Host.Internal:80/", "http://host.internal", "host.internal", 80, ""],
    ["https://h", "https://h", "h", 443, ""],
    ["https://h:80", "https://h:80", "h", 80, ""],
    ["http://[::1]:3000/v1/", "http://[::1]:3000/v1", "::1", 3000, "/v1"],
    ["http://h/a%2Fb", "http://h/a%2Fb", "h", 80, "/a%2Fb"],
    ["http://bücher.de", "http://xn--bcher-kva.de", "xn--bcher-kva.de", 80, ""],
  ];
  for (const [text, url, hostname, port, basePath] of urls) {
    const protocol = url.startsWith("https") ? "https" : "http";
    assert.deepEqual(valueOf(parseTargetUrl(text)), { url, protocol, hostname, port, basePath });
  }
});

Deno.test("parseTargetUrl refuses what a target cannot be", () => {
  for (
    const text of [
      "",
      "10.0.0.1:80",
      "ftp://h",
      "ws://h",
      "unix:/run/x.sock",
      "http:h",
      "http:///h",
      "http://",
      "http://:80",
      "http://h:0",
      "http://h:65536",
      "http://h:x",
      "http://user@h",
      "http://user:pw@h",
      "http://h?x=1",
      "http://h/?",
      "http://h/#a",
      "http://h/a b",
      " http://h",
      "http://h\n",
      "http://h\\a",
      "http://h/../a",
      "http://h/a/%2E%2e/b",
      "http://[::1",
      "http://[fe80::1%25eth0]",
      "http://256.1.1.1",
      `http://h/${"a".repeat(2048)}`,
    ]
  ) assert.equal(parseTargetUrl(text).ok, false, text);
});

Deno.test("parseTargetUrl understands its own url", () => {
  fc.assert(fc.property(fc.webUrl({ validSchemes: ["http", "https"] }), (text) => {
    const parsed = parseTargetUrl(text);
    if (parsed.ok) assert.deepEqual(parseTargetUrl(parsed.value.url), parsed);
  }));
});

Deno.test("parseDomainPattern brings a pattern to its one form", () => {
  const patterns: [string, string][] = [
    ["example.com", "example.com"],
    ["Example.COM.", "example.com"],
    ["*", "*"],
    ["*.Example.com", "*.example.com"],
    ["*.com.", "*.com"],
    ["example.*", "example.*"],
    ["a.b.*", "a.b.*"],
    ["localhost", "localhost"],
    ["my_host", "my_host"],
    ["xn--bcher-kva.de", "xn--bcher-kva.de"],
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "[::1]"],
    ["[2001:DB8:0:0::1]", "[2001:db8::1]"],
  ];
  for (const [text, pattern] of patterns) assert.equal(valueOf(parseDomainPattern(text)), pattern);
});

Deno.test("parseDomainPattern refuses what never matches, or not what was meant", () => {
  for (
    const text of [
      "",
      ".",
      ".com",
      "a..b",
      "a*b.com",
      "*example.com",
      "*.*",
      "*.example.*",
      "a.*.b",
      "**",
      "example.com:80",
      "http://example.com",
      "example.com/",
      "bücher.de",
      "a b",
      `${"a".repeat(64)}.de`,
      `${"a.".repeat(127)}de`,
      "[::1",
      "fe80::1%eth0",
    ]
  ) assert.equal(parseDomainPattern(text).ok, false, text);
});

Deno.test("redactUrl hides passwords however they are written", () => {
  const urls: [string, string][] = [
    ["postgresql://u:p@h/d", "postgresql://u:********@h/d"],
    ["postgresql://u:p/w#?x@y@h:1/d", "postgresql://u:********@h:1/d"],
    ["postgresql://:p@h", "postgresql://:********@h"],
    ["postgresql://u@h/d?a=1&password=p&b=2", "postgresql://u@h/d?a=1&password=********&b=2"],
    ["postgresql://u@h/d", "postgresql://u@h/d"],
    ["postgresql://h:5432/d", "postgresql://h:5432/d"],
    ["sqlite://./data/x.db", "sqlite://./data/x.db"],
    ["plain text", "plain text"],
  ];
  for (const [url, shown] of urls) assert.equal(redactUrl(url), shown);
});

Deno.test("redactUrl shows nothing of any password", () => {
  fc.assert(fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (secret) => {
    const unlikely = `<<${secret}>>`;
    assert.ok(!redactUrl(`postgresql://user:${unlikely}@host/db`).includes(unlikely));
  }));
});

Deno.test("nearest finds slips of the pen, and no more", () => {
  const keys = ["workers", "bind_address", "request_timeout", "header_timeout"];
  assert.equal(nearest("worker", keys), "workers");
  assert.equal(nearest("wokrers", keys), "workers");
  assert.equal(nearest("Workers", keys), "workers");
  assert.equal(nearest("bindaddress", keys), "bind_address");
  assert.equal(nearest("requst_timeout", keys), "request_timeout");
  assert.equal(nearest("tls", keys), null);
  assert.equal(nearest("x".repeat(1_000_000), keys), null);
});

Deno.test("formatPath quotes only what TOML would quote", () => {
  assert.equal(formatPath(["a", "b-1", 0, "x.y", "é"]), 'a.b-1[0]."x.y"."é"');
});
