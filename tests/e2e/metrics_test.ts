/** The metrics port of the whole program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { requires } from "../support/skip.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

function toml(upstream: RawUpstream, more = ""): string {
  return `
[domains]
intercept_domains = ["example.com"]
[targets.health_check]
interval = 0.2
timeout = 0.1
[[targets.targets]]
name = "one"
url = "${upstream.url}"
${more}`;
}

Deno.test({
  name: "promtool has nothing to say but that the names Dispa promises abbreviate milliseconds",
  ...requires("promtool", "/usr/bin/promtool", "/usr/local/bin/promtool"),
  async fn() {
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({ toml: toml(upstream) });
    await dispa.fetch("example.com");
    await dispa.fetch("other.com");
    await dispa.record("written", () => true);
    const text = await dispa.metrics();
    for (
      const name of [
        "dispa_requests_total",
        "dispa_target_healthy",
        "dispa_build_info",
        "process_resident_memory_bytes",
      ]
    ) {
      assert.match(text, new RegExp(`^# TYPE ${name} `, "m"));
    }
    const promtool = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    const child = promtool.spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { stdout, stderr } = await child.output();
    const remarks = new TextDecoder().decode(new Uint8Array([...stdout, ...stderr])).split("\n").filter((
      line,
    ) => line !== "");
    for (const line of remarks) {
      assert.match(line, /^dispa_\w+_duration_ms metric names should not contain abbreviated units$/);
    }
  },
});

Deno.test("/metrics/json adds up to what was asked, whichever thread served it", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream), workers: 3 });
  const clients = await Promise.all(Array.from({ length: 9 }, () => RawClient.connect(dispa.port)));
  for (const client of clients) {
    for (let i = 0; i < 10; i++) {
      client.received = "";
      await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
      await client.readUntil(/hello$/);
    }
  }
  assert.equal(await dispa.metric("dispa_active_connections"), 9);
  for (const client of clients) client.socket.close();
  const json = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics/json`)).json();
  assert.equal(json.requests.total, 90);
  assert.deepEqual(json.requests.by_status, { "200": 90 });
  assert.equal(json.requests.duration.count, 90);
  assert.equal(json.targets.length, 1);
  assert.equal(json.targets[0].name, "one");
  assert.equal(json.targets[0].requests, 90);
  assert.equal(json.load_balancer.type, "roundrobin");
  assert.deepEqual([json.workers.configured, json.workers.running], [3, 3]);
});

Deno.test("bucket bounds in milliseconds apply to each histogram in its own unit", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream,
      `[[monitoring.histogram_buckets]]\nmetric = "dispa_request_duration_seconds"\nbuckets_ms = [1, 250]\n
[[monitoring.histogram_buckets]]\nmetric = "dispa_log_write_duration_ms"\nbuckets_ms = [0.5, 20]\n`,
    ),
  });
  await dispa.fetch("example.com");
  await dispa.record("written", () => true);
  const bounds = (text: string, name: string) =>
    [...text.matchAll(new RegExp(`^${name}_bucket\\{.*le="([^"]+)"\\}`, "gm"))].map(([, bound]) => bound);
  const text = await dispa.metrics();
  assert.deepEqual(bounds(text, "dispa_request_duration_seconds"), ["0.001", "0.25", "+Inf"]);
  assert.deepEqual(bounds(text, "dispa_log_write_duration_ms"), ["0.5", "20", "+Inf"]);
});
