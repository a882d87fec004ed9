/** Start, stop, and what becomes of requests and records meanwhile. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { fromLatin1, ok, RawClient, RawUpstream, writeAll } from "../support/upstream.ts";

function toml(upstream: RawUpstream): string {
  return `
[domains]
intercept_domains = ["example.com"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
`;
}

Deno.test("SIGTERM lets a request in flight end, writes its record, and exits 0", async () => {
  const release = Promise.withResolvers<void>();
  await using upstream = new RawUpstream(() => async (socket) => {
    await release.promise;
    await writeAll(socket, fromLatin1(ok("late")));
  });
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET /late HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("the request arrives", () => upstream.requests.length === 1);
  dispa.signal("SIGTERM");
  await dispa.stderr.waitFor(/SIGTERM/);
  const ready = await fetch(`http://127.0.0.1:${dispa.healthPort}/ready`);
  assert.equal(ready.status, 503);
  assert.equal((await ready.json()).reason, "draining");
  release.resolve();
  await client.readUntil(/late$/);
  assert.equal(await dispa.exited(), 0);
  assert.equal(dispa.records().filter((record) => record.path === "/late").length, 1);
});

Deno.test("a second SIGTERM exits at once", async () => {
  await using upstream = new RawUpstream(() => async (socket) =>
    void await socket.read(new Uint8Array(1)).catch(() => null)
  );
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("the request arrives", () => upstream.requests.length === 1);
  dispa.signal("SIGTERM");
  await dispa.stderr.waitFor(/SIGTERM/);
  dispa.signal("SIGTERM");
  assert.equal(await dispa.exited(), 143);
});

Deno.test("a request that outlives shutdown_timeout is cut and the program still exits 0", async () => {
  await using upstream = new RawUpstream(() => async (socket) =>
    void await socket.read(new Uint8Array(1)).catch(() => null)
  );
  await using dispa = await Dispa.start({ toml: toml(upstream), server: "shutdown_timeout = 0.3" });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("the request arrives", () => upstream.requests.length === 1);
  assert.equal(await dispa.stop("SIGTERM"), 0);
});

Deno.test("SIGTERM under load: every answered request has its record", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream), workers: 2 });
  let answered = 0;
  const enough = Promise.withResolvers<void>();
  const clients = Array.from({ length: 8 }, async () => {
    using client = await RawClient.connect(dispa.port);
    for (;;) {
      client.received = "";
      try {
        await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
      } catch (fault) {
        if (fault instanceof Deno.errors.BrokenPipe || fault instanceof Deno.errors.ConnectionReset) return;
        throw fault;
      }
      await client.readUntil(/hello$/);
      if (!client.received.endsWith("hello")) return;
      if (++answered === 500) enough.resolve();
    }
  });
  await enough.promise;
  assert.equal(await dispa.stop("SIGTERM"), 0);
  await Promise.all(clients);
  assert.equal(dispa.records().length, answered);
  assert.equal(new Set(dispa.records().map((record) => record.id)).size, answered);
});

Deno.test("after a kill the log ends with a whole line and the program starts again on it", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: toml(upstream) });
  await dispa.fetch("example.com", "/one");
  await dispa.record("of the first", (record) => record.path === "/one");
  await dispa.stop("SIGKILL");
  await dispa.restart();
  await dispa.fetch("example.com", "/two");
  await dispa.record("of the second", (record) => record.path === "/two");
  assert.equal(dispa.records().length, 2);
});

Deno.test("with the traffic log off no file is written and requests are served", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: `${toml(upstream)}[logging]\nenabled = false\n` });
  assert.equal((await dispa.fetch("example.com")).status, 200);
  await dispa.stop();
  assert.deepEqual(dispa.records(), []);
});
