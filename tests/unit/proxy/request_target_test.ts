import assert from "node:assert/strict";
import { parseAuthority, splitUrl, targetBytes, targetProblem } from "../../../src/proxy/request_target.ts";

Deno.test("parseAuthority lowers the case and drops port and trailing dot, and keeps IPv6 literals", () => {
  assert.deepEqual(parseAuthority("EXAMPLE.com.:8080"), { raw: "EXAMPLE.com.:8080", host: "example.com" });
  assert.deepEqual(parseAuthority("[::1]:80"), { raw: "[::1]:80", host: "[::1]" });
  assert.deepEqual(parseAuthority("my_host"), { raw: "my_host", host: "my_host" });
});

Deno.test("parseAuthority refuses what is no host with an optional port", () => {
  for (
    const raw of [
      "",
      ".",
      "a b",
      "u@h",
      "a/b",
      "a?b",
      "a:99999",
      "a:x",
      "a:",
      "a..b",
      "[::1",
      "::1",
      "a,b",
      "a%41",
      "-",
    ]
  ) {
    assert.equal(parseAuthority(raw), null, raw);
  }
});

Deno.test("splitUrl takes the target as it was sent, and the authority of an absolute-form over Host", () => {
  assert.deepEqual(splitUrl("http://Ex.com/a%2Fb/../c?x", "Ex.com"), {
    authority: "Ex.com",
    target: "/a%2Fb/../c?x",
  });
  assert.deepEqual(splitUrl("http://a//b.com/x", "a"), { authority: "a", target: "//b.com/x" });
  assert.deepEqual(splitUrl("http://other.com/x", "a"), { authority: "other.com", target: "/x" });
  assert.deepEqual(splitUrl("http://x.y?q=1", "x.y"), { authority: "x.y", target: "/?q=1" });
  assert.deepEqual(splitUrl("https://x.y", null), { authority: "x.y", target: "/" });
  // A Host that is a prefix of another name is not that name.
  assert.deepEqual(splitUrl("http://example.com.evil/x", "example.com"), {
    authority: "example.com.evil",
    target: "/x",
  });
});

Deno.test("targetProblem names control bytes, spaces, fragments and bad percent signs in the path", () => {
  for (const target of ["/a b", "/a\tb", "/\x7f", "/a#b", "/%", "/%4", "/%zz"]) {
    assert.notEqual(targetProblem(target), null, target);
  }
  for (const target of ["/", "/%41?x=100%", '/a|b"<>', "/%00", "/caf\u00e9"]) {
    assert.equal(targetProblem(target), null, target);
  }
});

Deno.test("targetBytes gives UTF-8 as one character a byte", () => {
  assert.equal(targetBytes("/caf\u00e9"), "/caf\xc3\xa9");
  assert.equal(targetBytes("/plain"), "/plain");
});
