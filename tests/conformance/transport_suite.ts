/**
 * What every transport promises (DESIGN 6, `src/upstream/transport.ts`), over TCP against upstreams that speak
 * raw bytes. A transport that cannot keep a promise names the case and the reason, and is not asked.
 */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AbortHandle, type Transport, UpstreamError } from "../../src/upstream/transport.ts";
import { bytesOf } from "../support/bytes.ts";
import { nextTurn, until } from "../support/event_loop.ts";
import { answering, type Script, ScriptedUpstream, type UpstreamSide } from "../support/scripted_upstream.ts";
import { failureOf, postTo, requestTo, streamOf, targetAt, textOf } from "../support/upstream_requests.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/** A transport and an upstream for one case; both are gone when it ends. */
interface Context {
  transport: Transport;
  /** Starts the upstream of the case. */
  upstream(script: Script): ScriptedUpstream;
  /** Closes the transport, which else happens at the end. */
  close(): void;
}

const CASES: Record<string, (context: Context) => Promise<void>> = {
  // ---- the request ----

  async "the target is sent byte for byte"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    for (const path of ["/a%2Fb//c?q=%2e&&x=/..", "/?", "/~%7E%zz", "/a;b=c,d"]) {
      await textOf(await transport.send(requestTo(target, { path })));
      assert.ok(sides.at(-1)!.received.includes(`GET ${path} HTTP/1.1\r\n`), sides.at(-1)!.received);
    }
  },

  async "dot segments and backslashes of the target are sent as they are"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    for (const path of ["/a/../b", "/./a", "/%2e%2e/a", "/a\\b"]) {
      await textOf(await transport.send(requestTo(target, { path })));
      assert.ok(sides.at(-1)!.received.includes(`GET ${path} HTTP/1.1\r\n`), sides.at(-1)!.received);
    }
  },

  async "the upstream sees the fields of the request, the Host included, byte for byte"(
    { transport, upstream },
  ) {
    const { target, sides } = upstream(answering(OK));
    const headers = [
      "host",
      "other.example:81",
      "x-latin",
      "caf\xe9\xff",
      "cookie",
      "a=1; b=2",
      "x-empty",
      "",
    ];
    await textOf(await transport.send(requestTo(target, { headers })));
    const [, ...lines] = sides[0].received.slice(0, -4).split("\r\n");
    for (let i = 0; i < headers.length; i += 2) {
      const line = `${headers[i]}: ${headers[i + 1]}`;
      assert.equal(lines.filter((other) => other.toLowerCase() === line).length, 1, line);
    }
  },

  async "no field is added to those of the request"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    await textOf(await transport.send(requestTo(target, { headers: ["host", "a", "x-b", "c"] })));
    assert.equal(sides[0].received, "GET / HTTP/1.1\r\nhost: a\r\nx-b: c\r\n\r\n");
  },

  async "no field says more than the request did: those that are added are empty"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    await textOf(await transport.send(requestTo(target, { headers: ["host", "a", "x-b", "c"] })));
    const [, ...lines] = sides[0].received.slice(0, -4).split("\r\n");
    const added = lines.filter((line) => line !== "host: a" && line !== "x-b: c");
    for (const line of added) assert.match(line, /^[a-z-]+: ?$/);
  },

  async "each method is sent as it is"({ transport, upstream }) {
    const { target, sides } = upstream(answering("HTTP/1.1 204 No Content\r\n\r\n"));
    for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"]) {
      await transport.send(requestTo(target, { method }));
      assert.match(sides.at(-1)!.received, new RegExp(`(^|\n)${method} / HTTP`));
    }
  },

  async "TRACE and lower-case methods are sent as they are"({ transport, upstream }) {
    const { target, sides } = upstream(answering("HTTP/1.1 204 No Content\r\n\r\n"));
    for (const method of ["TRACE", "get", "Post"]) {
      await transport.send(requestTo(target, { method }));
      assert.match(sides.at(-1)!.received, new RegExp(`(^|\n)${method} / HTTP`));
    }
  },

  async "a field that could break out of its line is refused"({ transport, upstream }) {
    const raw = upstream(answering(OK));
    for (const headers of [["x", "a\r\nb: c"], ["x", "a\0"], ["x\r\ny", "a"], ["x y", "a"]]) {
      await assert.rejects(transport.send(requestTo(raw.target, { headers })));
    }
    assert.equal(raw.sides.map(({ received }) => received).join(""), "");
  },

  // ---- request bodies ----

  async "a request without a body has no framing field"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    await textOf(await transport.send(requestTo(target)));
    assert.doesNotMatch(sides[0].received, /content-length|transfer-encoding/i);
  },

  async "a body of declared length is sent with that length"({ transport, upstream }) {
    const { target, sides } = upstream(async (side) => {
      await side.readHead();
      await side.readBytes(10);
      await side.send(OK);
      await side.closed();
    });
    const body = streamOf("hello", "world");
    const request = requestTo(target, { method: "POST", body, bodyLength: 10 });
    assert.equal(await textOf(await transport.send(request)), "ok");
    assert.match(sides[0].received, /content-length: 10\r\n/i);
    assert.doesNotMatch(sides[0].received, /transfer-encoding/i);
    assert.ok(sides[0].received.endsWith("\r\n\r\nhelloworld"));
  },

  async "a body of unknown length is sent in chunks"({ transport, upstream }) {
    const { target, sides } = upstream(async (side) => {
      await side.readHead();
      await side.readTo("\r\n0\r\n\r\n");
      await side.send(OK);
      await side.closed();
    });
    const request = requestTo(target, { method: "POST", body: streamOf("hello", "world") });
    assert.equal(await textOf(await transport.send(request)), "ok");
    assert.match(sides[0].received, /transfer-encoding: chunked\r\n/i);
    const [, payload] = sides[0].received.split("\r\n\r\n", 2);
    // Size lines and data take turns; how the body is cut is the transport's affair.
    assert.equal(payload.split("\r\n").filter((_, i) => i % 2 === 1).join(""), "helloworld");
  },

  async "an empty body is sent as content-length 0"({ transport, upstream }) {
    const { target, sides } = upstream(answering(OK));
    await textOf(await transport.send(requestTo(target, { method: "POST", bodyLength: 0 })));
    assert.match(sides[0].received, /\r\ncontent-length: 0\r\n/i);
  },

  async "a large body arrives whole and is counted"({ transport, upstream }) {
    const chunk = new Uint8Array(100_000).fill(120);
    const length = chunk.length * 30;
    const { target } = upstream(async (side) => {
      await side.readHead();
      const body = await side.readBytes(length);
      await side.send(`HTTP/1.1 ${body === "x".repeat(length) ? 200 : 500} x\r\ncontent-length: 0\r\n\r\n`);
      await side.closed();
    });
    let counted = 0;
    const response = await transport.send(
      requestTo(target, {
        method: "POST",
        body: ReadableStream.from(Array.from({ length: 30 }, () => chunk.slice())),
        bodyLength: length,
        observer: { requestBytes: (count) => counted += count, responseBytes() {}, responseEnded() {} },
      }),
    );
    assert.deepEqual([response.status, await textOf(response), counted], [200, "", length]);
  },

  async "the observer is told of each wait for the client, and of its end"({ transport, upstream }) {
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.readBytes(10);
      await side.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      await side.closed();
    });
    const events: (boolean | number)[] = [];
    const response = await transport.send(
      requestTo(target, {
        method: "POST",
        body: streamOf("hello", "world"),
        bodyLength: 10,
        observer: {
          requestWaiting: (waiting) => events.push(waiting),
          requestBytes: (count) => events.push(count),
          responseBytes() {},
          responseEnded() {},
        },
      }),
    );
    await textOf(response);
    assert.deepEqual(events.slice(0, 6), [true, false, 5, true, false, 5]);
    // A transport that goes by the length need not look for the end.
    assert.deepEqual(events.slice(6), events.length > 6 ? [true, false] : []);
  },

  async "a client that breaks off in its body breaks the request off"({ transport, upstream }) {
    const seen = Promise.withResolvers<string | null>();
    const { target } = upstream(async (side) => {
      await side.readHead();
      seen.resolve(await side.readBytes(100_000));
    });
    let chunks = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (++chunks < 3) controller.enqueue(bytesOf("x".repeat(20_000)));
        else controller.error(new Error("the client left"));
      },
    });
    await failureOf(transport.send(requestTo(target, { method: "POST", body, bodyLength: 100_000 })));
    assert.equal(await seen.promise, null, "the upstream got a whole body");
  },

  async "an answer while the body is being sent is delivered"({ transport, upstream }) {
    const delivered = Promise.withResolvers<void>();
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig");
      await delivered.promise;
    });
    const response = await transport.send(
      requestTo(target, { method: "POST", body: stalledBody(), bodyLength: 1_000_000_000 }),
    );
    assert.deepEqual([response.status, await textOf(response)], [413, "big"]);
    delivered.resolve();
  },

  async "an answer that refuses the body stops the upload"({ transport, upstream }) {
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig");
      await side.closed();
    });
    const stopped = Promise.withResolvers<void>();
    const body = stalledBody(stopped.resolve);
    const response = await transport.send(
      requestTo(target, { method: "POST", body, bodyLength: 1_000_000_000 }),
    );
    assert.deepEqual([response.status, await textOf(response)], [413, "big"]);
    await stopped.promise;
  },

  // ---- the answer ----

  async "fields pass as they are, in lower case: copies, weak tags, latin-1 bytes"({ transport, upstream }) {
    const { target } = upstream(
      answering(
        'HTTP/1.1 299 Custom Reason\r\nSet-Cookie: a=1; Path=/\r\nETag: W/"x"\r\nX-Latin: caf\xe9\r\n' +
          "set-cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    const response = await transport.send(requestTo(target));
    const { status, headers } = response;
    assert.deepEqual([status, await textOf(response)], [299, "ok"]);
    const pairs = headers.flatMap((name, i) => i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []);
    assert.deepEqual(
      pairs.toSorted(),
      ["content-length: 2", 'etag: W/"x"', "set-cookie: a=1; Path=/", "set-cookie: b=2", "x-latin: caf\xe9"],
    );
    assert.deepEqual(pairs.filter((pair) => pair.startsWith("set-cookie")), [
      "set-cookie: a=1; Path=/",
      "set-cookie: b=2",
    ]);
  },

  async "hop-by-hop fields and those that Connection names are removed, framing is not"(
    { transport, upstream },
  ) {
    const { target } = upstream(
      answering(
        "HTTP/1.1 200 OK\r\nConnection: x-hop, content-length\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n" +
          "Upgrade: h2c\r\nTrailer: x\r\nTE: x\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    const response = await transport.send(requestTo(target));
    assert.deepEqual(response.headers.filter((_, i) => i % 2 === 0).toSorted(), ["content-length", "x-kept"]);
    assert.equal(await textOf(response), "ok");
  },

  async "an encoded body passes byte for byte"({ transport, upstream }) {
    const zipped = await new Response(
      new Blob(["hello ".repeat(100)]).stream().pipeThrough(new CompressionStream("gzip")),
    ).bytes();
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.send(
        `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${zipped.length}\r\n\r\n`,
      );
      await side.send(zipped);
      await side.closed();
    });
    const response = await transport.send(
      requestTo(target, { headers: ["host", "a", "accept-encoding", "gzip"] }),
    );
    assert.equal(response.headers[response.headers.indexOf("content-encoding") + 1], "gzip");
    const body = bytesOf(await textOf(response));
    assert.deepEqual(body, zipped);
  },

  async "bodies pass whatever frames them"({ transport, upstream }) {
    const answers: [string, string][] = [
      ["content-length: 5\r\n\r\nhello", "hello"],
      ["content-length: 5, 5\r\n\r\nhello", "hello"],
      ["transfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\ntrailer: x\r\n\r\n", "hello!"],
      ["connection: close\r\n\r\nto the close", "to the close"],
      ["content-length: 0\r\n\r\n", ""],
      ["transfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""],
    ];
    for (const [answer, body] of answers) {
      const { target } = upstream(async (side) => {
        await side.readHead();
        await side.send("HTTP/1.1 200 OK\r\n" + answer);
      });
      assert.equal(await textOf(await transport.send(requestTo(target))), body, answer);
    }
  },

  async "HEAD, 204 and 304 have no body, and HEAD and 304 keep their content-length"(
    { transport, upstream },
  ) {
    const { target } = upstream(async (side) => {
      for (let head; (head = await side.readHead()) !== null;) {
        const status = /\/(\d+) /.exec(head)![1];
        await side.send(`HTTP/1.1 ${status} x\r\n${status === "204" ? "" : "content-length: 5\r\n"}\r\n`);
      }
    });
    for (const [method, path] of [["HEAD", "/200"], ["GET", "/304"], ["GET", "/204"], ["HEAD", "/200"]]) {
      const { headers, body } = await transport.send(requestTo(target, { method, path }));
      assert.equal(body, null);
      assert.deepEqual(headers, path === "/204" ? [] : ["content-length", "5"]);
    }
  },

  async "interim responses are not taken for the answer"({ transport, upstream }) {
    const { target } = upstream(
      answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK),
    );
    const response = await transport.send(requestTo(target));
    assert.deepEqual([response.status, response.headers, await textOf(response)], [200, [
      "content-length",
      "2",
    ], "ok"]);
  },

  async "a redirect is passed on, not followed"({ transport, upstream }) {
    const { target, sides } = upstream(
      answering("HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"),
    );
    const response = await transport.send(requestTo(target));
    assert.equal(response.status, 302);
    assert.equal(response.headers[response.headers.indexOf("location") + 1], "/b");
    await textOf(response);
    assert.equal(sides[0].received.match(/HTTP\/1\.1/g)!.length, 1);
  },

  async "a streamed body passes as it comes, is counted, and its end is told once"({ transport, upstream }) {
    const go = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      await go[0].promise;
      await side.send("3\r\none\r\n");
      await go[1].promise;
      await side.send("3\r\ntwo\r\n0\r\n\r\n");
      await side.closed();
    });
    const told: unknown[] = [];
    const response = await transport.send(
      requestTo(target, {
        observer: {
          requestBytes() {},
          responseBytes: (count) => told.push(count),
          responseEnded: (error) => told.push(error),
        },
      }),
    );
    assert.ok(response.body instanceof ReadableStream);
    const reader = response.body.getReader();
    for (const [i, text] of ["one", "two"].entries()) {
      go[i].resolve();
      assert.deepEqual((await reader.read()).value, bytesOf(text));
    }
    assert.equal((await reader.read()).done, true);
    assert.deepEqual(told, [3, 3, null]);
  },

  async "a body is read from the upstream only as fast as its reader takes it"({ transport, upstream }) {
    const chunk = new Uint8Array(100_000);
    const chunks = 1000;
    let sent = 0;
    const { target } = upstream(async (side) => {
      await side.readHead();
      await side.send(`HTTP/1.1 200 OK\r\ncontent-length: ${chunk.length * chunks}\r\n\r\n`);
      for (; sent < chunks; sent++) await side.send(chunk);
      await side.closed();
    });
    const response = await transport.send(requestTo(target));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let read = (await reader.read()).value!.length;
    // On a slow machine this can stop too early, which lets a fault pass but never fails.
    for (let before = -1, quietTurns = 0; quietTurns < 50; before = sent) {
      await nextTurn();
      quietTurns = sent === before ? quietTurns + 1 : 0;
    }
    assert.ok(sent < chunks / 2, `the upstream could send ${sent} of ${chunks} chunks with one read`);
    for (let chunk; !(chunk = await reader.read()).done;) read += chunk.value.length;
    assert.equal(read, chunk.length * chunks);
  },

  // ---- faults ----

  async "a refused connection is connect_refused, and the body is still the caller's"({ transport }) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const error = await failureOf(transport.send(requestTo(targetAt(port))));
    assert.deepEqual([error.code, error.sent], ["connect_refused", false]);
    assert.match(error.message, new RegExp(`backend.*${port}`));
  },

  async "a body that could not be sent may be given to another target"({ transport }) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const request = postTo(targetAt(port), "body");
    const error = await failureOf(transport.send(request));
    if (!error.sent) assert.equal(await new Response(request.body).text(), "body");
    assert.equal(error.sent, false);
  },

  async "a name that does not resolve is connect_refused"({ transport }) {
    const error = await failureOf(
      transport.send(requestTo(targetAt(80, { hostname: "does-not-exist.invalid" }))),
    );
    assert.deepEqual([error.code, error.sent], ["connect_refused", false]);
  },

  async "a close before the header is a reset"({ transport, upstream }) {
    for (const beginning of ["", "HTTP/1.1 200 OK\r\nx: "]) {
      const { target } = upstream(async (side) => {
        await side.readHead();
        await side.send(beginning);
      });
      const error = await failureOf(transport.send(requestTo(target, { method: "POST", bodyLength: 0 })));
      assert.deepEqual([error.code, error.sent], ["reset", true]);
    }
  },

  async "a cut body never looks whole"({ transport, upstream }) {
    for (const framing of ["content-length: 100000\r\n\r\nx", "transfer-encoding: chunked\r\n\r\n5\r\nhel"]) {
      const { target } = upstream(async (side) => {
        await side.readHead();
        await side.send(`HTTP/1.1 200 OK\r\n${framing}`);
      });
      const told: (UpstreamError | null)[] = [];
      const observer = {
        requestBytes() {},
        responseBytes() {},
        responseEnded: (error: UpstreamError | null) => void told.push(error),
      };
      const error = await failureOf(transport.send(requestTo(target, { observer })).then(textOf));
      assert.equal(error.code, "reset", framing);
      assert.deepEqual(told, [error]);
    }
  },

  async "answers that are not HTTP/1.1 are bad_response"({ transport, upstream }) {
    for (
      const answer of [
        "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 2\r\n\r\nok",
      ]
    ) {
      const { target } = upstream(answering(answer));
      const error = await failureOf(transport.send(requestTo(target)));
      assert.deepEqual([error.code, error.sent], ["bad_response", true], answer);
    }
  },

  async "answers that two readers could understand differently are bad_response"({ transport, upstream }) {
    for (
      const answer of [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
      ]
    ) {
      const { target } = upstream(answering(answer));
      const error = await failureOf(transport.send(requestTo(target)));
      assert.deepEqual([error.code, error.sent], ["bad_response", true], answer);
    }
  },

  async "a 101 that nobody asked for is bad_response"({ transport, upstream }) {
    const { target } = upstream(
      answering("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    );
    assert.equal((await failureOf(transport.send(requestTo(target)))).code, "bad_response");
  },

  async "an upstream that says nothing is upstream_timeout"({ transport, upstream }) {
    const { target } = upstream((side) => side.closed());
    const error = await failureOf(transport.send(requestTo(target, { timeoutMs: 50 })));
    assert.deepEqual([error.code, error.sent], ["upstream_timeout", true]);
  },

  async "silence inside a body is upstream_timeout, but not inside an event stream"({ transport, upstream }) {
    const stalling = (type: string): Script => async (side) => {
      await side.readHead();
      await side.send(
        `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n`,
      );
      await side.closed();
    };
    const request = { timeoutMs: 500 };
    const cut = upstream(stalling("text/plain"));
    const error = await failureOf(transport.send(requestTo(cut.target, request)).then(textOf));
    assert.equal(error.code, "upstream_timeout");

    const events = upstream(stalling("text/event-stream"));
    const response = await transport.send(requestTo(events.target, request));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    let ended = false;
    const next = reader.read().finally(() => ended = true);
    // Another exchange with the same time-out that starts later is over first.
    const later = upstream((side) => side.closed());
    await failureOf(transport.send(requestTo(later.target, request)));
    assert.equal(ended, false);
    await reader.cancel();
    assert.equal((await next).done, true);
  },

  // ---- giving up ----

  async "a request that was given up before is not sent"({ transport, upstream }) {
    const raw = upstream(answering(OK));
    const abort = new AbortHandle();
    abort.abort(new Error("the client left"));
    const error = await failureOf(transport.send(requestTo(raw.target, { abort })));
    assert.deepEqual([error.code, error.sent, raw.connections], ["client_gone", false, 0]);
  },

  async "giving up while the header is awaited lets go of the upstream"({ transport, upstream }) {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const { target } = upstream(async (side) => {
      await side.readHead();
      asked.resolve();
      await side.closed();
      closed.resolve();
    });
    const abort = new AbortHandle();
    const failure = failureOf(transport.send(requestTo(target, { abort })));
    await asked.promise;
    abort.abort(new Error("the client left"));
    assert.equal((await failure).code, "client_gone");
    await closed.promise;
  },

  async "giving up in the middle of a body cuts it and lets go of the upstream"({ transport, upstream }) {
    const closed = Promise.withResolvers<void>();
    const { target } = upstream(async (side) => {
      await streaming(side);
      closed.resolve();
    });
    const abort = new AbortHandle();
    const response = await transport.send(requestTo(target, { abort }));
    const text = failureOf(textOf(response));
    abort.abort(new Error("the client left"));
    assert.equal((await text).code, "client_gone");
    await closed.promise;
  },

  async "giving up has its effect although memory was collected since the header"({ transport, upstream }) {
    const closed = Promise.withResolvers<void>();
    const { target } = upstream(async (side) => {
      await streaming(side);
      closed.resolve();
    });
    const abort = new AbortHandle();
    const response = await transport.send(requestTo(target, { abort }));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    const next = failureOf(reader.read());
    // What is only referred to weakly is taken when its turn is over.
    await nextTurn();
    collectGarbage();
    await nextTurn();
    abort.abort(new Error("the client left"));
    assert.equal((await next).code, "client_gone");
    await closed.promise;
  },

  async "cancelling a body lets go of the upstream and is told as client_gone"({ transport, upstream }) {
    const closed = Promise.withResolvers<void>();
    const { target } = upstream(async (side) => {
      await streaming(side);
      closed.resolve();
    });
    const told: (string | undefined)[] = [];
    const observer = {
      requestBytes() {},
      responseBytes() {},
      responseEnded: (error: UpstreamError | null) => void told.push(error?.code),
    };
    const response = await transport.send(requestTo(target, { observer }));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await closed.promise;
    assert.deepEqual(told, ["client_gone"]);
  },

  // ---- connections ----

  async "a connection is used again"({ transport, upstream }) {
    const raw = upstream(answering(OK));
    for (let i = 0; i < 3; i++) await textOf(await transport.send(requestTo(raw.target)));
    assert.equal(raw.connections, 1);
  },

  async "a connection that the upstream has closed is not used again"({ transport, upstream }) {
    const closed = Promise.withResolvers<void>();
    const raw = upstream(async (side, index) => {
      await side.readHead();
      await side.send(OK);
      if (index === 0) closed.resolve();
      else await side.closed();
    });
    await textOf(await transport.send(requestTo(raw.target)));
    await closed.promise;
    for (let i = 0; i < 20; i++) await nextTurn();
    assert.equal(await textOf(await transport.send(requestTo(raw.target))), "ok");
  },

  async "a GET is sent again when a reused connection breaks, a POST never"({ transport, upstream }) {
    for (const method of ["GET", "POST"]) {
      let requests = 0;
      const raw = upstream(async (side, index) => {
        await side.readHead();
        requests++;
        await side.send(OK);
        if (index > 0) return await side.closed();
        if (await side.readHead() !== null) requests++;
      });
      await textOf(await transport.send(requestTo(raw.target)));
      const again = transport.send(
        method === "GET" ? requestTo(raw.target) : postTo(raw.target, "a body that is sent once"),
      );
      if (method === "GET") {
        assert.equal(await textOf(await again), "ok");
        assert.equal(requests, 3);
      } else {
        assert.deepEqual([(await failureOf(again)).code, requests], ["reset", 2]);
      }
    }
  },

  async "after close no connection stays, and an exchange in flight may end"({ transport, upstream, close }) {
    const go = Promise.withResolvers<void>();
    let open = 0;
    const { target } = upstream(async (side) => {
      open++;
      for (let head; (head = await side.readHead()) !== null;) {
        if (head.includes("/slow")) await go.promise;
        await side.send(OK);
      }
      open--;
    });
    const slow = transport.send(requestTo(target, { path: "/slow" }));
    await textOf(await transport.send(requestTo(target)));
    close();
    go.resolve();
    assert.equal(await textOf(await slow), "ok");
    await until(() => open === 0);
  },
};

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

/** A client's body of which only the first 1000 bytes ever come. */
function stalledBody(onCancel?: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(1000)),
    cancel: onCancel,
  });
}

/** Sends a body for as long as somebody takes it. */
async function streaming(side: UpstreamSide): Promise<void> {
  await side.readHead();
  await side.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n");
  await side.closed();
}

/**
 * Registers the tests of a transport.
 * @param exceptions names of cases that it cannot keep, with the reason; the README's section on transports
 *   tells users of them
 */
export function testTransport(
  name: string,
  create: () => Transport,
  exceptions: Record<string, string> = {},
): void {
  Deno.test(`${name}: every exception names a case and says why`, () => {
    for (const [title, reason] of Object.entries(exceptions)) {
      assert.ok(title in CASES, `no case ${JSON.stringify(title)}`);
      assert.ok(reason.length > 0);
    }
  });
  for (const [title, run] of Object.entries(CASES)) {
    if (title in exceptions) continue;
    Deno.test({
      name: `${name}: ${title}`,
      fn: async () => {
        const transport = create();
        const upstreams: ScriptedUpstream[] = [];
        let isOpen = true;
        const close = () => {
          if (isOpen) transport.close();
          isOpen = false;
        };
        try {
          await run({
            transport,
            upstream(script) {
              const upstream = new ScriptedUpstream(script);
              upstreams.push(upstream);
              return upstream;
            },
            close,
          });
        } catch (error) {
          // Else the end would wait for exchanges that the case has left behind.
          for (const { sides } of upstreams) {
            for (const { conn } of sides) await conn.closeWrite().catch(() => {});
          }
          throw error;
        } finally {
          close();
          for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
        }
      },
    });
  }
}
