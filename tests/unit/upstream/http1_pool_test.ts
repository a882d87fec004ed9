/** The http1 transport's connections: reuse, loss, time-outs, aborts; against real TCP upstreams. */
import assert from "node:assert/strict";
import { Http1Pool, type Http1PoolOptions } from "../../../src/upstream/http1_pool.ts";
import { AbortHandle, UpstreamError } from "../../../src/upstream/transport.ts";
import { nextTurn, until } from "../../support/event_loop.ts";
import { answering, ScriptedUpstream } from "../../support/scripted_upstream.ts";
import { failureOf, postTo, requestTo, streamOf, targetAt, textOf } from "../../support/upstream_requests.ts";
import { MemoryConnection } from "./memory_connection.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../../support/tls_fixture.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

class TestPool extends Http1Pool implements Disposable {
  constructor(options: Partial<Http1PoolOptions> = {}) {
    super({ poolMaxIdlePerHost: 4, poolIdleTimeoutMs: 60_000, ...options });
  }

  get idle(): number {
    return [...this.stats().values()].reduce((sum, { idle }) => sum + idle, 0);
  }

  get active(): number {
    return [...this.stats().values()].reduce((sum, { active, connecting }) => sum + active + connecting, 0);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A pool over one connection in memory. */
function memoryPool(options: Partial<Http1PoolOptions> = {}): [TestPool, MemoryConnection] {
  const connection = new MemoryConnection();
  return [new TestPool({ dial: () => Promise.resolve(connection), ...options }), connection];
}

// ---- reuse ----

Deno.test("Http1Pool sends a request byte for byte and reuses its connection for the next", async () => {
  await using upstream = new ScriptedUpstream(answering(OK));
  using pool = new TestPool();
  const headers = ["host", "a", "X-Case", "caf\xe9", "x-2", "2"];
  for (const path of ["/a//../%2e?b=%2F\\", "/2"]) {
    const response = await pool.send(requestTo(upstream.target, { path, headers }));
    assert.deepEqual([response.status, response.headers, await textOf(response)], [200, [
      "content-length",
      "2",
    ], "ok"]);
  }
  assert.equal(upstream.connections, 1);
  const fields = "host: a\r\nX-Case: caf\xe9\r\nx-2: 2\r\n\r\n";
  assert.equal(
    upstream.sides[0].received,
    `GET /a//../%2e?b=%2F\\ HTTP/1.1\r\n${fields}GET /2 HTTP/1.1\r\n${fields}`,
  );
});

Deno.test("Http1Pool takes the connection that became idle last", async () => {
  await using upstream = new ScriptedUpstream(async (side, index) => {
    while (await side.readHead() !== null) {
      await side.send(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${index}`);
    }
  });
  using pool = new TestPool();
  const send = async () => await textOf(await pool.send(requestTo(upstream.target)));
  assert.deepEqual((await Promise.all([send(), send(), send()])).toSorted(), ["0", "1", "2"]);
  const last = await send();
  assert.deepEqual([await send(), await send()], [last, last]);
  assert.deepEqual([...pool.stats()], [[upstream.target.url, { idle: 3, active: 0, connecting: 0 }]]);
});

Deno.test("Http1Pool keeps poolMaxIdlePerHost connections idle and closes the others", async () => {
  for (const poolMaxIdlePerHost of [0, 2]) {
    await using upstream = new ScriptedUpstream(answering(OK));
    using pool = new TestPool({ poolMaxIdlePerHost });
    await Promise.all([1, 2, 3].map(() => pool.send(requestTo(upstream.target))));
    assert.equal(pool.idle, poolMaxIdlePerHost);
    assert.equal(pool.active, 0);
  }
});

Deno.test("Http1Pool shares connections between targets of one origin", async () => {
  await using upstream = new ScriptedUpstream(answering(OK));
  using pool = new TestPool();
  for (const basePath of ["/a", "/b"]) {
    const target = targetAt(upstream.port, { basePath, url: `http://127.0.0.1:${upstream.port}${basePath}` });
    await pool.send(requestTo(target));
  }
  assert.equal(upstream.connections, 1);
  assert.deepEqual([...pool.stats().keys()], [`http://127.0.0.1:${upstream.port}`]);
});

Deno.test("Http1Pool does not reuse the connection of a response that says close, is HTTP/1.0 or has no end", async () => {
  for (
    const answer of [
      "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
      "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok?",
      "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok",
    ]
  ) {
    await using upstream = new ScriptedUpstream(answering(answer));
    using pool = new TestPool();
    await textOf(await pool.send(requestTo(upstream.target)));
    assert.equal(pool.idle, 0, answer);
    await textOf(await pool.send(requestTo(upstream.target)));
    assert.equal(upstream.connections, 2, answer);
  }
});

Deno.test("Http1Pool closes a connection that has been idle for poolIdleTimeoutMs, by itself", async () => {
  const closed = Promise.withResolvers<void>();
  await using upstream = new ScriptedUpstream(async (side) => {
    await side.readHead();
    await side.send(OK);
    await side.closed();
    closed.resolve();
  });
  const pool = new TestPool({ poolIdleTimeoutMs: 50 });
  await pool.send(requestTo(upstream.target));
  assert.equal(pool.idle, 1);
  await closed.promise;
  assert.equal(pool.stats().size, 0);
});

Deno.test("Http1Pool never uses a connection after the time that Keep-Alive gives it", async () => {
  await using upstream = new ScriptedUpstream(answering(OK.replace("\r\n", "\r\nkeep-alive: timeout=1\r\n")));
  using pool = new TestPool();
  await pool.send(requestTo(upstream.target));
  await pool.send(requestTo(upstream.target));
  assert.equal(upstream.connections, 2);
});

Deno.test("Http1Pool notices that the upstream closed an idle connection", async () => {
  await using upstream = new ScriptedUpstream(async (side) => {
    await side.readHead();
    await side.send(OK);
  });
  using pool = new TestPool();
  await pool.send(requestTo(upstream.target));
  await until(() => pool.idle === 0);
  await pool.send(postTo(upstream.target, "sent once"));
  assert.equal(upstream.connections, 2);
});

Deno.test("Http1Pool closes an idle connection on which bytes arrive that nobody asked for", async () => {
  const [pool, connection] = memoryPool();
  const response = pool.send(requestTo(targetAt(80)));
  await connection.requested;
  connection.push(OK);
  await response;
  assert.equal(pool.idle, 1);
  connection.push("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
  await nextTurn();
  assert.equal(pool.idle, 0);
  assert.ok(connection.closed);
  pool.close();
});

// ---- loss of a reused connection ----

/** Answers one request a connection, then reads the next and closes without a word; `times` times. */
function dyingUpstream(times: number): ScriptedUpstream {
  return new ScriptedUpstream(async (side, index) => {
    await side.readHead();
    await side.send(OK);
    if (index >= times) await side.closed();
    else await side.readHead();
  });
}

Deno.test("Http1Pool sends an idempotent request again, on a fresh connection, when a reused one breaks", async () => {
  for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]) {
    await using upstream = dyingUpstream(1);
    using pool = new TestPool();
    await pool.send(requestTo(upstream.target));
    const response = await pool.send(requestTo(upstream.target, { method, path: "/again" }));
    assert.equal(response.status, 200);
    assert.equal(upstream.connections, 2, method);
    if (response.body !== null) await textOf(response);
    pool.close();
    assert.match(upstream.sides[1].received, /\/again/);
  }
});

Deno.test("Http1Pool never sends a POST twice", async () => {
  for (
    const post of [{ method: "POST" }, { method: "PATCH" }, { method: "get" }, { method: "POST", body: "x" }]
  ) {
    await using upstream = dyingUpstream(1);
    using pool = new TestPool();
    await pool.send(requestTo(upstream.target));
    const request = post.body === undefined
      ? requestTo(upstream.target, { method: post.method })
      : postTo(upstream.target, post.body);
    const error = await failureOf(pool.send(request));
    assert.deepEqual([error.code, error.sent, error.reused], ["reset", true, true]);
    assert.equal(upstream.connections, 1);
  }
});

Deno.test("Http1Pool does not send a PUT again whose body has been touched", async () => {
  await using upstream = dyingUpstream(1);
  using pool = new TestPool();
  await pool.send(requestTo(upstream.target));
  const error = await failureOf(pool.send(postTo(upstream.target, "body", { method: "PUT" })));
  assert.deepEqual([error.code, error.sent, error.reused], ["reset", true, true]);
  assert.equal(upstream.connections, 1);
});

Deno.test("Http1Pool tries again once only, and not at all on a fresh connection", async () => {
  await using upstream = new ScriptedUpstream(async (side, index) => {
    await side.readHead();
    if (index > 0) return;
    await side.send(OK);
    await side.readHead();
  });
  using pool = new TestPool();
  await pool.send(requestTo(upstream.target));
  const again = await failureOf(pool.send(requestTo(upstream.target)));
  assert.deepEqual([again.code, again.sent, again.reused, upstream.connections], ["reset", true, false, 2]);
  const fresh = await failureOf(pool.send(requestTo(upstream.target)));
  assert.deepEqual([fresh.code, fresh.sent, fresh.reused, upstream.connections], ["reset", true, false, 3]);
});

Deno.test("Http1Pool does not try again once a byte of an answer has been seen", async () => {
  for (
    const beginning of [
      "H",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    ]
  ) {
    await using upstream = new ScriptedUpstream(async (side) => {
      await side.readHead();
      await side.send(OK);
      await side.readHead();
      await side.send(beginning);
    });
    using pool = new TestPool();
    await pool.send(requestTo(upstream.target));
    const error = await failureOf(pool.send(requestTo(upstream.target)));
    assert.deepEqual([error.code, error.sent, error.reused], ["reset", true, true]);
    assert.equal(upstream.connections, 1);
  }
});

Deno.test("Http1Pool sends a POST again of which nothing went out, its peeked chunk included", async () => {
  const first = new MemoryConnection();
  const second = new MemoryConnection();
  const connections = [first, second];
  using pool = new TestPool({ dial: () => Promise.resolve(connections.shift()!) });
  const response = pool.send(requestTo(targetAt(80)));
  await first.requested;
  first.push(OK);
  await response;
  const client = new TransformStream<Uint8Array, Uint8Array>();
  const post = pool.send(
    requestTo(targetAt(80), { method: "POST", body: client.readable, bodyLength: 4 }),
  );
  first.end();
  await nextTurn();
  const writer = client.writable.getWriter();
  await writer.write(new TextEncoder().encode("body"));
  await writer.close();
  await second.requested;
  second.push(OK);
  assert.equal((await post).status, 200);
  assert.match(second.written, /content-length: 4\r\n\r\nbody$/);
  assert.doesNotMatch(first.written, /POST/);
});

Deno.test("Http1Pool does not say that a body may be sent again when a part of it has been taken", async () => {
  const first = new MemoryConnection();
  const refused = new UpstreamError("connect_refused", "refused", false);
  let dials = 0;
  using pool = new TestPool({ dial: () => dials++ === 0 ? Promise.resolve(first) : Promise.reject(refused) });
  const response = pool.send(requestTo(targetAt(80)));
  await first.requested;
  first.push(OK);
  await response;
  const body = new ReadableStream<Uint8Array>();
  const post = pool.send(requestTo(targetAt(80), { method: "POST", body, bodyLength: 4 }));
  first.end();
  const error = await failureOf(post);
  assert.deepEqual([error.code, error.sent, dials], ["connect_refused", true, 2]);
});

Deno.test("Http1Pool sends again what the system refused to take, whatever the method", async () => {
  class Unwritable extends MemoryConnection {
    broken = false;
    override write(bytes: Uint8Array): Promise<number> {
      if (!this.broken) return super.write(bytes);
      queueMicrotask(() => queueMicrotask(() => this.end()));
      return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
    }
  }
  const first = new Unwritable();
  const second = new MemoryConnection();
  const connections = [first, second];
  using pool = new TestPool({ dial: () => Promise.resolve(connections.shift()!) });
  const response = pool.send(requestTo(targetAt(80)));
  await first.requested;
  first.push(OK);
  await response;
  first.broken = true;
  const post = pool.send(requestTo(targetAt(80), { method: "POST", bodyLength: 0 }));
  await second.requested;
  second.push(OK);
  assert.equal((await post).status, 200);
});

// ---- connecting ----

Deno.test("Http1Pool reports a refused connection and leaves the body to the caller", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  using pool = new TestPool();
  const request = postTo(targetAt(port), "body");
  const error = await failureOf(pool.send(request));
  assert.deepEqual([error.code, error.sent], ["connect_refused", false]);
  assert.match(error.message, new RegExp(`"backend" \\(127\\.0\\.0\\.1:${port}\\).*refused`));
  assert.equal(await new Response(request.body).text(), "body");
  assert.equal(pool.stats().get(`http://127.0.0.1:${port}`)?.connecting, 0);
});

Deno.test("Http1Pool reports a name that does not resolve", async () => {
  using pool = new TestPool();
  const target = targetAt(80, { hostname: "does-not-exist.invalid" });
  const error = await failureOf(pool.send(requestTo(target)));
  assert.deepEqual([error.code, error.sent], ["connect_refused", false]);
  assert.match(error.message, /"backend" \(does-not-exist\.invalid:80\)/);
});

Deno.test("Http1Pool gives up connecting after connectTimeoutMs and closes what connects later", async () => {
  const late = Promise.withResolvers<MemoryConnection>();
  let attempt: AbortSignal;
  using pool = new TestPool({
    dial: (_, signal) => {
      attempt = signal;
      return late.promise;
    },
  });
  const error = await failureOf(pool.send(requestTo(targetAt(80), { connectTimeoutMs: 1 })));
  assert.deepEqual([error.code, error.sent], ["connect_timeout", false]);
  assert.ok(attempt!.aborted);
  const connection = new MemoryConnection();
  late.resolve(connection);
  await nextTurn();
  assert.ok(connection.closed);
});

Deno.test("Http1Pool speaks TLS to a host whose certificate it can trust", async () => {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: SERVER_CERT, key: SERVER_KEY });
  await using upstream = new ScriptedUpstream(answering(OK), listener);
  using pool = new TestPool({ caCerts: [CA_CERT] });
  const target = targetAt(upstream.port, {
    protocol: "https",
    hostname: "localhost",
    url: `https://localhost:${upstream.port}`,
  });
  for (let i = 0; i < 2; i++) assert.equal(await textOf(await pool.send(requestTo(target))), "ok");
  assert.equal(upstream.connections, 1);
});

Deno.test("Http1Pool reports TLS that fails: unknown authority, wrong name, no TLS at all", async () => {
  const tls = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: SERVER_CERT, key: SERVER_KEY });
  const failing: (side: { conn: Deno.Conn }) => Promise<void> = async ({ conn }) => {
    await assert.rejects(async () => await conn.read(new Uint8Array(1)));
  };
  const cases: [string, ScriptedUpstream, Partial<Http1PoolOptions>][] = [
    ["localhost", new ScriptedUpstream(failing, tls), {}],
    [
      "127.0.0.1",
      new ScriptedUpstream(failing, Deno.listenTls({ port: 0, cert: SERVER_CERT, key: SERVER_KEY })),
      {
        caCerts: [CA_CERT],
      },
    ],
    ["localhost", new ScriptedUpstream((side) => side.send("HTTP/1.1 400 Bad Request\r\n\r\n")), {}],
  ];
  for (const [hostname, upstream, options] of cases) {
    using pool = new TestPool(options);
    const url = `https://${hostname}:${upstream.port}`;
    const target = targetAt(upstream.port, { protocol: "https", hostname, url });
    const error = await failureOf(pool.send(requestTo(target)));
    assert.deepEqual([error.code, error.sent], ["tls", false], error.message);
    await upstream[Symbol.asyncDispose]();
  }
});

Deno.test("Http1Pool gives a TLS handshake up after connectTimeoutMs", async () => {
  const givenUp = Promise.withResolvers<void>();
  await using upstream = new ScriptedUpstream(() => givenUp.promise);
  using pool = new TestPool();
  const url = `https://127.0.0.1:${upstream.port}`;
  const target = targetAt(upstream.port, { protocol: "https", url });
  const error = await failureOf(pool.send(requestTo(target, { connectTimeoutMs: 20 })));
  assert.deepEqual([error.code, error.sent], ["connect_timeout", false]);
  assert.equal(pool.active, 0);
  givenUp.resolve();
});

// ---- time-outs ----

Deno.test("Http1Pool reports an upstream that accepts and says nothing", async () => {
  await using upstream = new ScriptedUpstream((side) => side.closed());
  using pool = new TestPool();
  const error = await failureOf(pool.send(requestTo(upstream.target, { timeoutMs: 20 })));
  assert.deepEqual([error.code, error.sent], ["upstream_timeout", true]);
  assert.match(error.message, /"backend" .* no response header for 20 ms/);
});

Deno.test("Http1Pool reports silence inside a body as the body's error", async () => {
  for (
    const framing of ["content-length: 100000", "content-length: 10", "transfer-encoding: chunked", "a: b"]
  ) {
    const [pool, connection] = memoryPool();
    const sent = pool.send(requestTo(targetAt(80), { timeoutMs: 20 }));
    await connection.requested;
    connection.push(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n2\r\n`);
    const error = await failureOf(sent.then(textOf));
    assert.equal(error.code, "upstream_timeout", framing);
    assert.ok(connection.closed);
    pool.close();
  }
});

Deno.test("Http1Pool does not time a body out while its reader is the one that waits", async () => {
  const [pool, connection] = memoryPool();
  const sent = pool.send(requestTo(targetAt(80), { timeoutMs: 400 }));
  await connection.requested;
  connection.push("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
  const response = await sent;
  const nowMs = pool.nowMs;
  await until(() => pool.nowMs > nowMs + 800);
  connection.push("x".repeat(100_000));
  assert.equal((await textOf(response)).length, 100_000);
  pool.close();
});

Deno.test("Http1Pool does not blame an upstream for the time in which its own thread was held up", async () => {
  const [pool, connection] = memoryPool();
  const sent = pool.send(requestTo(targetAt(80), { timeoutMs: 700 }));
  await connection.requested;
  const heldUpUntil = performance.now() + 1000;
  while (performance.now() < heldUpUntil);
  const { nowMs } = pool;
  await until(() => pool.nowMs > nowMs);
  connection.push(OK);
  assert.equal(await textOf(await sent), "ok");
  pool.close();
});

Deno.test("Http1Pool blames the client for a request body that stops coming", async () => {
  await using upstream = new ScriptedUpstream((side) => side.closed());
  using pool = new TestPool();
  let cancelled: unknown;
  const body = new ReadableStream<Uint8Array>({ cancel: (reason) => void (cancelled = reason) });
  const error = await failureOf(
    pool.send(requestTo(upstream.target, { method: "POST", body, bodyLength: 100_000, timeoutMs: 20 })),
  );
  assert.deepEqual([error.code, error.sent], ["client_gone", true]);
  assert.equal(cancelled, error);
});

// ---- aborts ----

Deno.test("Http1Pool gives an exchange up at any stage and closes its connection", async () => {
  const reason = new UpstreamError("client_gone", "the client left", false);
  const stages: Record<string, string> = {
    "waiting for the header": "",
    "inside the header": "HTTP/1.1 200 OK\r\n",
    "inside a small body": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    "inside a streamed body": "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhel",
  };
  for (const [stage, answer] of Object.entries(stages)) {
    const [pool, connection] = memoryPool();
    const abort = new AbortHandle();
    const sent = pool.send(requestTo(targetAt(80), { abort }));
    await connection.requested;
    connection.push(answer);
    const text = sent.then(textOf);
    await nextTurn();
    abort.abort(reason);
    assert.equal(await failureOf(text), reason, stage);
    assert.ok(connection.closed, stage);
    pool.close();
    assert.equal(pool.stats().size, 0);
  }
});

Deno.test("Http1Pool gives up connecting, and a request that was given up before", async () => {
  const never = Promise.withResolvers<MemoryConnection>();
  using pool = new TestPool({ dial: () => never.promise });
  const abort = new AbortHandle();
  const sent = pool.send(requestTo(targetAt(80), { abort }));
  const reason = new Error("the client left");
  abort.abort(reason);
  const error = await failureOf(sent);
  assert.deepEqual([error.code, error.sent, error.cause], ["client_gone", false, reason]);
  assert.equal(pool.active, 0);
  assert.equal((await failureOf(pool.send(requestTo(targetAt(80), { abort })))).code, "client_gone");
});

Deno.test("Http1Pool knows that nothing was sent of a request whose time ended while it waited for a connection", async () => {
  const never = Promise.withResolvers<MemoryConnection>();
  using pool = new TestPool({ dial: () => never.promise });
  const abort = new AbortHandle();
  const body = streamOf("a");
  const sent = pool.send(requestTo(targetAt(80), { abort, method: "POST", body, bodyLength: 1 }));
  abort.abort(new UpstreamError("upstream_timeout", "it took too long", true));
  const error = await failureOf(sent);
  assert.deepEqual([error.code, error.message, error.sent], ["upstream_timeout", "it took too long", false]);
  assert.equal(await new Response(body as BodyInit).text(), "a");
});

Deno.test("An abort after the exchange does not touch the connection's next one", async () => {
  const [pool, connection] = memoryPool();
  const abort = new AbortHandle();
  const first = pool.send(requestTo(targetAt(80), { abort }));
  await connection.requested;
  connection.push(OK);
  await first;
  const second = pool.send(requestTo(targetAt(80)));
  await nextTurn();
  abort.abort(new Error("too late"));
  connection.push(OK);
  assert.equal(await textOf(await second), "ok");
  pool.close();
});

// ---- close ----

Deno.test("Http1Pool.close lets an exchange end and then closes its connection", async () => {
  const [pool, connection] = memoryPool();
  const sent = pool.send(requestTo(targetAt(80)));
  await connection.requested;
  pool.close();
  assert.ok(!connection.closed);
  connection.push(OK);
  assert.equal(await textOf(await sent), "ok");
  assert.ok(connection.closed);
  assert.equal(pool.stats().size, 0);
});

Deno.test("Http1Pool.close does not keep a later request from being sent", async () => {
  await using upstream = new ScriptedUpstream(answering(OK));
  const pool = new TestPool();
  pool.close();
  for (let i = 0; i < 2; i++) assert.equal(await textOf(await pool.send(requestTo(upstream.target))), "ok");
  assert.equal(upstream.connections, 2);
});

Deno.test("Http1Pool opens no connection for a request that cannot be written", async () => {
  let dials = 0;
  using pool = new TestPool({ dial: () => Promise.reject(new Error(`dial ${++dials}`)) });
  const request = requestTo(targetAt(80), {
    headers: ["x", "a\r\nb: c"],
    body: streamOf("a"),
    bodyLength: 1,
  });
  const error = await failureOf(pool.send(request));
  assert.deepEqual([error.code, error.sent, dials], ["bad_request", false, 0]);
  assert.equal(await new Response(request.body).text(), "a");
});

Deno.test("Http1Pool keeps an idle connection when a request cannot be written on it", async () => {
  await using upstream = new ScriptedUpstream(answering(OK));
  using pool = new TestPool();
  await pool.send(requestTo(upstream.target));
  const error = await failureOf(pool.send(requestTo(upstream.target, { path: "/a b" })));
  assert.equal(error.code, "bad_request");
  assert.equal(pool.idle, 1);
  assert.equal(await textOf(await pool.send(requestTo(upstream.target))), "ok");
  assert.equal(upstream.connections, 1);
});

// ---- waiting for a connection ----

Deno.test("Http1Pool gives a request that waits for a new connection one that another gives back", async () => {
  const first = new MemoryConnection();
  const dials: PromiseWithResolvers<MemoryConnection>[] = [];
  using slow = new TestPool({
    dial: () => {
      if (dials.length === 0) {
        dials.push(Promise.withResolvers());
        return Promise.resolve(first);
      }
      const late = Promise.withResolvers<MemoryConnection>();
      dials.push(late);
      return late.promise;
    },
  });
  const one = slow.send(requestTo(targetAt(80), { path: "/1" }));
  await first.requested;
  const two = slow.send(requestTo(targetAt(80), { path: "/2" }));
  first.push(OK);
  assert.equal(await textOf(await one), "ok");
  await until(() => first.written.includes("GET /2 "));
  first.push(OK);
  assert.equal(await textOf(await two), "ok");
  // The connection that was being opened for it is kept for the next.
  dials[1].resolve(new MemoryConnection());
  await until(() => slow.idle === 2);
});

Deno.test("Http1Pool opens no more than 100 connections to an origin at once, and loses no request by that", async () => {
  let opening = 0;
  let most = 0;
  using pool = new TestPool({
    dial: async () => {
      most = Math.max(most, ++opening);
      await nextTurn();
      opening--;
      const connection = new MemoryConnection();
      return {
        read: (into) => connection.read(into),
        write: (bytes) => {
          connection.push(OK);
          return connection.write(bytes);
        },
        close: () => connection.close(),
      };
    },
  });
  const answers = await Promise.all(Array.from({ length: 350 }, () => pool.send(requestTo(targetAt(80)))));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(most, 100);
  await until(() => opening === 0);
});

Deno.test("Http1Pool opens a connection for each of many waiting requests, although none is answered yet", async () => {
  const connections: MemoryConnection[] = [];
  using pool = new TestPool({
    dial: async () => {
      await nextTurn();
      const connection = new MemoryConnection();
      connections.push(connection);
      return connection;
    },
  });
  const answers = Array.from({ length: 350 }, () => pool.send(requestTo(targetAt(80))));
  await until(() => connections.length === 350);
  await Promise.all(connections.map(({ requested }) => requested));
  for (const connection of connections) connection.push(OK);
  assert.deepEqual(new Set((await Promise.all(answers)).map(({ status }) => status)), new Set([200]));
});

Deno.test("Http1Pool tells each of many waiting requests that its connection was refused", async () => {
  const refused = () => new UpstreamError("connect_refused", "cannot connect", false);
  using pool = new TestPool({ dial: () => Promise.reject(refused()) });
  const faults = await Promise.all(
    Array.from({ length: 250 }, () => failureOf(pool.send(requestTo(targetAt(80))))),
  );
  assert.deepEqual(
    new Set(faults.map(({ code, sent }) => `${code} ${sent}`)),
    new Set(["connect_refused false"]),
  );
});

// ---- descriptors run out ----

/** A pool whose dials end as listed, one after the other; null: there is no descriptor left. */
function shortPool(...ends: (MemoryConnection | null)[]) {
  const short = () => new UpstreamError("overloaded", "no descriptor is left", false);
  let dials = 0;
  const pool = new TestPool({
    dial: () => {
      const end = ends[Math.min(dials++, ends.length - 1)];
      return end === null ? Promise.reject(short()) : Promise.resolve(end);
    },
  });
  return { pool, dials: () => dials, [Symbol.dispose]: () => pool.close() };
}

Deno.test("Http1Pool lets requests wait for a connection in use when no descriptor is left for another", async () => {
  const first = new MemoryConnection();
  using short = shortPool(first, null);
  const one = short.pool.send(requestTo(targetAt(80), { path: "/1" }));
  await first.requested;
  const others = Array.from({ length: 5 }, () => short.pool.send(requestTo(targetAt(80), { path: "/2" })));
  await until(() => short.dials() > 1);
  for (const answer of [one, ...others]) {
    await until(() => first.undelivered === 0);
    first.push(OK);
    assert.equal(await textOf(await answer), "ok");
  }
});

Deno.test("Http1Pool dials again soon for a request that waits because no descriptor was left", async () => {
  const first = new MemoryConnection();
  const second = new MemoryConnection();
  using short = shortPool(first, null, null, second);
  const one = short.pool.send(requestTo(targetAt(80)));
  await first.requested;
  const two = short.pool.send(requestTo(targetAt(80)));
  await second.requested;
  second.push(OK);
  assert.equal(await textOf(await two), "ok");
  first.push(OK);
  assert.equal(await textOf(await one), "ok");
  assert.equal(short.dials(), 4);
});

Deno.test("Http1Pool says that descriptors are short, at once if there is no connection to wait for, else in time", async () => {
  using none = shortPool(null);
  assert.equal((await failureOf(none.pool.send(requestTo(targetAt(80))))).code, "overloaded");
  const first = new MemoryConnection();
  using short = shortPool(first, null);
  const one = short.pool.send(requestTo(targetAt(80)));
  await first.requested;
  const { code, sent } = await failureOf(
    short.pool.send(requestTo(targetAt(80), { connectTimeoutMs: 1 })),
  );
  assert.deepEqual([code, sent], ["overloaded", false]);
  first.push(OK);
  assert.equal(await textOf(await one), "ok");
});
