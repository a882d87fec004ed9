/** One exchange of the http1 transport: bodies both ways, answers that are odd, early, slow or cut. */
import assert from "node:assert/strict";
import { Http1Pool } from "../../../src/upstream/http1_pool.ts";
import { MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES } from "../../../src/upstream/http1_response.ts";
import type { UpstreamRequest, UpstreamResponse } from "../../../src/upstream/transport.ts";
import {
  answering,
  failureOf,
  latin1,
  MemoryConnection,
  nextTurn,
  postTo,
  RawUpstream,
  requestTo,
  streamOf,
  targetAt,
  textOf,
  until,
} from "./exchange_support.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/** A pool with one connection in memory, and one request on its way. */
class MemoryExchange implements Disposable {
  readonly connection = new MemoryConnection();
  readonly pool = new Http1Pool({
    poolMaxIdlePerHost: 1,
    poolIdleTimeoutMs: 60_000,
    dial: () => Promise.resolve(this.connection),
  });
  readonly sent: Promise<UpstreamResponse>;

  constructor(request: Partial<UpstreamRequest> = {}) {
    this.sent = this.pool.send(requestTo(targetAt(80), request));
    // Errors are for whoever awaits `sent`; a test may first look at something else.
    this.sent.catch(() => {});
  }

  /** Sends `answer` when the request begins, and gives the response. */
  async answer(...pieces: string[]): Promise<UpstreamResponse> {
    await this.connection.requested;
    for (const piece of pieces) this.connection.push(piece);
    return await this.sent;
  }

  get reusable(): boolean {
    return [...this.pool.stats().values()].some(({ idle }) => idle === 1);
  }

  [Symbol.dispose](): void {
    this.pool.close();
    assert.equal(this.pool.stats().size, 0, "the exchange has not ended");
  }
}

/** A client's body that is written chunk by chunk. */
class ClientBody {
  readonly #stream = new TransformStream<Uint8Array, Uint8Array>();
  readonly #writer = this.#stream.writable.getWriter();
  readonly readable = this.#stream.readable;

  write(text: string): Promise<void> {
    return this.#writer.write(latin1(text));
  }
  end(): Promise<void> {
    return this.#writer.close();
  }
  breakOff(error: Error): Promise<void> {
    return this.#writer.abort(error);
  }
  /** Rejects with the reason when the transport gives the body up. */
  get givenUp(): Promise<void> {
    return this.#writer.closed;
  }
}

// ---- request bodies ----

Deno.test("A small body of declared length goes out in one write with its head", async () => {
  using exchange = new MemoryExchange({ method: "POST", body: streamOf("hello"), bodyLength: 5 });
  await exchange.connection.requested;
  assert.equal(
    exchange.connection.written,
    "POST / HTTP/1.1\r\nhost: example.com\r\ncontent-length: 5\r\n\r\nhello",
  );
  await exchange.answer(OK);
  assert.ok(exchange.reusable);
});

Deno.test("A body of declared length that comes in pieces goes out as they come", async () => {
  const client = new ClientBody();
  using exchange = new MemoryExchange({ method: "POST", body: client.readable, bodyLength: 5 });
  await client.write("hel");
  await until(() => exchange.connection.written.endsWith("\r\n\r\nhel"));
  await client.write("lo");
  await until(() => exchange.connection.written.endsWith("\r\n\r\nhello"));
  await exchange.answer(OK);
  assert.ok(exchange.reusable);
});

Deno.test("A body of unknown length goes out as chunks as they come", async () => {
  const client = new ClientBody();
  using exchange = new MemoryExchange({ method: "POST", body: client.readable });
  const head = "POST / HTTP/1.1\r\nhost: example.com\r\ntransfer-encoding: chunked\r\n\r\n";
  await until(() => exchange.connection.written === head);
  await client.write("hello");
  await until(() => exchange.connection.written === head + "5\r\nhello\r\n");
  await client.end();
  await until(() => exchange.connection.written === head + "5\r\nhello\r\n0\r\n\r\n");
  await exchange.answer(OK);
  assert.ok(exchange.reusable);
});

Deno.test("Large bodies of declared and of unknown length arrive whole", async () => {
  const chunks = Array.from({ length: 40 }, (_, i) => String.fromCharCode(65 + i % 26).repeat(50_000));
  const text = chunks.join("");
  for (const bodyLength of [text.length, null]) {
    await using upstream = new RawUpstream(async (side) => {
      await side.readHead();
      let body = "";
      if (bodyLength !== null) {
        body = (await side.readBytes(bodyLength))!;
      } else {
        for (let size; (size = parseInt((await side.readTo("\r\n"))!, 16)) > 0; await side.readTo("\r\n")) {
          body += await side.readBytes(size);
        }
        await side.readTo("\r\n");
      }
      await side.send(`HTTP/1.1 ${body === text ? 200 : 500} x\r\ncontent-length: 0\r\n\r\n`);
      await side.closed();
    });
    const pool = new Http1Pool({ poolMaxIdlePerHost: 1, poolIdleTimeoutMs: 60_000 });
    const response = await pool.send(
      requestTo(upstream.target, { method: "POST", body: streamOf(...chunks), bodyLength }),
    );
    assert.equal(response.status, 200);
    assert.equal(pool.stats().get(upstream.target.url)!.idle, 1);
    pool.close();
  }
});

Deno.test("A body that is not as long as declared breaks the exchange, and no byte too many is sent", async () => {
  const cases: [string[], number][] = [
    [["hell"], 5],
    [["hello!"], 5],
    [["hello", "!"], 5],
    [["!"], 0],
    [["x".repeat(50_000)], 50_001],
    [["x".repeat(50_000), "x"], 50_000],
    [["x".repeat(50_001)], 50_000],
  ];
  for (const [chunks, bodyLength] of cases) {
    using exchange = new MemoryExchange({ method: "POST", body: streamOf(...chunks), bodyLength });
    const error = await failureOf(exchange.sent);
    assert.deepEqual(
      [error.code, error.sent],
      ["bad_request", true],
      `${chunks.join("").length} of ${bodyLength}`,
    );
    assert.ok(exchange.connection.closed);
    const [, body = ""] = exchange.connection.written.split("\r\n\r\n");
    assert.ok(body.length <= bodyLength);
  }
});

Deno.test("A client that breaks off in its body breaks the exchange off", async () => {
  for (const bodyLength of [5, 100_000, null]) {
    const client = new ClientBody();
    using exchange = new MemoryExchange({ method: "POST", body: client.readable, bodyLength });
    const cause = new Error("connection reset by the client");
    await client.breakOff(cause);
    const error = await failureOf(exchange.sent);
    assert.deepEqual([error.code, error.sent, error.cause], ["client_gone", true, cause]);
    assert.ok(exchange.connection.closed);
  }
});

Deno.test("A body is read no faster than the upstream takes it", async () => {
  const stuck = Promise.withResolvers<number>();
  const connection = new MemoryConnection();
  connection.write = () => stuck.promise;
  let chunksRead = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      chunksRead++;
      controller.enqueue(new Uint8Array(1000));
    },
  }, { highWaterMark: 0 });
  const pool = new Http1Pool({
    poolMaxIdlePerHost: 1,
    poolIdleTimeoutMs: 60_000,
    dial: () => Promise.resolve(connection),
  });
  const sent = pool.send(requestTo(targetAt(80), { method: "POST", body, timeoutMs: 20 }));
  assert.equal((await failureOf(sent)).code, "upstream_timeout");
  assert.equal(chunksRead, 0);
  stuck.resolve(1);
  pool.close();
});

// ---- early answers ----

Deno.test("A refusal while the body is being sent is delivered at once and stops the upload", async () => {
  const client = new ClientBody();
  await using upstream = new RawUpstream(async (side) => {
    await side.readHead();
    await side.readBytes(5);
    await side.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    await side.closed();
  });
  const pool = new Http1Pool({ poolMaxIdlePerHost: 1, poolIdleTimeoutMs: 60_000 });
  const sent = pool.send(
    requestTo(upstream.target, { method: "POST", body: client.readable, bodyLength: 1_000_000 }),
  );
  const givenUp = assert.rejects(client.givenUp, /413/);
  await client.write("hello");
  const response = await sent;
  assert.deepEqual([response.status, await textOf(response)], [413, "big"]);
  await givenUp;
  assert.deepEqual([...pool.stats().values()].filter(({ idle, active }) => idle + active > 0), []);
  pool.close();
});

Deno.test("An answer that ends before the request leaves no connection to reuse", async () => {
  const client = new ClientBody();
  using exchange = new MemoryExchange({ method: "POST", body: client.readable });
  const givenUp = assert.rejects(client.givenUp);
  assert.equal(await textOf(await exchange.answer(OK)), "ok");
  await givenUp;
  assert.ok(exchange.connection.closed);
});

Deno.test("An upstream that answers while it reads gets the whole body", async () => {
  const client = new ClientBody();
  using exchange = new MemoryExchange({ method: "POST", body: client.readable });
  const response = await exchange.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  const text = textOf(response);
  for (const part of ["one", "two"]) {
    await client.write(part);
    await until(() => exchange.connection.written.endsWith(`3\r\n${part}\r\n`));
    exchange.connection.push(`3\r\n${part}\r\n`);
  }
  await client.end();
  await until(() => exchange.connection.written.endsWith("\r\n0\r\n\r\n"));
  exchange.connection.push("0\r\n\r\n");
  assert.equal(await text, "onetwo");
  assert.ok(exchange.reusable);
});

Deno.test("An answer is delivered although the upstream has stopped reading and closed", async () => {
  await using upstream = new RawUpstream(async (side) => {
    await side.readHead();
    await side.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    await side.conn.closeWrite();
    await side.closed();
  });
  const pool = new Http1Pool({ poolMaxIdlePerHost: 1, poolIdleTimeoutMs: 60_000 });
  const response = await pool.send(postTo(upstream.target, "x".repeat(100_000)));
  assert.deepEqual([response.status, await textOf(response)], [403, "no"]);
  pool.close();
});

// ---- answers ----

Deno.test("Interim responses are skipped, up to a number", async () => {
  using exchange = new MemoryExchange();
  const interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
  const response = await exchange.answer(interim.repeat(MAX_INTERIM_RESPONSES / 2) + OK);
  assert.deepEqual([response.status, response.headers], [200, ["content-length", "2"]]);
  assert.ok(exchange.reusable);

  using tooMany = new MemoryExchange();
  const error = await failureOf(tooMany.answer(interim.repeat(MAX_INTERIM_RESPONSES / 2 + 1) + OK));
  assert.equal(error.code, "bad_response");
});

Deno.test("Answers that break the protocol are bad_response and close the connection", async () => {
  for (
    const answer of [
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2p1\r\n",
      "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nx: " + "x".repeat(MAX_HEAD_BYTES),
      "HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(501) + "\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
    ]
  ) {
    using exchange = new MemoryExchange();
    const error = await failureOf(exchange.answer(answer));
    assert.deepEqual([error.code, error.sent], ["bad_response", true], answer.slice(0, 80));
    assert.match(error.message, /^target "backend" \(127\.0\.0\.1:80\) answered with /);
    assert.ok(exchange.connection.closed);
  }
});

Deno.test("A header of nearly MAX_HEAD_BYTES passes, and the connection is as small as before", async () => {
  using exchange = new MemoryExchange();
  const value = "x".repeat(MAX_HEAD_BYTES - 100);
  const response = await exchange.answer(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: ${value}\r\n\r\nok`);
  assert.equal(response.headers[3], value);
  assert.equal(await textOf(response), "ok");
  assert.ok(exchange.reusable);
});

Deno.test("A close before, in and after the header is a reset", async () => {
  const cases: [string, RegExp][] = [
    ["", /closed the connection before it answered/],
    ["HTTP/1.1 200 OK\r\nx", /in the middle of the response header/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", /in the middle of the response body/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\nhel", /in the middle of the response body/],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", /in the middle of the response body/],
    [
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
      /in the middle of the response body/,
    ],
  ];
  for (const [answer, message] of cases) {
    using exchange = new MemoryExchange();
    await exchange.connection.requested;
    exchange.connection.push(answer);
    exchange.connection.end();
    const error = await failureOf(exchange.sent.then(textOf));
    assert.equal(error.code, "reset", answer);
    assert.match(error.message, message);
  }
});

Deno.test("A reset is not the end of a body that ends with its connection", async () => {
  using exchange = new MemoryExchange();
  const text = exchange.answer("HTTP/1.1 200 OK\r\n\r\nhello").then(textOf);
  await nextTurn();
  exchange.connection.reset();
  const error = await failureOf(text);
  assert.equal(error.code, "reset");
  assert.match(error.message, /in the middle of the response body: Connection reset by peer/);
});

Deno.test("A body that ends with its connection is whole when that is closed", async () => {
  await using upstream = new RawUpstream(async (side) => {
    await side.readHead();
    await side.send("HTTP/1.1 200 OK\r\n\r\nhello ");
    await side.send("world");
  });
  const pool = new Http1Pool({ poolMaxIdlePerHost: 1, poolIdleTimeoutMs: 60_000 });
  assert.equal(await textOf(await pool.send(requestTo(upstream.target))), "hello world");
  pool.close();
});

Deno.test("A small body that is there is handed over as bytes, a larger one or one that goes on as a stream", async () => {
  const cases: [string, "bytes" | "stream" | "null"][] = [
    [OK, "bytes"],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "bytes"],
    [`HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n${"x".repeat(65536)}`, "bytes"],
    [`HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n${"x".repeat(65537)}`, "stream"],
    ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "null"],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "null"],
  ];
  for (const [answer, kind] of cases) {
    using exchange = new MemoryExchange();
    const response = await exchange.answer(answer);
    const { body } = response;
    assert.equal(body === null ? "null" : body instanceof Uint8Array ? "bytes" : "stream", kind);
    await textOf(response);
    assert.ok(exchange.reusable);
  }
});

Deno.test("Bytes that are handed over are not touched by the next exchange", async () => {
  using exchange = new MemoryExchange();
  const first = await exchange.answer(OK);
  const next = exchange.pool.send(requestTo(targetAt(80)));
  await nextTurn();
  exchange.connection.push("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nNO");
  await next;
  assert.equal(await textOf(first), "ok");
});

Deno.test("A small body that comes slowly goes on its way as a stream", async () => {
  using exchange = new MemoryExchange();
  const response = await exchange.answer("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello");
  assert.ok(response.body instanceof ReadableStream);
  const text = textOf(response);
  exchange.connection.push(" wo");
  await nextTurn();
  exchange.connection.push("rld");
  assert.equal(await text, "hello world");
  assert.ok(exchange.reusable);
});

Deno.test("Events are passed on as they come", async () => {
  using exchange = new MemoryExchange();
  const response = await exchange.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  for (const event of ["one", "two"]) {
    const read = reader.read();
    exchange.connection.push(`3\r\n${event}\r\n`);
    assert.deepEqual((await read).value, latin1(event));
  }
  const end = reader.read();
  exchange.connection.push("0\r\n\r\n");
  assert.equal((await end).done, true);
});

Deno.test("A body is read from the upstream only as its reader asks for more", async () => {
  using exchange = new MemoryExchange();
  const response = await exchange.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
  const { connection } = exchange;
  for (let i = 0; i < 100; i++) connection.push("x".repeat(10_000));
  const readsBefore = connection.reads;
  await nextTurn();
  assert.equal(connection.reads, readsBefore);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  for (let i = 1; i <= 3; i++) {
    await reader.read();
    await nextTurn();
    assert.equal(connection.reads, readsBefore + i);
  }
  await reader.cancel();
  assert.ok(connection.closed);
});

Deno.test("Cancelling a streamed body closes its connection, whatever is left of it", async () => {
  for (const pieces of [["hel"], []]) {
    using exchange = new MemoryExchange();
    const response = await exchange.answer("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", ...pieces);
    await (response.body as ReadableStream).cancel();
    assert.ok(exchange.connection.closed);
  }
});

Deno.test("Cancelling the last chunk of a body does not touch the connection's next exchange", async () => {
  using exchange = new MemoryExchange();
  const response = await exchange.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  const read = reader.read();
  exchange.connection.push("1\r\nb\r\n0\r\n\r\n");
  await read;
  const next = exchange.pool.send(requestTo(targetAt(80)));
  await reader.cancel();
  await nextTurn();
  exchange.connection.push(OK);
  assert.equal(await textOf(await next), "ok");
  assert.ok(exchange.reusable);
});

Deno.test("Clients that leave in the middle of a body leave nothing behind", async () => {
  const body = new Uint8Array(1_000_000);
  await using upstream = new RawUpstream(async (side) => {
    await side.readHead();
    // The pool closes when the client has left: that it does is what is tested.
    await assert.rejects(async () => {
      await side.send(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length * 100}\r\n\r\n`);
      for (let i = 0; i < 100; i++) await side.send(body);
    });
  });
  const pool = new Http1Pool({ poolMaxIdlePerHost: 4, poolIdleTimeoutMs: 60_000 });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async () => {
    const { body, headers } = await pool.send(requestTo(upstream.target));
    return new Response(body, { headers: [[headers[0], headers[1]]] });
  });
  await Promise.all(Array.from({ length: 8 }, async () => {
    const client = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
    await client.write(latin1("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    for (let i = 0; i < 5; i++) await client.read(new Uint8Array(65536));
    client.close();
  }));
  await until(() => [...pool.stats().values()].every(({ active, idle }) => active + idle === 0));
  await server.shutdown();
  pool.close();
});

Deno.test("HEAD is answered without a body and with its content-length, on a connection that stays", async () => {
  await using upstream = new RawUpstream(answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"));
  const pool = new Http1Pool({ poolMaxIdlePerHost: 4, poolIdleTimeoutMs: 60_000 });
  for (let i = 0; i < 2; i++) {
    const response = await pool.send(requestTo(upstream.target, { method: "HEAD" }));
    assert.deepEqual([response.headers, response.body], [["content-length", "5"], null]);
  }
  assert.equal(upstream.connections, 1);
  pool.close();
});
