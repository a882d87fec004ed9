/** The user's own example of plugins, and what that text promises of them, through the real program. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Dispa } from "../support/dispa.ts";
import { field, ok, RawUpstream } from "../support/upstream.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SEED = Deno.readTextFileSync(join(ROOT, "tests/data/seed/plugins.toml"));
const HOST = "a.example.com";

function basics(url: string): string {
  return `[domains]
intercept_domains = ["*.example.com"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
`;
}

/** Gives `use` a program that does what `lines` say, in a folder that is gone afterwards. */
async function withProgram(lines: string, use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-seed-" });
  try {
    const path = join(folder, "plugin.sh");
    await Deno.writeTextFile(path, `#!/bin/sh\nread -r input\n${lines}\n`, { mode: 0o755 });
    await use(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The example with files that are there, and time for them on a busy machine. */
function seedPlugins(program: string): string {
  return SEED.replaceAll("/usr/local/bin/myplugin", program)
    .replace("./plugins/filter.wasm", join(ROOT, "examples/plugins/wasm/stamp.wasm"))
    .replaceAll("timeout_ms = 200", "timeout_ms = 5000")
    .replace('cwd = "/var/run"', 'cwd = "/tmp"');
}

function invocations(dispa: Dispa, plugin: string, stage = "request"): Promise<number> {
  return dispa.metric(`dispa_plugin_invocations_total{plugin="${plugin}",stage="${stage}"}`);
}

Deno.test("every plugin of the seed's example does what it says, also on hosts that are not intercepted", () =>
  withProgram(`echo '{"set_headers":{"x-added":"1"}}'`, async (program) => {
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({ toml: basics(upstream.url) + seedPlugins(program) });
    const response = await dispa.fetch(HOST, "/old/x?q=1");
    assert.deepEqual([response.status, response.headers.get("x-power")], [200, "dispa"]);
    const [sent] = upstream.requests;
    assert.equal(sent.target, "/new/x?q=1");
    assert.deepEqual([field(sent, "x-added"), field(sent, "x-stamped")], ["1", "wasm"]);
    assert.equal(field(sent, "x-request-id"), (await dispa.record("of it", () => true)).request_id);
    for (const [host, path] of [[HOST, "/admin/x"], [HOST, "/%61dmin"], ["internal.example.com", "/"]]) {
      const blocked = await dispa.fetch(host, path);
      assert.deepEqual([blocked.status, blocked.headers.get("x-dispa-error")], [403, "forbidden"], path);
    }
    assert.equal(
      await dispa.metric('dispa_plugin_short_circuits_total{plugin="block",stage="request"}'),
      3,
    );
    assert.deepEqual([await invocations(dispa, "inject"), await invocations(dispa, "cmd")], [4, 1]);
    assert.equal((await dispa.fetch("other.org")).status, 404);
    assert.equal(await invocations(dispa, "inject"), 5);
    assert.equal(upstream.requests.length, 1);
  }));

Deno.test("with apply_before_domain_match = false no plugin runs on hosts that are not intercepted", () =>
  withProgram(`echo '{"short_circuit":{"status":403,"body":"blocked"}}'`, async (program) => {
    await using upstream = new RawUpstream(() => ok("hello"));
    const plugins = seedPlugins(program)
      .replace("apply_before_domain_match = true", "apply_before_domain_match = false")
      .replace("rate_per_sec = 100.0, burst = 200.0", "rate_per_sec = 0.001, burst = 1.0");
    await using dispa = await Dispa.start({ toml: basics(upstream.url) + plugins });
    assert.equal((await dispa.fetch("other.org")).status, 404);
    assert.equal(await invocations(dispa, "inject"), 0);
    const blocked = await dispa.fetch(HOST);
    assert.deepEqual([blocked.status, await blocked.text()], [403, "blocked"]);
    const limited = await dispa.fetch(HOST);
    assert.equal(limited.status, 429);
    assert.ok(Number(limited.headers.get("retry-after")) > 0);
    assert.deepEqual([await invocations(dispa, "inject"), await invocations(dispa, "wasm-filter")], [2, 0]);
    assert.equal(upstream.requests.length, 0);
  }));

Deno.test("a route's plugins run in the order of its lists, on answers before those for all", async () => {
  const setter = (name: string, scope: string) =>
    `[[plugins.plugins]]
name = "${name}"
type = "headerinjector"
stage = "both"
scope = "${scope}"
config = { request_headers = { "x-last" = "${name}" }, response_headers = { "x-last" = "${name}" } }
`;
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: `${basics(upstream.url)}
[plugins]
enabled = true
${setter("all", "all")}${setter("a", "routes")}${setter("b", "routes")}
[[routing.rules]]
name = "api"
conditions = { path = { prefix = "/api" } }
plugins_request = ["b", "a"]
plugins_response = ["a"]
`,
  });
  const routed = await dispa.fetch(HOST, "/api");
  const other = await dispa.fetch(HOST, "/");
  assert.deepEqual(upstream.requests.map((request) => field(request, "x-last")), ["a", "all"]);
  assert.deepEqual([routed, other].map(({ headers }) => headers.get("x-last")), ["all", "all"]);
  assert.deepEqual([await invocations(dispa, "a", "response"), await invocations(dispa, "b", "response")], [
    1,
    0,
  ]);
});

for (const stage of ["request", "response"]) {
  Deno.test(`a plugin that fails on the ${stage} is passed over with continue, and makes it a 500 with fail`, () =>
    withProgram("exit 3", async (program) => {
      await using upstream = new RawUpstream(() => ok("hello"));
      const toml = (strategy: string) =>
        `${basics(upstream.url)}
[plugins]
enabled = true
[[plugins.plugins]]
name = "cmd"
type = "command"
stage = "${stage}"
error_strategy = "${strategy}"
config = { exec = "${program}", timeout_ms = 5000 }
`;
      await using dispa = await Dispa.start({ toml: toml("continue") });
      assert.equal((await dispa.fetch(HOST)).status, 200);
      await dispa.reload(toml("fail"));
      const failed = await dispa.fetch(HOST);
      assert.deepEqual([failed.status, failed.headers.get("x-dispa-error")], [500, "plugin_failed"]);
      assert.doesNotMatch(await failed.text(), /hello/);
      assert.equal(upstream.requests.length, stage === "request" ? 1 : 2);
      const errors = `dispa_plugin_errors_total{plugin="cmd",stage="${stage}",kind="io"}`;
      assert.equal(await dispa.metric(errors), 2);
    }));
}
