/** The answers Dispa makes itself: status, code, and a text that says what to look at. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { freePort } from "../support/ports.ts";
import { runsOn } from "../support/runtime.ts";
import { exchange, fromLatin1, ok, RawUpstream, writeAll } from "../support/upstream.ts";

const HEAD = `
[domains]
intercept_domains = ["example.com", "*.example.org", "any.*"]
exclude_domains = ["health.example.org"]
[targets.health_check]
enabled = false
`;

function target(url: string, more = ""): string {
  return `${HEAD}[[targets.targets]]\nname = "one"\nurl = "${url}"\n${more}`;
}

/** Status, code and text of a raw answer. */
function parse(received: string): { status: number; code: string | undefined; text: string } {
  return {
    status: Number(/^HTTP\/1\.[01] (\d+)/.exec(received)?.[1]),
    code: /^x-dispa-error: (.*)$/im.exec(received)?.[1].trim(),
    text: received.slice(received.indexOf("\r\n\r\n") + 4),
  };
}

Deno.test("a host that no domain rule takes gets 404 Domain not found, and a record", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: target(upstream.url) });
  for (
    const host of [
      "other.com",
      "evilexample.com",
      "example.org",
      "health.example.org",
      "www.example.com",
      "xany.com",
    ]
  ) {
    const response = await dispa.fetch(host);
    assert.equal(response.status, 404, host);
    assert.equal(response.headers.get("x-dispa-error"), "domain_not_found");
    assert.match(await response.text(), /^Domain not found/);
  }
  for (
    const host of [
      "example.com",
      "EXAMPLE.com.",
      "example.com:8080",
      "a.example.org",
      "a.b.example.org",
      "any.com",
    ]
  ) {
    const response = await dispa.fetch(host);
    assert.equal(response.status, 200, host);
    await response.text();
  }
  const record = await dispa.record("of other.com", (record) => record.host === "other.com");
  assert.equal(record.status_code, 404);
  assert.equal(record.target, null);
  assert.match(record.error_message!, /^domain_not_found: /);
  assert.equal(await dispa.metric('dispa_requests_total{domain="",method="GET",status="404"}'), 6);
  assert.equal(await dispa.metric('dispa_requests_total{domain="example.com",method="GET",status="200"}'), 3);
});

Deno.test("a target that refuses connections gives 502 connect_refused that names it", async () => {
  const port = freePort();
  await using dispa = await Dispa.start({ toml: target(`http://127.0.0.1:${port}`) });
  const response = await dispa.fetch("example.com");
  assert.equal(response.status, 502);
  assert.equal(response.headers.get("x-dispa-error"), "connect_refused");
  assert.match(await response.text(), /one/);
  const record = await dispa.record("of the refusal", (record) => record.status_code === 502);
  assert.equal(record.target, "one");
  assert.match(record.error_message!, /^connect_refused: /);
  assert.equal(await dispa.metric('dispa_target_errors_total{target="one",kind="connect_refused"}'), 1);
});

Deno.test("a target whose name does not resolve gives 502", async () => {
  await using dispa = await Dispa.start({ toml: target("http://no-such-host.invalid:80") });
  const response = await dispa.fetch("example.com");
  assert.equal(response.status, 502);
  assert.equal(response.headers.get("x-dispa-error"), "connect_refused");
  await response.text();
});

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: a target that says nothing gives 504 upstream_timeout`, async () => {
    await using upstream = new RawUpstream(() => async (socket) => {
      await socket.read(new Uint8Array(1)).catch(() => null);
    });
    await using dispa = await Dispa.start({
      toml: target(upstream.url, `timeout = 0.3\n[http_client]\ntransport = "${transport}"\n`),
    });
    const response = await dispa.fetch("example.com");
    assert.equal(response.status, 504);
    assert.equal(response.headers.get("x-dispa-error"), "upstream_timeout");
    assert.match(await response.text(), /one.*300 ms/);
    const record = await dispa.record("of the time-out", (record) => record.status_code === 504);
    assert.ok(record.duration_ms >= 250);
  });

  Deno.test(`${transport}: a target that answers garbage gives 502 bad_response, one that resets gives 502 reset`, async () => {
    await using upstream = new RawUpstream((request) =>
      request.target === "/garbage" ? "SMTP ready\r\n\r\n" : (socket) => socket.close()
    );
    await using dispa = await Dispa.start({
      toml: target(upstream.url, `[http_client]\ntransport = "${transport}"\n`),
    });
    const garbage = await dispa.fetch("example.com", "/garbage", { method: "POST", body: "x" });
    assert.equal(garbage.status, 502);
    assert.equal(garbage.headers.get("x-dispa-error"), "bad_response");
    const reset = await dispa.fetch("example.com", "/reset", { method: "POST", body: "x" });
    assert.equal(reset.status, 502);
    assert.equal(reset.headers.get("x-dispa-error"), "reset");
  });

  Deno.test(`${transport}: a POST whose connection breaks is not sent twice`, async () => {
    await using upstream = new RawUpstream((request) =>
      request.method === "GET" ? ok("warm") : (socket) => socket.close()
    );
    await using dispa = await Dispa.start({
      toml: target(upstream.url, `[http_client]\ntransport = "${transport}"\n`),
    });
    await dispa.fetch("example.com");
    const response = await dispa.fetch("example.com", "/order", { method: "POST", body: "one" });
    assert.equal(response.status, 502);
    assert.equal(upstream.requests.filter((request) => request.method === "POST").length, 1);
  });

  Deno.test(`${transport}: a 101 that nobody asked for gives 502`, async () => {
    await using upstream = new RawUpstream(() => async (socket) => {
      await writeAll(
        socket,
        fromLatin1("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
      );
      socket.close();
    });
    await using dispa = await Dispa.start({
      toml: target(upstream.url, `[http_client]\ntransport = "${transport}"\n`),
    });
    assert.equal((await dispa.fetch("example.com")).status, 502);
  });
}

Deno.test("a request that is not to be understood in one way only gets 400 and goes nowhere", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: target(upstream.url) });
  const bad = [
    "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: example.com/path\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: user@example.com\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: example.com:99999\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: exa mple.com\r\nConnection: close\r\n\r\n",
    "GET /%zz HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
  ];
  for (const request of bad) {
    const { status } = parse(await exchange(dispa.port, request));
    assert.equal(status, 400, JSON.stringify(request));
  }
  assert.equal(upstream.requests.length, 0);
});

Deno.test("a fragment in the target never reaches the target server", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: target(upstream.url) });
  const request = "GET /a#b HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
  const { status } = parse(await exchange(dispa.port, request));
  // Deno 2.6 cuts it off before anybody can see it.
  if (!runsOn(2, 9)) assert.deepEqual(upstream.requests.map(({ target }) => target), ["/a"]);
  else assert.deepEqual([status, upstream.requests.length], [400, 0]);
});

Deno.test("CONNECT and TRACE get 405", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: target(upstream.url) });
  for (const line of ["CONNECT example.com:443", "TRACE /"]) {
    const host = line.startsWith("CONNECT") ? "example.com:443" : "example.com";
    const answer = parse(
      await exchange(dispa.port, `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    );
    assert.equal(answer.status, 405);
    assert.equal(answer.code, "method_not_allowed");
  }
  assert.equal(upstream.requests.length, 0);
});

Deno.test("the authority of an absolute-form target wins over Host everywhere alike", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: target(upstream.url) });
  const taken = await exchange(
    dispa.port,
    "GET http://example.com/x HTTP/1.1\r\nHost: other.com\r\nConnection: close\r\n\r\n",
  );
  assert.equal(parse(taken).status, 200);
  assert.match(upstream.requests[0].head, /^host: example\.com$/im);
  const refused = await exchange(
    dispa.port,
    "GET http://other.com/x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
  );
  assert.equal(parse(refused).status, 404);
  assert.equal(upstream.requests.length, 1);
});
