/** Who may come in, how often, and with how much: through the real program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { type Fields, get, Http2Client } from "../support/http2_client.ts";
import { runsOn } from "../support/runtime.ts";
import { exchange, field, ok, RawUpstream } from "../support/upstream.ts";

function toml(url: string, security: string): string {
  return `
[domains]
intercept_domains = ["*"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
${security}`;
}

async function denied(dispa: Dispa, kind: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`);
  const found = new RegExp(`^dispa_security_denied_total\\{kind="${kind}"\\} (\\d+)$`, "m").exec(
    await response.text(),
  );
  return found === null ? 0 : Number(found[1]);
}

function status(received: string): number {
  return Number(/^HTTP\/1\.[01] (\d+)/.exec(received)?.[1]);
}

Deno.test("addresses are let in or refused by the client that a trusted proxy names; deny wins", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream.url,
      `[security.access_control]
allowed_ips = ["203.0.113.0/24", "2001:db8::/32"]
denied_ips = ["203.0.113.9", "203.0.113.64/26"]
trust_proxy_headers = true
`,
    ),
  });
  const from = (client: string) => dispa.fetch("a.com", "/", { headers: { "x-forwarded-for": client } });
  assert.equal((await from("203.0.113.1")).status, 200);
  assert.equal((await from("2001:db8::7")).status, 200);
  // The one on the left is what a client claims.
  assert.equal((await from("203.0.113.1, 198.51.100.1")).status, 403);
  for (const client of ["203.0.113.9", "203.0.113.65", "198.51.100.1"]) {
    const refused = await from(client);
    assert.deepEqual([refused.status, refused.headers.get("x-dispa-error")], [403, "forbidden"], client);
  }
  assert.deepEqual([await denied(dispa, "denied_ip"), await denied(dispa, "not_allowed_ip")], [2, 2]);
  const record = await dispa.record("refused", (record) => record.client_ip === "203.0.113.9");
  assert.equal(record.status_code, 403);
  assert.match(record.error_message ?? "", /^forbidden: /);
  assert.equal(field(upstream.requests[0], "x-forwarded-for"), "203.0.113.1, 127.0.0.1");
});

Deno.test("the rate limit holds for a client in the whole process, says when to come back, and leaves others alone", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    workers: 3,
    toml: toml(
      upstream.url,
      `[security.access_control]
trust_proxy_headers = true
[security.rate_limit]
rate_per_sec = 0.01
burst = 20
`,
    ),
  });
  const from = (client: string) => dispa.fetch("a.com", "/", { headers: { "x-forwarded-for": client } });
  const answers = await Promise.all(Array.from({ length: 50 }, () => from("198.51.100.1")));
  const statuses = answers.map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 200).length, 20);
  assert.equal(statuses.filter((status) => status === 429).length, 30);
  const refused = answers.find(({ status }) => status === 429)!;
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await from("198.51.100.2")).status, 200);
  assert.equal(await denied(dispa, "rate_limit"), 30);
});

Deno.test("headers and bodies over their limits are refused with their codes and kinds", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream.url,
      `[security.ddos]
max_headers = 10
max_header_bytes = 2000
max_body_bytes = 1000
`,
    ),
  });
  const head = "POST / HTTP/1.1\r\nhost: a.com\r\n";
  const many = Array.from({ length: 12 }, (_, i) => `x-${i}: 1\r\n`).join("");
  assert.equal(status(await exchange(dispa.port, `GET / HTTP/1.1\r\nhost: a.com\r\n${many}\r\n`)), 431);
  const long = `x-long: ${"y".repeat(2500)}\r\n`;
  assert.equal(status(await exchange(dispa.port, `GET / HTTP/1.1\r\nhost: a.com\r\n${long}\r\n`)), 431);
  assert.equal(
    status(await exchange(dispa.port, `${head}content-length: 1001\r\n\r\n${"z".repeat(1001)}`)),
    413,
  );
  assert.equal(upstream.requests.length, 0);
  const chunked = `${head}transfer-encoding: chunked\r\n\r\n5dc\r\n${"z".repeat(1500)}\r\n0\r\n\r\n`;
  assert.equal(status(await exchange(dispa.port, chunked)), 413);
  assert.equal((await dispa.fetch("a.com", "/", { method: "POST", body: "fits" })).status, 200);
  for (const kind of ["headers_len", "headers_size", "body_too_large", "body_stream_too_large"]) {
    assert.equal(await denied(dispa, kind), 1, kind);
  }
  const metrics = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`)).text();
  assert.match(metrics, /^dispa_request_body_stream_chunks_total\{limited="true"\} [1-9]/m);
  assert.match(metrics, /^dispa_request_body_stream_bytes_total\{limited="true"\} [1-9]/m);
});

Deno.test("a body without a length is refused where one is required", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(upstream.url, "[security.ddos]\nrequire_content_length = true\n"),
  });
  const chunked = "POST / HTTP/1.1\r\nhost: a.com\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n";
  assert.equal(status(await exchange(dispa.port, chunked)), 411);
  assert.equal(await denied(dispa, "length_required"), 1);
  assert.equal((await dispa.fetch("a.com", "/", { method: "POST", body: "abc" })).status, 200);
});

Deno.test("[security] enabled = false switches all of it off", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream.url,
      `[security]
enabled = false
[security.access_control]
denied_ips = ["0.0.0.0/0"]
[security.rate_limit]
rate_per_sec = 0.001
burst = 1
[security.ddos]
max_headers = 1
`,
    ),
  });
  for (let i = 0; i < 3; i++) assert.equal((await dispa.fetch("a.com")).status, 200);
});

Deno.test("the runtime's own bounds on headers are where the keys' descriptions say, whatever is configured", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(upstream.url, "[security.ddos]\nmax_headers = 10000\nmax_header_bytes = 1048576\n"),
  });
  const [lines, kilobytes] = runsOn(2, 9) ? [128, 64] : [100, 400];
  const ask = (fields: string) =>
    exchange(dispa.port, `GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n${fields}\r\n`);
  // Two lines are there already.
  assert.equal(status(await ask("x-a: 1\r\n".repeat(lines - 2))), 200);
  assert.ok([400, 431].includes(status(await ask("x-a: 1\r\n".repeat(lines - 1)))));
  assert.equal(status(await ask(`x-a: ${"y".repeat(kilobytes * 900)}\r\n`)), 200);
  assert.ok([400, 431].includes(status(await ask(`x-a: ${"y".repeat(kilobytes * 2250)}\r\n`))));
  using client = await Http2Client.connect(dispa.port);
  const many: Fields = Array.from({ length: 300 }, (_, index) => [`x-${index}`, "1"]);
  assert.equal((await client.answer([...get(), ...many])).status, 200);
  assert.equal((await client.answer([...get(), ...many, ["x-a", "y".repeat(6000)]])).status, 431);
  assert.equal(upstream.requests.length, 3);
});
