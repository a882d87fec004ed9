import assert from "node:assert/strict";
import * as fc from "fast-check";
import { DomainTable, PatternTable } from "../../../src/proxy/domains.ts";

Deno.test("PatternTable matches exact names, subdomains of any depth, prefixes and everything", () => {
  const table = new PatternTable(["example.com", "*.example.org", "any.*"]);
  const cases: [string, string | null][] = [
    ["example.com", "example.com"],
    ["www.example.com", null],
    ["example.org", null],
    ["a.example.org", "*.example.org"],
    ["a.b.c.example.org", "*.example.org"],
    ["evilexample.org", null],
    [".example.org", null],
    ["any.com", "any.*"],
    ["any.co.uk", "any.*"],
    ["any", null],
    ["xany.com", null],
    ["[::1]", null],
  ];
  for (const [host, pattern] of cases) assert.equal(table.match(host), pattern, host);
  assert.equal(new PatternTable(["*"]).match("[::1]"), "*");
});

Deno.test("PatternTable prefers exact, then the longest suffix, then the longest prefix, then all", () => {
  const table = new PatternTable(["*", "a.*", "a.b.*", "*.d", "*.c.d", "a.b.c.d"]);
  assert.equal(table.match("a.b.c.d"), "a.b.c.d");
  assert.equal(table.match("x.c.d"), "*.c.d");
  assert.equal(table.match("x.d"), "*.d");
  assert.equal(table.match("a.b.e"), "a.b.*");
  assert.equal(table.match("a.e"), "a.*");
  assert.equal(table.match("e"), "*");
});

Deno.test("DomainTable lets an exclude win over any intercept", () => {
  const table = new DomainTable({
    intercept: ["*.example.com", "b.example.com"],
    exclude: ["b.example.com"],
  });
  assert.equal(table.match("a.example.com"), "*.example.com");
  assert.equal(table.match("b.example.com"), null);
});

Deno.test("PatternTable agrees with the plain reading of each pattern", () => {
  const label = fc.constantFrom("a", "b", "example", "com");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  const pattern = fc.oneof(name, name.map((text) => `*.${text}`), name.map((text) => `${text}.*`));
  const matches = (rule: string, host: string) =>
    rule.startsWith("*.")
      ? host.endsWith(rule.slice(1)) && host.length > rule.length - 1
      : rule.endsWith(".*")
      ? host.startsWith(rule.slice(0, -1))
      : host === rule;
  fc.assert(fc.property(fc.array(pattern, { maxLength: 6 }), name, (patterns, host) => {
    const found = new PatternTable(patterns).match(host);
    if (found === null) assert.ok(!patterns.some((rule) => matches(rule, host)));
    else assert.ok(patterns.includes(found) && matches(found, host), `${found} for ${host}`);
  }));
});
