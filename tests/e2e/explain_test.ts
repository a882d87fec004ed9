/** Why a request goes where it goes: on the command line, from a running proxy, and for a live request. */
import assert from "node:assert/strict";
import type { Explanation } from "../../src/http/explanation.ts";
import { Dispa, dispaCommand } from "../support/dispa.ts";
import { freePort } from "../support/ports.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const ADMIN_TOKEN = "an-admin-token-of-32-characters!";

function toml(url: string): string {
  return `
[domains]
intercept_domains = ["*.example.com"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
[plugins]
enabled = true
[[plugins.plugins]]
name = "inject"
type = "headerinjector"
config = { request_headers = { "x-tenant" = "blue", "x-api-key" = "s3cret" } }
[[plugins.plugins]]
name = "rewrite"
type = "pathrewrite"
config = { from_prefix = "/old", to_prefix = "/new" }
[[plugins.plugins]]
name = "block"
type = "blocklist"
config = { paths = ["/private"] }
[security.rate_limit]
rate_per_sec = 0.001
burst = 3
`;
}

async function run(args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await dispaCommand(args).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("dispa explain tells each step, the target and the request it would get, and no secret", async () => {
  const path = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(path, toml(`http://127.0.0.1:${freePort()}/base`));
    const asked = ["explain", "-c", path, "--host", "a.example.com"];
    const text = await run([...asked, "--path", "/old/x%20y?q=1", "--header", "X-Mine: yes"]);
    assert.equal(text.code, 0, text.err);
    assert.match(text.out, /sets x-tenant to blue/);
    assert.match(text.out, /target \/old\/x%20y\?q=1 becomes \/new\/x%20y\?q=1/);
    assert.match(text.out, /=> forwarded to one/);
    assert.match(text.out, /GET http:\/\/127\.0\.0\.1:\d+\/base\/new\/x%20y\?q=1/);
    assert.match(text.out, /x-mine: yes/);
    assert.doesNotMatch(text.out, /s3cret/);

    const blocked = await run([...asked, "--path", "/a/../%70rivate/x", "--json"]);
    const explanation: Explanation = JSON.parse(blocked.out);
    assert.deepEqual(
      [explanation.outcome, explanation.status, explanation.code],
      ["refuse", 403, "forbidden"],
    );
    const elsewhere = await run(["explain", "-c", path, "--host", "other.org", "--json"]);
    assert.equal(JSON.parse(elsewhere.out).code, "domain_not_found");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("dispa explain refuses what it cannot understand, with exit code 64", async () => {
  for (
    const [args, message] of [
      [[], /--host is missing/],
      [["--host", "a b"], /host is "a b"/],
      [["--host", "a", "--path", "x"], /path is "x"/],
      [["--host", "a", "--client-ip", "1.2.3"], /client IP is "1.2.3"/],
      [["--hots", "a"], /did you mean --host/],
    ] as const
  ) {
    const { code, err } = await run(["explain", ...args]);
    assert.equal(code, 64, args.join(" "));
    assert.match(err, message);
  }
});

Deno.test("a running proxy explains without counting, taking a token or sending anything", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream.url) });
  const ask = async (query: string): Promise<Explanation> => {
    const response = await fetch(`http://127.0.0.1:${dispa.metricsPort}/admin/explain?${query}`);
    assert.equal(response.status, 200, await response.clone().text());
    return await response.json();
  };
  // More often than the rate limit would let pass.
  for (let i = 0; i < 10; i++) {
    const explanation = await ask("host=a.example.com&path=/old/x");
    assert.deepEqual([explanation.outcome, explanation.target], ["forward", "one"]);
    assert.equal(explanation.upstream?.url, `${upstream.url}/new/x`);
  }
  assert.equal(upstream.accepted, 0);
  for (let i = 0; i < 3; i++) assert.equal((await dispa.fetch("a.example.com", "/")).status, 200);
  assert.equal((await dispa.fetch("a.example.com", "/")).status, 429);
  const limited = await ask("host=a.example.com&path=/");
  assert.deepEqual([limited.outcome, limited.code], ["refuse", "rate_limited"]);
});

Deno.test("a recorded request is explained by its id, with its record", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream.url) });
  await dispa.fetch("a.example.com", "/old/y", { headers: { "x-request-id": "req-1" } });
  await dispa.record("of req-1", (record) => record.request_id === "req-1");
  const { code, out, err } = await run([
    "explain",
    "-c",
    dispa.configPath,
    "--request-id",
    "req-1",
    "--json",
  ]);
  assert.equal(code, 0, err);
  const explanation = JSON.parse(out);
  assert.equal(explanation.record.path, "/old/y");
  assert.match(explanation.upstream.url, /\/new\/y$/);
  const unknown = await run(["explain", "-c", dispa.configPath, "--request-id", "req-2"]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /no request "req-2" is recorded/);
});

Deno.test("a live request that shows the admin token is told how it was decided; others are not, and no token is passed on", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(upstream.url).replace("burst = 3", "burst = 100"),
    env: { DISPA_ADMIN_TOKEN: ADMIN_TOKEN },
  });
  const withToken = (token: string, path = "/old/z") =>
    dispa.fetch("a.example.com", path, { headers: { "x-dispa-explain": token } });
  const told = await withToken(ADMIN_TOKEN);
  const explanation = JSON.parse(told.headers.get("x-dispa-explanation")!);
  assert.deepEqual([explanation.status, explanation.target], [200, "one"]);
  assert.ok(explanation.steps.some(({ step }: { step: string }) => step === "plugins"));
  const refused = await withToken(ADMIN_TOKEN, "/private");
  assert.equal(JSON.parse(refused.headers.get("x-dispa-explanation")!).code, "forbidden");
  assert.equal((await withToken(`${ADMIN_TOKEN}x`)).headers.get("x-dispa-explanation"), null);
  for (const { head } of upstream.requests) assert.doesNotMatch(head, /x-dispa-explain/i);
  assert.doesNotMatch(dispa.stderr.text, new RegExp(ADMIN_TOKEN));
});
