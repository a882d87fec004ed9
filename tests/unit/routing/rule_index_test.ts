/** The index must never leave out a rule that fits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { PrefixTable } from "../../../src/routing/prefix_table.ts";
import { request, type RequestParts, tableOf } from "./support.ts";

const segments = fc.constantFrom("a", "b", "ab", "aa", "ä", "");
const paths = fc.array(segments, { maxLength: 4 })
  .map((parts) => `/${parts.filter((part, index) => part !== "" || index === parts.length - 1).join("/")}`);
const hosts = fc.constantFrom("a.example", "b.example", "c.example", "[::1]");
const several = <Value>(entry: fc.Arbitrary<Value>) => fc.array(entry, { minLength: 1, maxLength: 3 });
const some = <Keys extends Record<string, fc.Arbitrary<unknown>>>(keys: Keys) =>
  fc.record(keys, { requiredKeys: [] });

const rules = fc.array(
  some({
    priority: fc.integer({ min: -2, max: 2 }),
    enabled: fc.constantFrom(true, true, true, false),
    conditions: some({
      method: fc.constantFrom("GET", "POST"),
      host: some({
        exact: several(hosts),
        contains: fc.constantFrom("a", "."),
        regex: fc.constantFrom("^a", "e$"),
      }),
      path: fc.oneof(
        some({ exact: several(paths), suffix: fc.constantFrom("a", "/") }),
        some({ prefix: several(paths), contains: fc.constantFrom("a", "b/") }),
        some({ regex: fc.constantFrom("^/a", "^/a*b", "^(/a)", "/b$", "^/ä?", "^/a{2}", "^/a|b") }),
      ),
      headers: fc.constant({ "x-a": "1" }),
    }),
  }),
  { maxLength: 12 },
);
const requests = fc.record({
  method: fc.constantFrom("GET", "POST"),
  host: fc.oneof(hosts, fc.constant("x")),
  target: paths.map(encodeURI),
  headers: fc.constantFrom<string[]>([], ["x-a", "1"]),
});

Deno.test("the index and trying every rule in turn come to the same rule", async () => {
  let matches = 0;
  await fc.assert(
    fc.asyncProperty(rules, fc.array(requests, { minLength: 1, maxLength: 10 }), async (rules, requests) => {
      const named = rules.map((rule, index) => ({ name: `r${index}`, ...rule }));
      const table = await tableOf(stringify({ routing: { rules: named } }));
      for (const parts of requests) {
        const found = table.match(request(parts))?.name ?? null;
        let tried: string | null = null;
        const inTurn = table.match(request(parts), (rule, { outcome }) => {
          if (outcome === "matched") tried = rule;
        });
        assert.deepEqual([found, tried], [inTurn?.name ?? null, inTurn?.name ?? null]);
        if (found !== null) matches++;
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(matches > 300, `only ${matches} requests were taken by a rule`);
});

Deno.test("a table of prefixes finds all prefixes of a text, and no others", () => {
  const texts = fc.string({ unit: fc.constantFrom("/", "a", "b", "\uffff", "𝒳"), maxLength: 6 });
  fc.assert(
    fc.property(fc.uniqueArray(texts, { maxLength: 20 }), texts, (prefixes, text) => {
      const lists: (readonly number[])[] = [];
      new PrefixTable(new Map(prefixes.map((prefix, index) => [prefix, [index]]))).collect(text, lists);
      const found = lists.flat().map((index) => prefixes[index]).sort();
      assert.deepEqual(found, prefixes.filter((prefix) => text.startsWith(prefix)).sort());
    }),
    { numRuns: 1000 },
  );
});

Deno.test("of 3,000 rules on hosts or prefixes of their own, a request is tried on few", async () => {
  const rule = (index: number, conditions: string) =>
    `[[routing.rules]]\nname = "r${index}"\nconditions.${conditions}\n`;
  const table = await tableOf(
    Array.from(
      { length: 1500 },
      (_, index) =>
        rule(index, `host.exact = "h${index}.example"`) + rule(index + 1500, `path.prefix = "/p${index}/"`),
    ).join(""),
  );
  for (
    const [parts, name] of [
      [{ host: "h1499.example", target: "/none" }, "r1499"],
      [{ host: "none", target: "/p1499/x" }, "r2999"],
    ] satisfies [RequestParts, string][]
  ) {
    const message = request(parts);
    let looks = 0;
    const watched = Object.create(message, {
      host: { get: () => (looks++, message.host) },
      path: { get: () => (looks++, message.path) },
    });
    assert.equal(table.match(watched)?.name, name);
    // Two to find the rules, one for the condition.
    assert.equal(looks, 3, name);
  }
});
