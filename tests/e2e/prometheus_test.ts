/** Metrics under load: what Dispa counts against what client and upstreams have counted. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Prometheus, PROMETHEUS_PATHS } from "../support/prometheus.ts";
import { requires } from "../support/skip.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const CLIENTS = 24;
const ROUNDS = 40;

function toml(...upstreams: RawUpstream[]): string {
  const targets = upstreams.map((upstream, index) =>
    `[[targets.targets]]\nname = "t${index}"\nurl = "${upstream.url}"\n`
  );
  return `
[domains]
intercept_domains = ["example.com"]
[targets.health_check]
enabled = false
${targets.join("")}`;
}

/** A third is found, a third is made, a third fails at the target. */
function upstream(): RawUpstream {
  return new RawUpstream(({ target, method }) => {
    if (target.startsWith("/fail")) return "HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops";
    return method === "POST" ? "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nmade" : ok("fine");
  });
}

/** Clients that ask over kept connections, all at once; how often each status came, by method. */
async function load(dispa: Dispa): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const count = (method: string, received: string) => {
    const key = `${method} ${received.slice(9, 12)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  await Promise.all(Array.from({ length: CLIENTS }, async (_, index) => {
    using client = await RawClient.connect(dispa.port);
    for (let round = 0; round < ROUNDS; round++) {
      const [method, request, answer] = [
        ["GET", "GET /fine HTTP/1.1\r\nHost: example.com\r\n\r\n", /fine$/],
        ["POST", "POST /x HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc", /made$/],
        ["GET", "GET /fail HTTP/1.1\r\nHost: example.com\r\n\r\n", /oops$/],
        ["GET", "GET / HTTP/1.1\r\nHost: other.com\r\n\r\n", /\r\n\r\n[^]+$/],
      ][(index + round) % 4] as [string, string, RegExp];
      client.received = "";
      await client.send(request);
      count(method, await client.readUntil(answer));
    }
  }));
  return counts;
}

Deno.test({
  name: "four workers count exactly what clients and upstreams counted, and Prometheus reads the same",
  ...requires("prometheus", ...PROMETHEUS_PATHS),
  async fn() {
    await using a = upstream();
    await using b = upstream();
    await using dispa = await Dispa.start({ toml: toml(a, b), workers: 4 });
    await using prometheus = await Prometheus.scraping(dispa.metricsPort);
    const counts = await load(dispa);
    const total = CLIENTS * ROUNDS;
    assert.equal([...counts.values()].reduce((sum, count) => sum + count, 0), total);
    assert.deepEqual([...counts.keys()].sort(), ["GET 200", "GET 404", "GET 500", "POST 201"]);

    await eventually(
      "Prometheus has seen all requests",
      async () => await prometheus.value("sum(dispa_requests_total)") === total,
    );
    for (const [key, count] of counts) {
      const [method, status] = key.split(" ");
      const selector = `dispa_requests_total{method="${method}",status="${status}"}`;
      assert.equal(await prometheus.value(selector), count, selector);
    }
    for (const [index, { requests }] of [a, b].entries()) {
      const selector = `sum(dispa_target_requests_total{target="t${index}"})`;
      assert.equal(await prometheus.value(selector), requests.length, selector);
      assert.equal(await prometheus.value(`dispa_target_active_connections{target="t${index}"}`), 0);
    }
    assert.equal(await prometheus.value("dispa_request_duration_seconds_count"), total);
    assert.equal(await prometheus.value('dispa_request_duration_seconds_bucket{le="+Inf"}'), total);
    await eventually(
      "all records are written",
      async () => await prometheus.value("sum(dispa_log_writes_total)") === total,
    );
    assert.equal(dispa.records().length, total);
    assert.equal(await prometheus.value("dispa_log_dropped_total"), 0);
    assert.equal(await prometheus.value("dispa_active_requests"), 0);
    assert.equal(await prometheus.value("count(dispa_build_info)"), 1);
    assert.equal(await prometheus.scrapeError(), "");
    // A dashboard's own questions find something.
    const p99 = await prometheus.value(
      "histogram_quantile(0.99, sum by (le) (dispa_request_duration_seconds_bucket))",
    );
    assert.ok(p99 !== null && p99 > 0);
  },
});
