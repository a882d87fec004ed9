import assert from "node:assert/strict";
import * as fc from "fast-check";
import { encodePath, isUnder, matchingPath, splitTarget } from "../../../src/http/path.ts";

Deno.test("matchingPath resolves, decodes once and merges, so that spellings of one path are one", () => {
  const cases: [string, string][] = [
    ["/", "/"],
    ["/a/b", "/a/b"],
    ["/a/b/", "/a/b/"],
    ["//admin", "/admin"],
    ["/x/../admin", "/admin"],
    ["/%61dmin", "/admin"],
    ["/%2561dmin", "/%61dmin"],
    ["/a%2Fb", "/a/b"],
    ["/a/%2e%2e/b", "/b"],
    ["/a/..", "/"],
    ["/../..", "/"],
    ["/a/.", "/a/"],
    ["/a\\b", "/a/b"],
    ["/a%5c..%5cb", "/b"],
    ["/.hidden", "/.hidden"],
    ["/caf%C3%A9", "/café"],
    ["/caf\xc3\xa9", "/café"],
    ["/a%00b", "/a\0b"],
  ];
  for (const [path, wanted] of cases) assert.equal(matchingPath(path), wanted, path);
});

Deno.test("bytes that are no UTF-8 survive matching and encoding", () => {
  assert.equal(encodePath(matchingPath("/caf%E9/%C3%A9/%F0%9F%92")), "/caf%E9/%C3%A9/%F0%9F%92");
  assert.equal(encodePath(matchingPath("/\xff\xfe")), "/%FF%FE");
});

Deno.test("encodePath is undone by matchingPath for every path in matching form", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const path = matchingPath(encodePath(`/${text}`));
    assert.equal(matchingPath(encodePath(path)), path);
  }));
});

Deno.test("matchingPath never throws and always begins with a slash, whatever the bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    const path = `/${Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`;
    const matched = matchingPath(path);
    assert.ok(matched.startsWith("/"));
    assert.ok(!matched.includes("//"));
    assert.ok(!matched.split("/").includes(".."));
    assert.equal(matchingPath(encodePath(matched)), matched);
  }));
});

Deno.test("encodePath makes something of half a character", () => {
  assert.equal(encodePath("/\ud83d"), "/%EF%BF%BD");
});

Deno.test("isUnder goes by whole segments", () => {
  assert.ok(isUnder("/admin", "/admin"));
  assert.ok(isUnder("/admin/x", "/admin"));
  assert.ok(isUnder("/admin/x", "/admin/"));
  assert.ok(isUnder("/anything", "/"));
  assert.ok(!isUnder("/administrator", "/admin"));
  assert.ok(!isUnder("/Admin", "/admin"));
});

Deno.test("splitTarget tells an empty query from none", () => {
  assert.deepEqual(splitTarget("/a?"), { path: "/a", query: "" });
  assert.deepEqual(splitTarget("/a"), { path: "/a", query: null });
  assert.deepEqual(splitTarget("/a?b?c"), { path: "/a", query: "b?c" });
});
