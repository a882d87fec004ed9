/** The configuration is changed while the program runs. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

function toml(upstream: RawUpstream, domain = "example.com"): string {
  return `
[domains]
intercept_domains = ["${domain}"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
`;
}

Deno.test("a file replaced by rename is taken into use", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  await dispa.reload(toml(upstream, "other.com"));
  assert.equal((await dispa.fetch("other.com")).status, 200);
  assert.equal((await dispa.fetch("example.com")).status, 404);
  assert.equal(await dispa.metric('dispa_config_reloads_total{result="success"}'), 1);
  assert.equal(await dispa.metric("dispa_config_last_reload_success"), 1);
});

Deno.test("a file written in place is taken into use, also when -c is a relative path", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream), args: ["-c", "config.toml"] });
  const from = dispa.stderr.all.length;
  Deno.writeTextFileSync(dispa.configPath, dispa.config(toml(upstream, "other.com")));
  await dispa.stderr.waitFor(/configuration reloaded/, from);
  assert.equal((await dispa.fetch("other.com")).status, 200);
});

Deno.test("a bad file changes nothing, is said once with its line, and a good one after it works", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  const from = dispa.stderr.all.length;
  dispa.writeConfig(dispa.config(toml(upstream)).replace("workers = ", "workers = -"));
  const line = await dispa.stderr.waitFor(/not reloaded/, from);
  assert.match(line, /config\.toml:\d+:\d+ server\.workers/);
  assert.equal((await dispa.fetch("example.com")).status, 200);
  assert.equal(await dispa.metric('dispa_config_reloads_total{result="failure"}'), 1);
  assert.equal(await dispa.metric("dispa_config_last_reload_success"), 0);
  const { body } = await dispa.health();
  assert.match(String((body.config as { last_error: string }).last_error), /server\.workers/);
  await dispa.reload(toml(upstream, "other.com"));
  assert.equal((await dispa.fetch("other.com")).status, 200);
  assert.equal(await dispa.metric("dispa_config_last_reload_success"), 1);
  assert.equal(dispa.stderr.all.filter((text) => /not reloaded/.test(text)).length, 1);
});

for (const signal of ["SIGHUP", "SIGUSR1"] as const) {
  Deno.test(`${signal} reloads`, async () => {
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({ toml: toml(upstream) });
    const from = dispa.stderr.all.length;
    dispa.signal(signal);
    await dispa.stderr.waitFor(new RegExp(`configuration reloaded: ${signal}`), from);
    assert.equal((await dispa.fetch("example.com")).status, 200);
  });
}

Deno.test("a request in flight ends under the configuration it began with", async () => {
  const release = Promise.withResolvers<void>();
  await using slow = new RawUpstream(() => async (socket) => {
    await release.promise;
    await socket.write(new TextEncoder().encode(ok("slow")));
  });
  await using fast = new RawUpstream(() => ok("fast"));
  await using dispa = await Dispa.start({ toml: toml(slow) });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("the request arrives", () => slow.requests.length === 1);
  await dispa.reload(toml(fast));
  assert.equal(await (await dispa.fetch("example.com")).text(), "fast");
  release.resolve();
  await client.readUntil(/slow$/);
});

Deno.test("a changed address opens the new listener, and one that is taken leaves the old one", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  const port = freePort();
  const moved = (to: number) => dispa.config().replace(`127.0.0.1:${dispa.port}`, `127.0.0.1:${to}`);
  const blocker = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const from = dispa.stderr.all.length;
  dispa.writeConfig(moved(blocker.addr.port));
  await dispa.stderr.waitFor(/not reloaded/, from);
  blocker.close();
  assert.equal((await dispa.fetch("example.com")).status, 200);
  const then = dispa.stderr.all.length;
  dispa.writeConfig(moved(port));
  await dispa.stderr.waitFor(/configuration reloaded/, then);
  using client = await RawClient.connect(port);
  await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await client.readUntil(/hello$/);
  await eventually(
    "the old listener is gone",
    () =>
      Deno.connect({ hostname: "127.0.0.1", port: dispa.port }).then((socket) => {
        socket.close();
        return false;
      }, () => true),
  );
});

Deno.test("the number of proxy threads changes on reload", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream), workers: 1 });
  const json = async () =>
    (await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics/json`)).json()).workers;
  for (const workers of [3, 1]) {
    const from = dispa.stderr.all.length;
    dispa.writeConfig(dispa.config().replace("workers = 1", `workers = ${workers}`));
    await dispa.stderr.waitFor(/configuration reloaded/, from);
    await eventually(`${workers} threads run`, async () => (await json()).running === workers);
    assert.equal((await dispa.fetch("example.com")).status, 200);
  }
});
