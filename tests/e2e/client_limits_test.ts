/** Clients that are slow, silent or too many, on real sockets against the real program. */
import assert from "node:assert/strict";
import { Dispa, type DispaOptions } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { requires } from "../support/skip.ts";
import { fromLatin1, ok, RawClient, RawUpstream, writeAll } from "../support/upstream.ts";

const GET = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
const NEVER = "header_timeout = 3600\nkeep_alive_timeout = 3600\n";

function start(upstream: RawUpstream, options: Partial<DispaOptions> & { ddos?: string }): Promise<Dispa> {
  const { ddos = "", ...rest } = options;
  const toml =
    `[targets.health_check]\nenabled = false\n[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n` +
    `[security.ddos]\n${ddos}\n`;
  return Dispa.start({ toml, ...rest });
}

const denied = (dispa: Dispa, kind: string) => dispa.metric(`dispa_security_denied_total{kind="${kind}"}`);
const open = (dispa: Dispa) => dispa.metric("dispa_active_connections");

Deno.test("a client that sends nothing, or a header without end, is closed while others are served", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await start(upstream, { server: "header_timeout = 0.3\nkeep_alive_timeout = 3600\n" });
  using silent = await RawClient.connect(dispa.port);
  using half = await RawClient.connect(dispa.port);
  using drip = await RawClient.connect(dispa.port);
  await half.send("GET / HTTP/1.1\r\nHost: exam");
  const dripping = (async () => {
    try {
      for (const character of GET.slice(0, -2) + "x-drip: 1\r\n".repeat(1000)) {
        await drip.send(character);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    } catch (fault) {
      // The proxy has closed the connection: that is what is waited for.
      assert.ok(
        fault instanceof Deno.errors.BrokenPipe || fault instanceof Deno.errors.ConnectionReset,
        `${fault}`,
      );
    }
  })();
  using client = await RawClient.connect(dispa.port);
  await client.send(GET);
  await client.readUntil(/hello$/);
  for (const slow of [silent, half]) assert.equal(await slow.readToEnd(), "");
  await drip.readToEnd();
  assert.equal(drip.received, "");
  await dripping;
  assert.equal(await denied(dispa, "slow_client"), 3);
  // The one that behaves is still there.
  client.received = "";
  await client.send(GET);
  await client.readUntil(/hello$/);
  assert.equal(await open(dispa), 1);
});

Deno.test("an idle connection is closed, one with a request in flight is not", async () => {
  const release = Promise.withResolvers<void>();
  await using upstream = new RawUpstream((request) =>
    request.target !== "/slow" ? ok("hello") : async (socket) => {
      await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegin"));
      await release.promise;
      await writeAll(socket, fromLatin1("--end"));
    }
  );
  await using dispa = await start(upstream, { server: "keep_alive_timeout = 0.3\n" });
  using busy = await RawClient.connect(dispa.port);
  await busy.send("GET /slow HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await busy.readUntil(/begin$/);
  // Each of these takes the idle time at the least, so that the answer takes several times as long.
  for (let round = 0; round < 4; round++) {
    using idle = await RawClient.connect(dispa.port);
    await idle.send(GET);
    await idle.readUntil(/hello$/);
    assert.match(await idle.readToEnd(), /hello$/);
  }
  release.resolve();
  await busy.readUntil(/begin--end$/);
  assert.equal(busy.ended, false);
  await busy.readToEnd();
  assert.equal(await denied(dispa, "slow_client"), 0);
});

Deno.test("the header of a later request has keep_alive_timeout, however it drips", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await start(upstream, { server: "header_timeout = 3600\nkeep_alive_timeout = 0.5\n" });
  using client = await RawClient.connect(dispa.port);
  await client.send(GET);
  await client.readUntil(/hello$/);
  let sent = 0;
  const drip = setInterval(() => {
    const next = sent++ === 0 ? "GET / HTTP/1.1\r\nHost: example.com\r\n" : "x-drip: 1\r\n";
    // The proxy closes the connection in between: that is what is waited for.
    client.send(next).catch(() => clearInterval(drip));
  }, 50);
  try {
    assert.match(await client.readToEnd(), /hello$/);
  } finally {
    clearInterval(drip);
  }
  assert.ok(sent > 1);
});

Deno.test("hundreds of silent connections leave other clients served, and are gone after the time-out", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await start(upstream, { server: "header_timeout = 2\n", workers: 2 });
  const silent = await Promise.all(Array.from({ length: 500 }, () => RawClient.connect(dispa.port)));
  try {
    await eventually("500 connections", async () => await open(dispa) >= 500);
    for (let request = 0; request < 20; request++) {
      assert.equal((await dispa.fetch("example.com")).status, 200);
    }
    await eventually("no connection", async () => await open(dispa) === 0);
    assert.equal(await denied(dispa, "slow_client"), 500);
  } finally {
    for (const client of silent) client[Symbol.dispose]();
  }
});

Deno.test("connections over max_connections are closed at once, over all threads, and room is used again", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await start(upstream, { server: NEVER, workers: 2, ddos: "max_connections = 4" });
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(dispa.port)));
  try {
    for (const client of clients) {
      await client.send(GET);
      await client.readUntil(/hello$/);
    }
    for (let more = 0; more < 3; more++) {
      using refused = await RawClient.connect(dispa.port);
      assert.equal(await refused.readToEnd(), "");
    }
    assert.equal(await denied(dispa, "too_many_connections"), 3);
    await dispa.stderr.waitFor(
      /connections are refused: server has security\.ddos\.max_connections \(4\) clients/,
    );
    clients.pop()?.[Symbol.dispose]();
    await eventually("room for one", async () => await open(dispa) === 3);
    using another = await RawClient.connect(dispa.port);
    await another.send(GET);
    await another.readUntil(/hello$/);
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test("max_connections_per_ip holds over all threads, and a reload changes it", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  const toml = (limit: number) =>
    `[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n[targets.health_check]\nenabled = false\n` +
    `[security.ddos]\nmax_connections_per_ip = ${limit}\n`;
  await using dispa = await Dispa.start({ toml: toml(3), server: NEVER, workers: 2 });
  const clients: RawClient[] = [];
  /** Connects until a connection is refused; how many are open then. */
  const fill = async () => {
    for (;;) {
      const client = await RawClient.connect(dispa.port);
      clients.push(client);
      // A connection that is refused may be reset while this is on its way.
      await client.send(GET).catch(() => {});
      await client.readUntil(/hello$/);
      if (client.ended) return clients.length - 1;
    }
  };
  try {
    assert.equal(await fill(), 3);
    clients.pop()?.[Symbol.dispose]();
    await dispa.reload(toml(5));
    assert.equal(await fill(), 5);
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test({
  name: "out of file descriptors, connections wait, the trouble is told once, and it recovers by itself",
  ...requires("prlimit", "/usr/bin/prlimit"),
  fn: async () => {
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await start(upstream, { server: NEVER });
    const limit = async (soft: string) => {
      const args = ["--pid", `${dispa.pid}`, `--nofile=${soft}:`];
      assert.ok((await new Deno.Command("prlimit", { args }).output()).success);
    };
    assert.equal((await dispa.fetch("example.com")).status, 200);
    await limit("10");
    using client = await RawClient.connect(dispa.port);
    await client.send(GET);
    await dispa.stderr.waitFor(/connections cannot be accepted, trying again/);
    await limit("1000");
    await dispa.stderr.waitFor(/connections are accepted again/);
    await client.readUntil(/hello$/);
    assert.ok(await dispa.metric("dispa_accept_errors_total") > 0);
    const told = dispa.stderr.all.filter((line) => line.includes("cannot be accepted"));
    assert.equal(told.length, 1);
  },
});

Deno.test("SIGTERM waits neither for idle connections nor for half a header", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await start(upstream, { server: `${NEVER}shutdown_timeout = 3600\n` });
  using idle = await RawClient.connect(dispa.port);
  await idle.send(GET);
  await idle.readUntil(/hello$/);
  using half = await RawClient.connect(dispa.port);
  await half.send("GET / HTTP/1.1\r\nHost: exam");
  await eventually("two connections", async () => await open(dispa) === 2);
  assert.equal(await dispa.stop("SIGTERM"), 0);
  assert.doesNotMatch(dispa.stderr.text, /was ended with requests in flight/);
});

Deno.test("a request that is in flight at SIGTERM is answered whole, then its connection is closed", async () => {
  const release = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  await using upstream = new RawUpstream(() => async (socket) => {
    arrived.resolve();
    await release.promise;
    await writeAll(socket, fromLatin1(ok("hello")));
  });
  await using dispa = await start(upstream, { server: NEVER });
  using client = await RawClient.connect(dispa.port);
  await client.send(GET);
  await arrived.promise;
  dispa.signal("SIGTERM");
  await eventually("the listener is closed", async () => {
    try {
      using probe = await RawClient.connect(dispa.port);
      return await probe.readToEnd().then(() => false);
    } catch (fault) {
      return fault instanceof Deno.errors.ConnectionRefused;
    }
  });
  release.resolve();
  const received = await client.readToEnd();
  assert.match(received, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(received, /hello$/);
  assert.equal(await dispa.exited(), 0);
});

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: a client that takes nothing of a large answer is closed, and its target let go`, async () => {
    const left = Promise.withResolvers<void>();
    await using upstream = new RawUpstream(({ target }) =>
      target === "/" ? ok("hello") : async (socket) => {
        // More than all buffers on the way hold.
        const part = new Uint8Array(1_000_000);
        await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n"));
        await (async () => {
          for (let parts = 0; parts < 10_000; parts++) await writeAll(socket, part);
        })().catch(left.resolve);
      }
    );
    const toml =
      `[targets.health_check]\nenabled = false\n[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n` +
      `[http_client]\ntransport = "${transport}"\n`;
    await using dispa = await Dispa.start({ toml, server: "send_timeout = 0.5\n" });
    using stalled = await RawClient.connect(dispa.port);
    await stalled.send("GET /large HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await left.promise;
    const record = await dispa.record("of the stalled client", ({ path }) => path === "/large");
    assert.equal(
      record.error_message,
      "slow_client: the client took nothing of the answer for 0.5 seconds [phase=body timer=server.send_timeout]",
    );
    assert.equal(await denied(dispa, "slow_client"), 1);
    await eventually("it is closed", async () => await open(dispa) === 0);
    assert.equal((await dispa.fetch("example.com")).status, 200);
  });
}

Deno.test("a client that takes an answer in small pieces, or waits for one that comes slowly, is not closed", async () => {
  await using upstream = new RawUpstream(({ target }) => async (socket) => {
    await writeAll(socket, fromLatin1("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n"));
    for (let part = 0; part < 20; part++) {
      await writeAll(socket, fromLatin1("a".repeat(9_999) + (part === 19 ? "z" : "a")));
      // Several times send_timeout, in all.
      if (target === "/slow") await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
  await using dispa = await start(upstream, { server: "send_timeout = 0.5\n" });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET /slow HTTP/1.1\r\nHost: example.com\r\n\r\n");
  const received = await client.readUntil(/aaz$/);
  assert.match(received, /^HTTP\/1\.1 200 OK/);
  assert.equal(await denied(dispa, "slow_client"), 0);
});
