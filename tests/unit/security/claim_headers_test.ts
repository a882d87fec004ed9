/** Claims as header fields, and the memory of verified tokens. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isFieldValue } from "../../../src/http/flat_headers.ts";
import { ClaimHeaders } from "../../../src/security/claim_headers.ts";
import { TokenCache } from "../../../src/security/token_cache.ts";

const one = new ClaimHeaders([{ claim: "c", header: "x-c" }]);
const valueOf = (claim: unknown) => one.fieldsOf({ c: claim })[1];

Deno.test("texts, numbers, flags and lists of them are passed on, in bytes that every upstream reads alike", () => {
  for (
    const [claim, value] of [
      ["user-7", "user-7"],
      ["a b, c", "a b, c"],
      [" a ", "%20a%20"],
      [7, "7"],
      [0, "0"],
      [true, "true"],
      [["admin", "user", 3], "admin,user,3"],
      [["a,b", "c"], "a%2Cb,c"],
      ["100%", "100%25"],
      ["Jos\u00e9 \u{1f600}", "Jos%C3%A9 %F0%9F%98%80"],
      ["a\r\nx-admin: 1", "a%0D%0Ax-admin: 1"],
      ["a\u0000\u007f\tb", "a%00%7F%09b"],
      ["\ud800", "%EF%BF%BD"],
      ["x".repeat(4096), "x".repeat(4096)],
    ]
  ) {
    assert.equal(valueOf(claim), value, JSON.stringify(claim));
  }
  for (const claim of [null, undefined, {}, { a: 1 }, [], [["a"]], ["a", null], "", "x".repeat(4097)]) {
    assert.equal(valueOf(claim), undefined, JSON.stringify(claim));
  }
  assert.deepEqual(new ClaimHeaders([{ claim: "toString", header: "x-c" }]).fieldsOf({}), []);
});

Deno.test("whatever a claim holds, its field is a valid one, and two texts never look the same", () => {
  const texts = fc.string({ unit: "binary", maxLength: 50 });
  fc.assert(
    fc.property(fc.oneof(texts, fc.array(texts)), (claim) => {
      const value = valueOf(claim);
      if (value === undefined) return;
      assert.ok(isFieldValue(value) && /^[ -~]*$/.test(value), value);
      const back = typeof claim === "string"
        ? decodeURIComponent(value)
        : value.split(",").map(decodeURIComponent);
      assert.deepEqual(
        back,
        typeof claim === "string" ? claim.toWellFormed() : claim.map((t) => t.toWellFormed()),
      );
    }),
  );
});

Deno.test("a client's own fields are taken out in every spelling that a server may read as the same", () => {
  const claims = new ClaimHeaders([{ claim: "a", header: "x-user-id" }, { claim: "b", header: "x_role" }]);
  const headers = [
    ...[
      "x-user-id",
      "1",
      "accept",
      "a",
      "x_user_id",
      "2",
      "x.user.id",
      "3",
      "x-user-id",
      "4",
      "x_user-id",
      "5",
    ],
    ...["x-role", "6", "x_role", "7", "x-user-id2", "8", "xuserid", "9", "user-id", "10"],
  ];
  claims.strip(headers);
  assert.deepEqual(headers, ["accept", "a", "x-user-id2", "8", "xuserid", "9", "user-id", "10"]);
});

Deno.test("the cache forgets at the end of a token, the least used first, and long values sooner", () => {
  const cache = new TokenCache();
  cache.set("a", { expiresMs: 1000, fields: ["x", "y"] });
  assert.deepEqual(cache.get("a", 999), { expiresMs: 1000, fields: ["x", "y"] });
  assert.equal(cache.get("a", 1000), null);
  assert.equal(cache.size, 0);

  const far = 1e15;
  for (let i = 0; i < 10_000; i++) cache.set(`${i}`, { expiresMs: far, fields: [] });
  assert.notEqual(cache.get("0", 0), null);
  cache.set("new", { expiresMs: far, fields: [] });
  assert.deepEqual([cache.size, cache.get("1", 0)], [10_000, null]);
  assert.ok(cache.get("0", 0) !== null && cache.get("new", 0) !== null);

  cache.clear();
  const long = "x".repeat(1024 * 1024);
  for (let i = 0; i < 6; i++) cache.set(`${i}`, { expiresMs: far, fields: [long] });
  assert.deepEqual([cache.size, cache.get("1", 0)], [4, null]);
  for (let i = 0; i < 100; i++) cache.set("same", { expiresMs: far, fields: [long] });
  assert.equal(cache.size, 4);
});
