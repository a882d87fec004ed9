import assert from "node:assert/strict";
import fc from "fast-check";
import { requestMessage } from "../../support/messages.ts";
import { now, onePlugin } from "./support.ts";

/** What a blocklist says of a request: `host`, `path`, or null for "go on". */
async function blocker(
  config: string,
): Promise<(parts: { host?: string; target?: string }) => string | null> {
  const { requestChain, responseChain } = await onePlugin("blocklist", config);
  assert.ok(requestChain !== null && responseChain === null);
  return (parts) => {
    const outcome = now(requestChain.runRequest(requestMessage(parts)));
    if (outcome === null) return null;
    assert.ok(outcome.kind === "refuse" && outcome.refusal.code === "forbidden");
    return /^Forbidden: this (\w+) is blocked$/.exec(outcome.refusal.message)![1];
  };
}

Deno.test("blocklist refuses exact hosts, and subdomains of *. hosts at any depth", async () => {
  const blocks = await blocker('{ hosts = ["Internal.Example.com.", "*.example.org", "[::1]", "10.0.0.1"] }');
  for (
    const host of [
      ...["internal.example.com", "a.example.org", "a.b.example.org"],
      ...["[::1]", "[0:0:0:0:0:0:0:1]", "[0::0001]", "10.0.0.1"],
    ]
  ) assert.equal(blocks({ host }), "host", host);
  for (
    const host of [
      ...["example.com", "x.internal.example.com", "internal.example.com.evil", "example.org"],
      ...["evilexample.org", "example.org.evil", "[::2]", "[::1:::]", "10.0.0.10", "0.0.1"],
    ]
  ) assert.equal(blocks({ host }), null, host);
});

Deno.test("blocklist refuses paths by whole segments", async () => {
  const blocks = await blocker('{ paths = ["/admin", "/a/b/c/", "/private"] }');
  for (
    const target of ["/admin", "/admin/", "/admin/x", "/admin?x", "/a/b/c", "/a/b/c/d/e", "/private/x/y?z"]
  ) {
    assert.equal(blocks({ target }), "path", target);
  }
  for (
    const target of ["/", "/administrator", "/x/admin", "/a/b", "/a/b/cd", "/a/c/b", "/Admin", "/x?p=/admin"]
  ) {
    assert.equal(blocks({ target }), null, target);
  }
});

Deno.test("no spelling of a path slips by a blocklist", async () => {
  const blocks = await blocker('{ paths = ["/admin", "/ünï code"] }');
  for (
    const target of [
      ...["/x/../admin", "/%61dmin", "//admin", "/./admin/", "/x/%2e%2e/admin", "/%2Fadmin", "/x/..%2fadmin"],
      ...[
        "/\\admin",
        "/x%5c..%5cadmin",
        "/admin%2Fx",
        "/admin;x=1",
        "/admin;/x",
        "/x/..;/admin",
        "/;a/admin",
      ],
      "/%C3%BCn%C3%AF%20code",
    ]
  ) assert.equal(blocks({ target }), "path", target);
  for (const target of ["/a;dmin", "/x;/admi", "/%2561dmin"]) assert.equal(blocks({ target }), null, target);
});

Deno.test("blocklist looks at the path that an earlier plugin has made", async () => {
  const blocks = await blocker('{ paths = ["/"] }');
  assert.equal(blocks({ target: "/" }), "path");
  assert.equal(blocks({ target: "/any" }), "path");
  const { requestChain } = await onePlugin("blocklist", '{ paths = ["/new"] }');
  const request = requestMessage({ target: "/old" });
  assert.equal(now(requestChain!.runRequest(request)), null);
  request.path = "/new/x";
  assert.equal(now(requestChain!.runRequest(request))?.kind, "refuse");
});

Deno.test("blocklist blocks a path if and only if some blocked path is it or a folder above it", async () => {
  const segment = fc.constantFrom("a", "b", "ab");
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join("/")}`);
  await fc.assert(
    fc.asyncProperty(fc.array(path, { maxLength: 3 }), fc.array(path), async (blocked, asked) => {
      const blocks = await blocker(JSON.stringify(blocked).replace(/^/, "{ paths = ") + " }");
      for (const target of asked) {
        const expected = blocked.some((prefix) => target === prefix || target.startsWith(`${prefix}/`));
        assert.equal(blocks({ target }), expected ? "path" : null);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("an empty blocklist lets everything pass", async () => {
  const blocks = await blocker("{}");
  assert.equal(blocks({ host: "a.b", target: "/" }), null);
});
