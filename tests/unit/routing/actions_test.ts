import assert from "node:assert/strict";
import type { ResponseMessage } from "../../../src/http/message.ts";
import type { Route } from "../../../src/routing/mod.ts";
import { request, type RequestParts, tableOfRule } from "./support.ts";

async function routeOf(keys: string): Promise<Route> {
  const route = (await tableOfRule(keys)).match(request());
  assert.ok(route);
  return route;
}

/** What the upstream would be asked for. */
async function rewritten(actions: string, target: string): Promise<string> {
  const message = request({ target });
  (await routeOf(actions)).applyRequest(message);
  return message.target;
}

Deno.test("header actions on a request remove, then set, then add", async () => {
  const route = await routeOf(`[routing.rules.request_actions.headers]
remove = ["X-Gone", "x-both"]
set = { "X-Set" = "1", "x-both" = "set", Host = "inner:81" }
add = { "x-set" = "2", "X-Both" = "add" }`);
  const message = request({
    headers: ["x-gone", "1", "x-set", "a", "x-gone", "2", "x-set", "b", "x-kept", "k"],
  });
  route.applyRequest(message);
  assert.deepEqual(message.headers, [
    ...["host", "inner:81", "x-set", "1", "x-kept", "k"],
    ...["x-both", "set", "x-set", "2", "x-both", "add"],
  ]);
});

Deno.test("header actions on an answer leave status and the rest alone", async () => {
  const route = await routeOf(`[routing.rules.response_actions.headers]
remove = ["server"]
set = { "x-frame-options" = "DENY" }
add = { "set-cookie" = "b=2" }`);
  const response: ResponseMessage = { status: 404, headers: ["server", "x", "set-cookie", "a=1"] };
  route.applyResponse(response);
  assert.deepEqual(response, {
    status: 404,
    headers: ["set-cookie", "a=1", "x-frame-options", "DENY", "set-cookie", "b=2"],
  });
});

const replace = (kind: string, pattern: string, replacement: string) =>
  `actions.path.${kind} = { pattern = '${pattern}', replacement = '${replacement}' }`;

const rewrites: [actions: string, target: string, wanted: string][] = [
  [replace("replace_prefix", "/old", "/new"), "/old/a?x=%20", "/new/a?x=%20"],
  [replace("replace_prefix", "/old", "/new"), "/older", "/newer"],
  [replace("replace_prefix", "/old", ""), "/old/a", "/a"],
  [replace("replace_prefix", "/old", ""), "/old", "/"],
  [replace("replace_prefix", "/old/", ""), "/old/a", "/a"],
  [replace("replace_prefix", "/old", "/new/"), "/old/a", "/new/a"],
  [replace("replace_prefix", "/a b", "/ä"), "/a%20b/c%2Fd", "/%C3%A4/c/d"],
  [replace("replace_suffix", ".htm", ".html"), "/x.htm?.htm", "/x.html?.htm"],
  [replace("regex_replace", "^/v([0-9]+)/(.*)$", "/$2/$1"), "/v2/a/b?q", "/a/b/2?q"],
  [replace("regex_replace", "a", "x$$$0"), "/aba", "/x$abx$a"],
  [replace("regex_replace", "^/x/", "/"), "/x//y", "/y"],
  // What deleting leaves must not climb.
  [replace("regex_replace", "x", ""), "/a/.x./b", "/b"],
  ['actions.path.add_prefix = "/v1"', "/a/", "/v1/a/"],
  ['actions.path.add_prefix = "v1"', "/a", "/v1/a"],
  ['actions.path.add_suffix = "/x"', "/a/?q", "/a/x?q"],
  ['actions.path.add_suffix = "%"', "/a", "/a%25"],
  [
    [
      "[routing.rules.actions.path]",
      'replace_prefix = { pattern = "/a", replacement = "/b" }',
      'replace_suffix = { pattern = "z", replacement = "y" }',
      'regex_replace = { pattern = "b|y", replacement = "<$0>" }',
      'add_prefix = "/p"',
      'add_suffix = "s"',
    ].join("\n"),
    "/az",
    "/p/%3Cb%3E%3Cy%3Es",
  ],
];

for (const [actions, target, wanted] of rewrites) {
  Deno.test(`${actions.replaceAll("\n", " ")} makes ${wanted} of ${target}`, async () => {
    assert.equal(await rewritten(actions, target), wanted);
  });
}

Deno.test("a path that no action touches stays byte for byte as the client wrote it", async () => {
  for (const target of ["/%61//b/../c?x=%7e", "/a%2Fb"]) {
    assert.equal(await rewritten(replace("replace_prefix", "/old", "/new"), target), target);
    assert.equal(await rewritten(replace("regex_replace", "old", "new"), target), target);
    assert.equal(await rewritten('actions.headers.set = { x = "1" }', target), target);
  }
});

Deno.test("a custom response has status, headers, body and content-type", async () => {
  const route = await routeOf(
    'custom_response = { status_code = 403, headers = { "X-Why" = "rule" }, body = "nö", content_type = "text/html" }',
  );
  const answer = route.answer(request());
  assert.deepEqual(answer, {
    status: 403,
    headers: ["x-why", "rule", "content-type", "text/html"],
    body: "nö",
  });
  answer?.headers.push("x-later", "1");
  assert.equal(
    route.answer(request())?.headers.length,
    4,
    "an answer can be changed without changing the next",
  );
});

Deno.test("a custom response by default is an empty 200, and headers may say the content-type", async () => {
  assert.deepEqual((await routeOf("custom_response = {}")).answer(request()), {
    status: 200,
    headers: [],
    body: null,
  });
  const json = await routeOf(
    'custom_response = { body = "{}", headers = { "Content-Type" = "application/json" } }',
  );
  assert.deepEqual(json.answer(request())?.headers, ["content-type", "application/json"]);
  const plain = await routeOf('custom_response.body = "x"');
  assert.deepEqual(plain.answer(request())?.headers, ["content-type", "text/plain; charset=utf-8"]);
});

const redirects: [keys: string, parts: RequestParts, location: string][] = [
  [
    'redirect.to = "https://{host}{path}{query}"',
    { target: "/a%20b?x=1&y" },
    "https://example.com/a%20b?x=1&y",
  ],
  ['redirect.to = "https://{host}{path}{query}"', { target: "/a", host: "[::1]" }, "https://[::1]/a"],
  ['redirect.to = "{scheme}://new.example{path}"', { target: "/a?x" }, "http://new.example/a"],
  ['redirect.to = "/new{query}"', { target: "/a?" }, "/new?"],
  // As it was written, this would lead to another host.
  ['redirect.to = "{path}"', { target: "//evil.example/x" }, "/evil.example/x"],
  ['redirect.to = "{path}"', { target: "/\\evil.example" }, "/evil.example"],
  ['redirect.to = "{path}"', { target: "/a%0D%0Ax:y" }, "/a%0D%0Ax:y"],
  [
    `redirect.to = "https://{host}{path}"\n${replace("replace_prefix", "/old", "/new")}`,
    { target: "/old/x" },
    "https://example.com/new/x",
  ],
];

for (const [keys, parts, location] of redirects) {
  Deno.test(`${keys.replaceAll("\n", " ")} sends ${parts.target} to ${JSON.stringify(location)}`, async () => {
    assert.deepEqual((await routeOf(keys)).answer(request(parts)), {
      status: 302,
      headers: ["location", location],
      body: null,
    });
  });
}

Deno.test("a redirect has the status it is given", async () => {
  assert.equal((await routeOf('redirect = { to = "/", status_code = 308 }')).answer(request())?.status, 308);
});

Deno.test("a rule without an answer of its own forwards", async () => {
  assert.equal((await routeOf('target = "a"')).answer(request()), null);
});
