import assert from "node:assert/strict";
import { explained, request, type RequestParts, tableOfRule } from "./support.ts";

/** A condition, requests that fit, and requests that do not with what an explanation says of them. */
const cases: [condition: string, fitting: RequestParts[], others: [RequestParts, string][]][] = [
  ["method = ['GET', 'put']", [{ method: "GET" }, { method: "PUT" }], [
    [{ method: "POST" }, 'method wanted "GET" or "PUT", found POST'],
    [{ method: "get" }, 'method wanted "GET" or "PUT", found get'],
  ]],
  ["path.exact = '/a b'", [{ target: "/a%20b" }, { target: "//a%20b" }, { target: "/x/../a%20b?q" }], [
    [{ target: "/a%20b/" }, 'path.exact wanted "/a b", found "/a b/"'],
    [{ target: "/A%20b" }, 'path.exact wanted "/a b", found "/A b"'],
  ]],
  ["path.exact = ['/a', '/b']", [{ target: "/a" }, { target: "/b?x" }], [
    [{ target: "/c" }, 'path.exact wanted "/a" or "/b", found "/c"'],
  ]],
  ["path.prefix = '/admin'", [{ target: "/admin" }, { target: "/administrator" }, {
    target: "/x/..//%61dmin/y",
  }], [
    [{ target: "/x/admin" }, 'path.prefix wanted "/admin", found "/x/admin"'],
  ]],
  ["path.prefix = ['/a/', '/b/']", [{ target: "/a/" }, { target: "/b/c" }], [
    [{ target: "/a" }, 'path.prefix wanted "/a/" or "/b/", found "/a"'],
  ]],
  ["path.suffix = '.png'", [{ target: "/x.png?y" }, { target: "/x%2Epng" }], [
    [{ target: "/x.jpg?.png" }, 'path.suffix wanted ".png", found "/x.jpg"'],
  ]],
  ["path.suffix = ['.a', '.b']", [{ target: "/x.b" }], [[
    { target: "/x" },
    'path.suffix wanted ".a" or ".b", found "/x"',
  ]]],
  ["path.contains = '/v2/'", [{ target: "/x/v2/y" }], [
    [{ target: "/v2" }, 'path.contains wanted "/v2/", found "/v2"'],
  ]],
  ["path.contains = ['x', 'y']", [{ target: "/y" }], [[
    { target: "/z" },
    'path.contains wanted "x" or "y", found "/z"',
  ]]],
  ["path.regex = '^/v[0-9]+/'", [{ target: "/v10/x" }, { target: "/%761/x" }], [
    [{ target: "/v/x" }, 'path.regex wanted ^/v[0-9]+/, found "/v/x"'],
  ]],
  ["path.regex = '^/private/.*$'", [{ target: "/private/%0A" }], []],
  ["host.exact = 'Example.com'", [{ host: "example.com" }], [
    [{ host: "www.example.com" }, 'host.exact wanted "example.com", found "www.example.com"'],
  ]],
  ["host.exact = ['a', '[::1]']", [{ host: "[::1]" }], [[
    { host: "b" },
    'host.exact wanted "a" or "[::1]", found "b"',
  ]]],
  ["host.contains = 'API'", [{ host: "my-api.example" }], [
    [{ host: "ap.i" }, 'host.contains wanted "api", found "ap.i"'],
  ]],
  ["host.regex = '^(a|b)[.]'", [{ host: "b.example" }], [
    [{ host: "c.example" }, 'host.regex wanted ^(a|b)[.], found "c.example"'],
  ]],
  ["client_ip = ['10.0.0.0/8', '192.168.1.*', '2001:db8::/32', '1.2.3.4']", [
    { clientIp: "10.255.0.1" },
    { clientIp: "192.168.1.77" },
    { clientIp: "2001:db8:1::5" },
    { clientIp: "1.2.3.4" },
  ], [
    [
      { clientIp: "192.168.2.1" },
      'client_ip wanted "10.0.0.0/8" or "192.168.1.0/24" or "2001:db8::/32" or "1.2.3.4", found 192.168.2.1',
    ],
    [
      { clientIp: "2001:db9::1" },
      'client_ip wanted "10.0.0.0/8" or "192.168.1.0/24" or "2001:db8::/32" or "1.2.3.4", found 2001:db9::1',
    ],
    [
      { clientIp: "unix" },
      'client_ip wanted "10.0.0.0/8" or "192.168.1.0/24" or "2001:db8::/32" or "1.2.3.4", found unix',
    ],
  ]],
  ["headers = [{ name = 'X-A', value = '1' }]", [
    { headers: ["x-a", "1"] },
    { headers: ["x-a", "0", "x-a", "1"] },
  ], [
    [{}, 'headers.x-a wanted exact "1", found missing'],
    [{ headers: ["x-a", "11", "x-a", "2"] }, 'headers.x-a wanted exact "1", found "11" or "2"'],
    [{ headers: ["x-b", "1"] }, 'headers.x-a wanted exact "1", found missing'],
  ]],
  ["headers = { x-a = ['1', '2'] }", [{ headers: ["x-a", "2"] }], [
    [{ headers: ["x-a", "3"] }, 'headers.x-a wanted exact "1" or "2", found "3"'],
  ]],
  ["headers = [{ name = 'x', value = { contains = 'b' } }]", [{ headers: ["x", "abc"] }], [
    [{ headers: ["x", "ac"] }, 'headers.x wanted contains "b", found "ac"'],
  ]],
  ["headers = [{ name = 'x', value = { starts_with = 'a', ends_with = ['c', 'd'] } }]", [{
    headers: ["x", "abd"],
  }], [
    [{ headers: ["x", "bd"] }, 'headers.x wanted prefix "a" and suffix "c" or "d", found "bd"'],
    [{ headers: ["x", "ab"] }, 'headers.x wanted prefix "a" and suffix "c" or "d", found "ab"'],
    // One value has to do it all.
    [
      { headers: ["x", "a", "x", "c"] },
      'headers.x wanted prefix "a" and suffix "c" or "d", found "a" or "c"',
    ],
  ]],
  ["headers = [{ name = 'user-agent', value_regex = '(?i)bot' }]", [{ headers: ["user-agent", "a Bot/1"] }], [
    [{ headers: ["user-agent", "curl"] }, 'headers.user-agent wanted regex (?i)bot, found "curl"'],
  ]],
  ["headers = [{ name = 'x', exists = true }]", [{ headers: ["x", ""] }], [[
    {},
    "headers.x wanted any value, found missing",
  ]]],
  ["headers = [{ name = 'x', exists = false }]", [{}], [[
    { headers: ["x", "1"] },
    'headers.x wanted missing, found "1"',
  ]]],
  ["headers = [{ name = 'authorization', value = 'Bearer s3' }]", [{
    headers: ["authorization", "Bearer s3"],
  }], [
    [
      { headers: ["authorization", "Bearer other"] },
      "headers.authorization wanted a value, which is not shown, found another value, which is not shown",
    ],
  ]],
  ["headers = [{ name = 'cookie', exists = false }]", [{}], [
    [{ headers: ["cookie", "s3cret"] }, "headers.cookie wanted missing, found a value, which is not shown"],
  ]],
  ["headers = [{ name = 'x', value = '1' }, { name = 'y', value = '2' }]", [{
    headers: ["y", "2", "x", "1"],
  }], [
    [{ headers: ["x", "1"] }, 'headers.y wanted exact "2", found missing'],
  ]],
  ["query_params = [{ name = 'a b', value = 'ä&=' }]", [
    { target: "/?a%20b=%C3%A4%26%3D" },
    { target: "/?x=1&a+b=%c3%a4%26=" },
    { target: "/?a+b=\xc3\xa4%26%3d" },
    { target: "/?a+b=1&a+b=%C3%A4%26%3D" },
  ], [
    [{ target: "/" }, 'query_params.a b wanted exact "ä&=", found missing'],
    [{ target: "/?" }, 'query_params.a b wanted exact "ä&=", found missing'],
    [{ target: "/?a+b=%C3%A4" }, 'query_params.a b wanted exact "ä&=", found "ä"'],
  ]],
  ["query_params = [{ name = 'page', value_regex = '^[0-9]+$' }]", [{ target: "/?page=10" }], [
    [{ target: "/?page=" }, 'query_params.page wanted regex ^[0-9]+$, found ""'],
  ]],
  ["query_params = [{ name = 'q' }]", [{ target: "/?q" }, { target: "/?q=1" }], [
    [{ target: "/?Q=1" }, "query_params.q wanted any value, found missing"],
  ]],
  ["query_params = [{ name = 'token', value = 'x' }]", [], [
    [
      { target: "/?token=y" },
      "query_params.token wanted a value, which is not shown, found another value, which is not shown",
    ],
  ]],
  ["query_params = [{ name = 'q', exists = false }]", [{ target: "/?Q" }], [
    [{ target: "/?q=1" }, 'query_params.q wanted missing, found "1"'],
  ]],
];

for (const [condition, fitting, others] of cases) {
  Deno.test(`the condition ${condition} takes what it says and nothing else`, async () => {
    const table = await tableOfRule(`conditions.${condition}`);
    for (const parts of fitting) {
      assert.equal(table.match(request(parts))?.name, "r", JSON.stringify(parts));
      assert.deepEqual(explained(table, request(parts)), ["r: matched"]);
    }
    for (const [parts, failure] of others) {
      assert.equal(table.match(request(parts)), null, JSON.stringify(parts));
      assert.deepEqual(explained(table, request(parts)), [`r: ${failure}`]);
    }
  });
}

Deno.test("all conditions have to hold, and the first that fails is told", async () => {
  const table = await tableOfRule(`conditions.method = "GET"
conditions.host.exact = "example.com"
conditions.path = { prefix = "/a", suffix = "z" }
conditions.client_ip = "192.0.2.1"
conditions.headers = { x = "1" }
conditions.query_params = { q = "1" }`);
  const fits: RequestParts = { target: "/az?q=1", headers: ["x", "1"] };
  assert.equal(table.match(request(fits))?.name, "r");
  for (
    const [change, key] of [
      [{ method: "PUT", host: "x" }, "method"],
      [{ host: "x", target: "/" }, "host.exact"],
      [{ target: "/bz?q=1" }, "path.prefix"],
      [{ target: "/ab?q=1", clientIp: "::1" }, "path.suffix"],
      [{ clientIp: "192.0.2.2", headers: [] }, "client_ip"],
      [{ headers: ["x", "2"], target: "/az" }, "headers.x"],
      [{ target: "/az?q=2" }, "query_params.q"],
    ] satisfies [RequestParts, string][]
  ) {
    assert.equal(table.match(request({ ...fits, ...change })), null, key);
    assert.ok(explained(table, request({ ...fits, ...change }))[0].startsWith(`r: ${key} wanted`), key);
  }
});

Deno.test("a rule without conditions takes every request", async () => {
  const table = await tableOfRule("");
  assert.equal(table.match(request({ method: "DELETE", host: "x", target: "/%2e" }))?.name, "r");
});
