/** Programs, WebAssembly modules and scripts as plugins of the real program. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Dispa, dispaCommand } from "../support/dispa.ts";
import { field, ok, RawUpstream } from "../support/upstream.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/plugins/", import.meta.url));

function toml(url: string, plugin: string): string {
  return `
[domains]
intercept_domains = ["*"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
[plugins]
enabled = true
[[plugins.plugins]]
name = "p"
${plugin}`;
}

async function counted(dispa: Dispa, sample: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`);
  const line = (await response.text()).split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? 0 : Number(line.split(" ").at(-1));
}

async function script(folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await Deno.writeTextFile(path, text, { mode: 0o755 });
  return path;
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-plugin-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a program changes the request or answers it, as the seed's protocol says", () =>
  withFolder(async (folder) => {
    const exec = await script(
      folder,
      "p.sh",
      `#!/bin/sh
read -r input
case "$input" in
  *'"path":"/blocked"'*) echo '{"short_circuit":{"status":403,"body":"blocked"}}' ;;
  *) echo '{"set_headers":{"x-added":"1"}}' ;;
esac
`,
    );
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({
      toml: toml(upstream.url, `type = "command"\nconfig = { exec = "${exec}", timeout_ms = 5000 }`),
    });
    assert.equal((await dispa.fetch("a.com", "/x")).status, 200);
    assert.equal(field(upstream.requests[0], "x-added"), "1");
    const blocked = await dispa.fetch("a.com", "/blocked");
    assert.deepEqual([blocked.status, await blocked.text()], [403, "blocked"]);
    assert.equal(await counted(dispa, 'dispa_plugin_short_circuits_total{plugin="p",stage="request"}'), 1);
  }));

for (
  const [kind, program, timeoutMs] of [
    ["io", "#!/bin/sh\necho oops >&2\nexit 3\n", 5000],
    ["bad_output", "#!/bin/sh\necho not json\n", 5000],
    ["timeout", "#!/bin/sh\nsleep 30 & wait\n", 200],
  ] as const
) {
  Deno.test(`a program that fails (${kind}) is counted, and the error strategy decides`, () =>
    withFolder(async (folder) => {
      const exec = await script(folder, "p.sh", program);
      await using upstream = new RawUpstream(() => ok("hello"));
      const plugin = (strategy: string) =>
        `type = "command"\nerror_strategy = "${strategy}"\nconfig = { exec = "${exec}", timeout_ms = ${timeoutMs} }`;
      await using dispa = await Dispa.start({ toml: toml(upstream.url, plugin("continue")) });
      assert.equal((await dispa.fetch("a.com")).status, 200);
      assert.equal(
        await counted(dispa, `dispa_plugin_errors_total{plugin="p",stage="request",kind="${kind}"}`),
        1,
      );
      await using strict = await Dispa.start({ toml: toml(upstream.url, plugin("fail")) });
      const failed = await strict.fetch("a.com");
      assert.deepEqual([failed.status, failed.headers.get("x-dispa-error")], [500, "plugin_failed"]);
    }));
}

Deno.test("a WebAssembly module changes requests", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  const module = join(EXAMPLES, "wasm/stamp.wasm");
  await using dispa = await Dispa.start({
    toml: toml(upstream.url, `type = "wasm"\nconfig = { module_path = "${module}", timeout_ms = 5000 }`),
  });
  for (let i = 0; i < 3; i++) assert.equal((await dispa.fetch("a.com")).status, 200);
  assert.deepEqual(upstream.requests.map((request) => field(request, "x-stamped")), ["wasm", "wasm", "wasm"]);
});

Deno.test("an endless loop in a module is stopped, and other requests go on", () =>
  withFolder(async (folder) => {
    const { assemble } = await import("../../examples/plugins/wasm/build.ts");
    const spin = (await Deno.readTextFile(join(EXAMPLES, "wasm/stamp.wat")))
      .replace("(global.set $result_len (global.get $answer_len))", "(loop $again (br $again))");
    assert.ok(spin.includes("$again"));
    const module = join(folder, "spin.wasm");
    await Deno.writeFile(module, await assemble("spin.wat", spin));
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({
      toml: toml(
        upstream.url,
        `type = "wasm"\nscope = "routes"\nconfig = { module_path = "${module}", timeout_ms = 300 }
[[routing.rules]]
name = "spinning"
plugins_request = ["p"]
conditions.path.prefix = "/spin"
`,
      ),
    });
    const [spun, ...others] = await Promise.all([
      dispa.fetch("a.com", "/spin"),
      ...Array.from({ length: 5 }, () => dispa.fetch("a.com", "/")),
    ]);
    assert.deepEqual([spun.status, ...others.map(({ status }) => status)], [200, 200, 200, 200, 200, 200]);
    assert.equal(
      await counted(dispa, 'dispa_plugin_errors_total{plugin="p",stage="request",kind="timeout"}'),
      1,
    );
    // The module's thread has been replaced.
    assert.equal((await dispa.fetch("a.com", "/spin")).status, 200);
  }));

Deno.test("a module that lacks an export is refused with its name", () =>
  withFolder(async (folder) => {
    const { assemble } = await import("../../examples/plugins/wasm/build.ts");
    const module = join(folder, "bad.wasm");
    await Deno.writeFile(module, await assemble("bad.wat", '(module (memory (export "memory") 1))'));
    await using upstream = new RawUpstream(() => ok("hello"));
    const path = join(folder, "config.toml");
    await Deno.writeTextFile(
      path,
      `[server]\nbind_address = "127.0.0.1:0"\n[monitoring]\nenabled = false\n[logging]\nenabled = false\n` +
        toml(upstream.url, `type = "wasm"\nconfig = { module_path = "${module}" }`),
    );
    const { code, stderr } = await dispaCommand(["run", "-c", path]).output();
    assert.equal(code, 1);
    assert.match(new TextDecoder().decode(stderr), /plugin "p".*alloc/s);
  }));

Deno.test("a script sees and changes both messages, and cannot read files in its sandbox", () =>
  withFolder(async (folder) => {
    const module = await script(
      folder,
      "p.js",
      `export const onRequest = async (request) => {
  if (request.path === "/own") return new Response("from the script", { status: 418 });
  let secret = "none";
  try { secret = await Deno.readTextFile("/etc/hostname"); } catch (fault) { secret = fault.name; }
  request.headers.set("x-secret", secret);
  if (request.path === "/old") request.path = "/new";
};
export const onResponse = (request, response) => { response.headers.set("x-seen", request.method); };
`,
    );
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({
      toml: toml(
        upstream.url,
        `type = "script"\nstage = "both"\nconfig = { module = "${module}", sandbox = true, timeout_ms = 5000 }`,
      ),
    });
    const response = await dispa.fetch("a.com", "/old?q=1");
    assert.equal(response.headers.get("x-seen"), "GET");
    assert.equal(upstream.requests[0].target, "/new?q=1");
    assert.match(field(upstream.requests[0], "x-secret") ?? "", /NotCapable|PermissionDenied/);
    const own = await dispa.fetch("a.com", "/own");
    assert.deepEqual([own.status, await own.text()], [418, "from the script"]);
  }));
