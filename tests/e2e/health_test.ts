/** Health checks in the whole program: they gate the choice of target and show in /health and /metrics. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

/** Room for a check on a machine that is busy with other tests, and checks as often as that allows. */
function toml(upstreams: RawUpstream[], path = '\npath = "/up"'): string {
  const list = upstreams.map((upstream, i) =>
    `[[targets.targets]]\nname = "t${i}"\nurl = "${upstream.url}"\n`
  );
  return `
[domains]
intercept_domains = ["example.com"]
[targets.health_check]
interval = 1.5
timeout = 1.4
healthy_threshold = 1
unhealthy_threshold = 2${path}
${list.join("")}`;
}

/** An upstream that can be made ill. */
class Patient extends RawUpstream {
  well = true;

  constructor() {
    super((request) => {
      if (request.target !== "/up") return ok("hello");
      return this.well ? ok("fine") : "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    });
  }

  get served(): number {
    return this.requests.filter((request) => request.target === "/").length;
  }
}

async function healthyMetric(dispa: Dispa, target: string, value: number): Promise<void> {
  await eventually(
    `dispa_target_healthy of ${target} is ${value}`,
    async () => (await dispa.metrics()).includes(`dispa_target_healthy{target="${target}"} ${value}\n`),
  );
}

Deno.test("an ill target is left alone, said to be ill everywhere, and used again when it is well", async () => {
  await using a = new Patient();
  await using b = new Patient();
  await using dispa = await Dispa.start({ toml: toml([a, b]) });
  a.well = false;
  await healthyMetric(dispa, "t0", 0);
  const degraded = await dispa.health();
  assert.equal(degraded.status, 200);
  assert.equal(degraded.body.status, "degraded");
  assert.match(String(degraded.body.targets[0].last_error), /500/);
  const before = [a.served, b.served];
  for (let i = 0; i < 10; i++) assert.equal((await dispa.fetch("example.com")).status, 200);
  assert.deepEqual([a.served - before[0], b.served - before[1]], [0, 10]);
  await dispa.stderr.waitFor(/t0.*unhealthy.*500|unhealthy.*t0.*500/i);

  a.well = true;
  await healthyMetric(dispa, "t0", 1);
  assert.equal((await dispa.health()).body.status, "healthy");
  for (let i = 0; i < 10; i++) await dispa.fetch("example.com");
  assert.equal(a.served - before[0], 5);
});

Deno.test("with every target ill requests get 503 no_target and /health and /ready say so", async () => {
  await using a = new Patient();
  await using dispa = await Dispa.start({ toml: toml([a]) });
  const before = await fetch(`http://127.0.0.1:${dispa.healthPort}/ready`);
  assert.equal(before.status, 200);
  a.well = false;
  await healthyMetric(dispa, "t0", 0);
  const response = await dispa.fetch("example.com");
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("x-dispa-error"), "no_target");
  assert.match(await response.text(), /^Service unavailable/);
  const { status, body } = await dispa.health();
  assert.equal(status, 503);
  assert.equal(body.status, "unhealthy");
  const ready = await fetch(`http://127.0.0.1:${dispa.healthPort}/ready`);
  assert.equal(ready.status, 503);
  const live = await fetch(`http://127.0.0.1:${dispa.healthPort}/live`);
  assert.equal(live.status, 200);
  await Promise.all([before, ready, live].map((response) => response.body?.cancel()));
});

Deno.test("a target is used before its first check has ended", async () => {
  await using slow = new RawUpstream((request) =>
    request.target === "/"
      ? ok("hello")
      : async (socket) => void await socket.read(new Uint8Array(1)).catch(() => null)
  );
  const config = toml([slow]).replace("interval = 1.5", "interval = 60").replace(
    "timeout = 1.4",
    "timeout = 50",
  );
  await using dispa = await Dispa.start({ toml: config });
  assert.equal((await dispa.fetch("example.com")).status, 200);
});

Deno.test("without a path the usual ones are tried in turn and 404 means the next", async () => {
  await using upstream = new RawUpstream((request) =>
    request.target === "/ping" ? ok("pong") : "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
  );
  await using dispa = await Dispa.start({ toml: toml([upstream], "") });
  await eventually(
    "the target is found healthy",
    async () => (await dispa.health()).body.targets[0].state === "healthy",
  );
  assert.deepEqual(upstream.requests.slice(0, 3).map((request) => request.target), [
    "/health",
    "/healthz",
    "/ping",
  ]);
});
