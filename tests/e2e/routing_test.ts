/** Routing rules through the real program. */
import assert from "node:assert/strict";
import { Dispa, type TrafficLine } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { runsOn } from "../support/runtime.ts";
import { field, ok, RawUpstream } from "../support/upstream.ts";

const HEAD = `
[domains]
intercept_domains = ["*"]
[targets.health_check]
enabled = false
`;

function target(name: string, upstream: { url: string }, more = ""): string {
  return `[[targets.targets]]\nname = "${name}"\nurl = "${upstream.url}"\n${more}\n`;
}

Deno.test("rules choose targets by path, method, header, query, host and client, larger priority first", async () => {
  await using one = new RawUpstream(() => ok("one"));
  await using two = new RawUpstream(() => ok("two"));
  await using dispa = await Dispa.start({
    toml: `${HEAD}${target("one", one)}${target("two", two)}
[routing]
default_target = "one"
[[routing.rules]]
name = "low"
priority = 1
target = "one"
conditions.path.prefix = "/api"
[[routing.rules]]
name = "high"
priority = 10
target = "two"
conditions.path.prefix = "/api"
conditions.method = ["GET", "PUT"]
[[routing.rules]]
name = "beta"
target = "two"
conditions.headers = [{ name = "x-beta", value = "yes" }]
[[routing.rules]]
name = "page"
target = "two"
conditions.query_params = [{ name = "page", value_regex = "^[0-9]+$" }]
[[routing.rules]]
name = "shop"
target = "two"
conditions.host.exact = "shop.example.com"
[[routing.rules]]
name = "off"
enabled = false
target = "two"
conditions.path.prefix = "/off"
`,
  });
  const goes = async (wanted: string, host: string, path: string, init: RequestInit = {}) => {
    assert.equal(await (await dispa.fetch(host, path, init)).text(), wanted, `${host}${path}`);
  };
  await goes("two", "a.com", "/api/x");
  await goes("one", "a.com", "/api/x", { method: "POST", body: "b" });
  await goes("two", "a.com", "//x/../%61pi/x");
  await goes("two", "a.com", "/", { headers: { "x-beta": "yes" } });
  await goes("one", "a.com", "/", { headers: { "x-beta": "no" } });
  await goes("two", "a.com", "/?page=12");
  await goes("one", "a.com", "/?page=x");
  await goes("two", "shop.example.com", "/");
  await goes("one", "a.com", "/off");
  const record: TrafficLine = await dispa.record("of the rule", (record) => record.route === "high");
  assert.equal(record.target, "two");
});

Deno.test("a rule changes path and headers, redirects, and answers by itself", async () => {
  await using one = new RawUpstream(() => "HTTP/1.1 200 OK\r\nserver: secret\r\ncontent-length: 2\r\n\r\nhi");
  await using dispa = await Dispa.start({
    toml: `${HEAD}${target("one", one)}
[[routing.rules]]
name = "rewrite"
conditions.path.prefix = "/old/"
request_actions.path.replace_prefix = { pattern = "/old", replacement = "/new" }
request_actions.headers.set = { "x-routed" = "yes" }
request_actions.headers.remove = ["x-internal"]
response_actions.headers.remove = ["server"]
response_actions.headers.set = { "x-served" = "rule" }
[[routing.rules]]
name = "moved"
conditions.path.exact = "/moved"
redirect = { to = "https://{host}/there{query}", status_code = 301 }
[[routing.rules]]
name = "robots"
conditions.path.exact = "/robots.txt"
custom_response = { status_code = 200, body = "User-agent: *", headers = { "cache-control" = "max-age=60" } }
`,
  });
  const rewritten = await dispa.fetch("a.com", "/old/a%20b?q=1", { headers: { "x-internal": "1" } });
  assert.deepEqual([rewritten.headers.get("server"), rewritten.headers.get("x-served")], [null, "rule"]);
  const [request] = one.requests;
  assert.equal(request.target, "/new/a%20b?q=1");
  assert.deepEqual([field(request, "x-routed"), field(request, "x-internal")], ["yes", undefined]);
  const moved = await dispa.fetch("a.com", "/moved?x=1");
  assert.deepEqual([moved.status, moved.headers.get("location")], [301, "https://a.com/there?x=1"]);
  const robots = await dispa.fetch("a.com", "/robots.txt");
  assert.deepEqual([robots.status, await robots.text(), robots.headers.get("cache-control")], [
    200,
    "User-agent: *",
    runsOn(2, 9) ? "max-age=60" : "max-age=60, no-transform",
  ]);
  assert.equal(one.requests.length, 1);
});

Deno.test("a split shares requests between groups, and keeps a client where it is told to", async () => {
  await using one = new RawUpstream(() => ok("stable"));
  await using two = new RawUpstream(() => ok("canary"));
  await using dispa = await Dispa.start({
    toml: `${HEAD}${target("one", one, 'group = "stable"')}${target("two", two, 'group = "canary"')}
[[routing.rules]]
name = "canary"
conditions.path.prefix = "/shop"
split = [{ group = "stable", weight = 70 }, { group = "canary", weight = 30 }]
split_sticky = "cookie:session"
[[routing.rules]]
name = "group"
conditions.path.prefix = "/canary"
group = "canary"
`,
  });
  const seen = new Set<string>();
  for (let client = 0; client < 40; client++) {
    const headers = { cookie: `session=client-${client}` };
    const first = await (await dispa.fetch("a.com", "/shop", { headers })).text();
    assert.equal(await (await dispa.fetch("a.com", "/shop", { headers })).text(), first);
    seen.add(first);
  }
  assert.deepEqual([...seen].sort(), ["canary", "stable"]);
  for (let i = 0; i < 4; i++) assert.equal(await (await dispa.fetch("a.com", "/canary")).text(), "canary");
});

Deno.test("a mirror gets a copy and can neither delay nor fail the real request", async () => {
  await using real = new RawUpstream(() => ok("real"));
  const unanswered: Deno.TcpConn[] = [];
  await using silent = new RawUpstream(() => (socket) => void unanswered.push(socket));
  await using dispa = await Dispa.start({
    toml: `${HEAD}${target("real", real)}${target("silent", silent)}
[[targets.targets]]
name = "dead"
url = "http://127.0.0.1:${freePort()}"
[[routing.rules]]
name = "copied"
conditions.path.prefix = "/copied"
target = "real"
mirror = { target = "silent", max_body_bytes = 10 }
[[routing.rules]]
name = "to-the-dead"
target = "real"
mirror = { target = "dead" }
`,
  });
  const post = (path: string, body: string) => dispa.fetch("a.com", path, { method: "POST", body });
  assert.equal(await (await post("/copied/1?q=2", "0123456789")).text(), "real");
  await eventually("the copy", () => silent.requests.length === 1 ? true : undefined);
  const [copy] = silent.requests;
  assert.deepEqual([copy.method, copy.target, copy.body], ["POST", "/copied/1?q=2", "0123456789"]);
  assert.equal(await (await post("/copied/2", "longer than ten bytes")).text(), "real");
  assert.equal(await (await post("/x", "y")).text(), "real");
  assert.equal(await (await dispa.fetch("a.com", "/x")).text(), "real");
  await eventually("the counters", async () => {
    const text = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`)).text();
    const has = (target: string, result: string, count: number) =>
      text.includes(`dispa_mirror_requests_total{target="${target}",result="${result}"} ${count}\n`);
    return has("silent", "too_large", 1) && has("dead", "failed", 2) ? true : undefined;
  });
  for (const socket of unanswered) socket.close();
});

Deno.test("plugin lists that stand as dotted keys after the header actions are those of the rule, with a warning", async () => {
  await using one = new RawUpstream(() => ok("one"));
  await using dispa = await Dispa.start({
    toml: `${HEAD}${target("one", one)}
[plugins]
enabled = true
[[plugins.plugins]]
name = "mark"
type = "headerinjector"
stage = "both"
scope = "routes"
config = { request_headers = { x-mark = "1" }, response_headers = { x-mark = "1" } }
[[routing.rules]]
name = "api"
priority = 100
target = "one"
[routing.rules.conditions.path]
prefix = "/api"
[routing.rules.actions.headers]
set = { "x-a" = "1" }
routing.rules.plugins_request = ["mark"]
routing.rules.plugins_response = ["mark"]
`,
  });
  const marked = await dispa.fetch("a.com", "/api/x");
  assert.equal(marked.headers.get("x-mark"), "1");
  assert.equal(field(one.requests[0], "x-mark"), "1");
  assert.equal((await dispa.fetch("a.com", "/x")).headers.get("x-mark"), null);
  assert.match(dispa.stderr.text, /plugins_request/);
});
