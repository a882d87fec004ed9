import assert from "node:assert/strict";
import { requestMessage } from "../../support/messages.ts";
import { now, onePlugin } from "./support.ts";

const cases: [from: string, to: string, targets: Record<string, string>][] = [
  ["/old", "/new", {
    "/old": "/new",
    "/old/": "/new/",
    "/old/x?y=/old": "/new/x?y=/old",
    "/old?": "/new?",
    "/older": "/older",
    "/x/old": "/x/old",
    "/x/../%6fld/a%20b": "/new/a%20b",
    "/other//x/%2e?q": "/other//x/%2e?q",
  }],
  ["/old/", "/new/v2/", { "/old": "/new/v2", "/old/x": "/new/v2/x" }],
  ["/old", "/", { "/old": "/", "/old/": "/", "/old/x": "/x" }],
  ["/", "/app", { "/": "/app/", "/x": "/app/x", "/x/": "/app/x/" }],
  ["/", "/", { "/": "/", "/x?y": "/x?y" }],
  ["/a", "/ü {b}", { "/a/c": "/%C3%BC%20%7Bb%7D/c" }],
];

for (const [from, to, targets] of cases) {
  Deno.test(`pathrewrite puts ${to} in the place of ${from}`, async () => {
    const settings = `{ from_prefix = "${from}", to_prefix = "${to}" }`;
    const { requestChain, responseChain } = await onePlugin("pathrewrite", settings);
    assert.equal(responseChain, null);
    for (const [target, expected] of Object.entries(targets)) {
      const request = requestMessage({ target });
      assert.equal(now(requestChain!.runRequest(request)), null);
      assert.equal(request.target, expected, target);
    }
  });
}
