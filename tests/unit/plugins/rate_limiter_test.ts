import assert from "node:assert/strict";
import { rateLimiterSettings } from "../../../src/config/plugins/rate_limiter.ts";
import type { FlatHeaders } from "../../../src/http/flat_headers.ts";
import type { RequestMessage } from "../../../src/http/message.ts";
import type { Plugin } from "../../../src/plugins/plugin.ts";
import { sharedPluginBytes } from "../../../src/plugins/mod.ts";
import { rateLimiter } from "../../../src/plugins/rate_limiter.ts";
import { accepted, ONE_TARGET } from "../config/support.ts";

/** The plugin as each of several proxy threads has it. Tokens come back too slowly for a test to see. */
async function instances(config: Record<string, unknown>, threads = 1): Promise<Plugin[]> {
  const settings = rateLimiterSettings.parse({ rate_per_sec: 0.001, ...config });
  const bytes = rateLimiter.sharedBytes?.(settings) ?? 0;
  const shared = new SharedArrayBuffer(bytes);
  const context = {
    name: "limit",
    shared,
    log: () => assert.fail("nothing to log"),
    commandMetrics: { ran: () => assert.fail("runs nothing"), failed: () => assert.fail("runs nothing") },
  };
  return await Promise.all(Array.from({ length: threads }, () => rateLimiter.create(settings, context)));
}

function request(
  parts: { clientIp?: string; host?: string; path?: string; headers?: FlatHeaders },
): RequestMessage {
  const { clientIp = "192.0.2.1", host = "example.com", path = "/", headers = [] } = parts;
  return {
    method: "GET",
    scheme: "http",
    clientIp,
    host,
    requestId: "r",
    target: path,
    path,
    query: null,
    headers,
  };
}

/** What becomes of requests that follow each other: `.` passes, `x` is refused. */
async function fates(plugin: Plugin, ...requests: Parameters<typeof request>[0][]): Promise<string> {
  let text = "";
  for (const parts of requests) text += await plugin.onRequest?.(request(parts)) === null ? "." : "x";
  return text;
}

Deno.test("ratelimiter counts all requests together unless told otherwise, in all threads", async () => {
  const [one, other] = await instances({ burst: 3 }, 2);
  assert.equal(await fates(one, { clientIp: "1.1.1.1" }, { host: "b.org" }), "..");
  assert.equal(await fates(other, { path: "/x" }, { clientIp: "2.2.2.2" }), ".x");
  assert.equal(await fates(one, {}), "x");
});

Deno.test("ratelimiter tells requests apart by its key", async () => {
  const [ip] = await instances({ burst: 1, key: "ip" });
  const ips = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
  assert.equal(await fates(ip, ...ips.map((clientIp) => ({ clientIp }))), "..x.x.");

  const [host] = await instances({ burst: 1, key: "HOST" });
  assert.equal(await fates(host, { host: "a.org" }, { host: "b.org", path: "/x" }, { host: "a.org" }), "..x");

  const [path] = await instances({ burst: 1, key: "path" });
  assert.equal(await fates(path, { path: "/a" }, { path: "/b", host: "b.org" }, { path: "/a" }), "..x");

  const [header] = await instances({ burst: 1, key: "Header:X-Api-Key" });
  assert.equal(
    await fates(
      header,
      { headers: ["x-api-key", "k1"] },
      { headers: ["x-api-key", "k2"] },
      { headers: ["accept", "*/*", "x-api-key", "k1"] },
      { headers: [] },
      { headers: ["accept", "*/*"] },
      { headers: ["x-api-key", "k1", "x-api-key", "k2"] },
      { headers: ["x-api-key", "k1, k2"] },
    ),
    "..x.x.x",
  );
});

Deno.test("ratelimiter refuses with 429 and says when to come again", async () => {
  const [plugin] = await instances({ burst: 1 });
  assert.equal(await fates(plugin, {}), ".");
  assert.deepEqual(await plugin.onRequest?.(request({})), {
    code: "rate_limited",
    message: "Too many requests: try again in 1000 s",
    headers: ["retry-after", "1000"],
  });
});

Deno.test("explaining a ratelimiter takes no token", async () => {
  const [plugin] = await instances({ burst: 1 });
  for (let i = 0; i < 3; i++) assert.equal(plugin.explain?.(request({}), null), null);
  assert.equal(await fates(plugin, {}), ".");
  assert.deepEqual(plugin.explain?.(request({}), null), await plugin.onRequest?.(request({})));
});

Deno.test("explaining one request that meets a ratelimiter twice counts both", async () => {
  const [plugin] = await instances({ burst: 1 });
  const asked = request({});
  assert.equal(plugin.explain?.(asked, null), null);
  assert.notEqual(plugin.explain?.(asked, null), null);
  assert.equal(await fates(plugin, {}), ".");
});

Deno.test("ratelimiter has as much burst as a second's rate unless told otherwise, and at least one", async () => {
  const [three] = await instances({ rate_per_sec: 3 });
  assert.equal(await fates(three, {}, {}, {}, {}), "...x");
  const [one] = await instances({});
  assert.equal(await fates(one, {}, {}), ".x");
});

Deno.test("the control thread is asked for the memory of each ratelimiter that runs", async () => {
  const { plugins } = await accepted(`
[plugins]
enabled = true
plugins = [
  { name = "one", type = "ratelimiter", config = { rate_per_sec = 100.0, burst = 200.0 } },
  { name = "off", type = "ratelimiter", enabled = false, config = { rate_per_sec = 1 } },
  { name = "many", type = "RateLimiter", config = { requests_per_second = 1, key = "ip" } },
]
${ONE_TARGET}`);
  const bytes = sharedPluginBytes(plugins);
  assert.deepEqual([...bytes.keys()], ["one", "many"]);
  assert.ok((bytes.get("one") ?? 0) < (bytes.get("many") ?? 0));
});

Deno.test("ratelimiter wants memory, a little for one bucket, the same for any rate", () => {
  const bytes = (config: Record<string, unknown>) =>
    rateLimiter.sharedBytes?.(rateLimiterSettings.parse(config)) ?? 0;
  assert.ok(bytes({ rate_per_sec: 1 }) > 0 && bytes({ rate_per_sec: 1 }) <= 1024);
  assert.equal(bytes({ rate_per_sec: 1, key: "ip" }), bytes({ rate_per_sec: 9, burst: 4, key: "path" }));
  assert.throws(
    () =>
      rateLimiter.create(rateLimiterSettings.parse({ rate_per_sec: 1 }), {
        name: "limit",
        shared: null,
        log: () => {},
        commandMetrics: { ran() {}, failed() {} },
      }),
    TypeError,
  );
});

Deno.test("the settings of ratelimiter are checked", () => {
  const wrong = [
    {},
    { rate_per_sec: 0 },
    { rate_per_sec: -1 },
    { rate_per_sec: "5" },
    { rate_per_sec: 1e7 },
    { rate_per_sec: 1, burst: 0.5 },
    ...["", "ips", "header", "header:", "header:a b", "header:a:b", "cookie:a"].map((key) => ({
      rate_per_sec: 1,
      key,
    })),
  ];
  for (const config of wrong) {
    assert.equal(rateLimiterSettings.safeParse(config).success, false, JSON.stringify(config));
  }
  assert.deepEqual(rateLimiterSettings.parse({ rate_per_sec: 100.0, burst: 200.0 }), {
    rate_per_sec: 100,
    burst: 200,
    key: { by: "global" },
  });
});
