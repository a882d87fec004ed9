import assert from "node:assert/strict";
import type { TargetConfig } from "../../../src/config/model.ts";
import { createDial } from "../../../src/upstream/http1_dial.ts";
import { AbortHandle, type UpstreamResponse } from "../../../src/upstream/transport.ts";
import { connectWebSocket, type WebSocketRequest } from "../../../src/websocket/connect.ts";
import { acceptFor } from "../../../src/websocket/handshake.ts";
import type { WebSocketLimits } from "../../../src/websocket/limits.ts";
import { UpstreamSocket } from "../../../src/websocket/upstream_socket.ts";
import { answering, type Script, ScriptedUpstream } from "../../support/scripted_upstream.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../../support/tls_fixture.ts";
import { failureOf, targetAt, textOf } from "../../support/upstream_requests.ts";
import { concat, frame, TEXT } from "../../support/websocket_frames.ts";
import { LIMITS } from "../../support/websocket_relay.ts";
import { switching } from "../../support/websocket_upstream.ts";

function requestFor(target: TargetConfig, more: Partial<WebSocketRequest> = {}): WebSocketRequest {
  return {
    target,
    path: "/chat",
    headers: ["host", "example.com"],
    abort: new AbortHandle(),
    observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
    connectTimeoutMs: 5000,
    timeoutMs: 5000,
    ...more,
  };
}

function connect(
  target: TargetConfig,
  more: Partial<WebSocketRequest> = {},
  limits: WebSocketLimits = LIMITS,
) {
  return connectWebSocket(requestFor(target, more), limits);
}

async function socketFrom(promise: Promise<UpstreamSocket | UpstreamResponse>): Promise<UpstreamSocket> {
  const answer = await promise;
  assert.ok(answer instanceof UpstreamSocket, `wanted a socket, got ${Deno.inspect(answer)}`);
  return answer;
}

async function answerFrom(promise: Promise<UpstreamSocket | UpstreamResponse>): Promise<UpstreamResponse> {
  const answer = await promise;
  assert.ok(!(answer instanceof UpstreamSocket), "wanted an ordinary answer, got a socket");
  return answer;
}

/** Agrees, then waits until the proxy closes. */
function agreeing(fields = ""): Script {
  return async (side) => {
    await side.send(await switching((await side.readHead())!, fields));
    await side.closed();
  };
}

Deno.test("the answer to a key is what RFC 6455 section 1.3 says", async () => {
  assert.equal(await acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

Deno.test("connectWebSocket sends the client's fields and a handshake of its own, byte for byte", async () => {
  await using upstream = new ScriptedUpstream(agreeing("Sec-WebSocket-Protocol: b\r\n"));
  const headers = [
    "host",
    "shop.example.com",
    "cookie",
    "a=1; b=\xfc",
    "origin",
    "https://shop.example.com",
    "sec-websocket-key",
    "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version",
    "13",
    "sec-websocket-extensions",
    "permessage-deflate",
    "sec-websocket-protocol",
    "a,b",
    "x-forwarded-for",
    "192.0.2.1",
  ];
  const socket = await socketFrom(connect(upstream.target, { path: "/a%2Fb/../c?d=%20", headers }));
  assert.equal(socket.protocol, "b");
  socket.drop();
  const key = /sec-websocket-key: (.*)\r\n/.exec(upstream.sides[0].received)![1];
  assert.notEqual(key, "dGhlIHNhbXBsZSBub25jZQ==");
  assert.equal(
    upstream.sides[0].received,
    "GET /a%2Fb/../c?d=%20 HTTP/1.1\r\nhost: shop.example.com\r\ncookie: a=1; b=\xfc\r\n" +
      "origin: https://shop.example.com\r\nsec-websocket-protocol: a,b\r\nx-forwarded-for: 192.0.2.1\r\n" +
      `connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
});

Deno.test("connectWebSocket gives the upstream's own fields of the 101, nothing of the handshake", async () => {
  const fields = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Extra: y\r\nDate: now\r\nContent-Length: 0\r\n" +
    "X-Hop: z\r\nConnection: X-Hop\r\n";
  await using upstream = new ScriptedUpstream(agreeing(fields));
  const socket = await socketFrom(connect(upstream.target));
  assert.deepEqual(socket.headers, ["set-cookie", "a=1", "set-cookie", "b=2", "x-extra", "y"]);
  assert.equal(socket.protocol, null);
  socket.drop();
});

const ANSWERS: [name: string, answer: string, status: number, body: string][] = [
  [
    "a 401",
    'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 4\r\n\r\nwho?',
    401,
    "who?",
  ],
  ["a 302", "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302, ""],
  ["a chunked 403", "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n0\r\n\r\n", 403, "not"],
  ["a 200 that ends with the connection", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nold", 200, "old"],
  [
    "a 426",
    "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n",
    426,
    "",
  ],
];

for (const [name, answer, status, body] of ANSWERS) {
  Deno.test(`connectWebSocket brings ${name} as an ordinary answer and closes the connection`, async () => {
    await using upstream = new ScriptedUpstream(async (side) => {
      await side.readHead();
      await side.send(answer);
      if (!answer.includes("close")) await side.closed();
    });
    const response = await answerFrom(connect(upstream.target));
    assert.equal(response.status, status);
    assert.equal(await textOf(response), body);
  });
}

Deno.test("connectWebSocket streams a large answer that is no 101", async () => {
  const body = "x".repeat(3_000_000);
  await using upstream = new ScriptedUpstream(
    answering(`HTTP/1.1 500 Oops\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  );
  const response = await answerFrom(connect(upstream.target));
  assert.ok(response.body instanceof ReadableStream);
  assert.equal((await textOf(response)).length, body.length);
});

Deno.test("a client that leaves while the answer is on its way cancels it", async () => {
  await using upstream = new ScriptedUpstream(async (side) => {
    await side.readHead();
    await side.send("HTTP/1.1 500 Oops\r\nContent-Length: 3000000\r\n\r\nbeginning");
    await side.closed();
  });
  const abort = new AbortHandle();
  const response = await answerFrom(connect(upstream.target, { abort }));
  const failure = failureOf(textOf(response));
  abort.abort(new Error("the client has left"));
  assert.equal((await failure).code, "client_gone");
});

const BAD_SWITCHES: [name: string, answer: (head: string) => string | Promise<string>, message: RegExp][] = [
  [
    "with a wrong accept",
    async (head) => (await switching(head)).replace(/(Accept: ).*\r/, "$1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r"),
    /sec-websocket-accept "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", wanted "/,
  ],
  [
    "without an accept",
    async (head) => (await switching(head)).replace(/Sec-WebSocket-Accept.*\r\n/, ""),
    /"null"/,
  ],
  [
    "to something else",
    async (head) => (await switching(head)).replace("websocket", "h2c"),
    /does not switch/,
  ],
  [
    "without Connection: Upgrade",
    async (head) => (await switching(head)).replace("Connection: Upgrade", "Connection: keep-alive"),
    /does not switch/,
  ],
  [
    "with an extension nobody asked for",
    (head) => switching(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    /sec-websocket-extensions "permessage-deflate", none were asked for/,
  ],
  [
    "with a subprotocol nobody asked for",
    (head) => switching(head, "Sec-WebSocket-Protocol: c\r\n"),
    /sec-websocket-protocol "c", which was not asked for/,
  ],
  [
    "with two subprotocols",
    (head) => switching(head, "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"),
    /sec-websocket-protocol "a, b", which was not asked for/,
  ],
  ["with a bad field", (head) => switching(head, "Bad Field: x\r\n"), /header line "Bad Field: x"/],
  ["in HTTP/1.0", async (head) => (await switching(head)).replace("HTTP/1.1", "HTTP/1.0"), /101/],
  [
    "with an endless header",
    async (head) => (await switching(head)).slice(0, -2) + "X-Y: z\r\n".repeat(10_000),
    /header above 65536 bytes/,
  ],
];

for (const [name, answer, message] of BAD_SWITCHES) {
  Deno.test(`connectWebSocket refuses a 101 ${name} and closes the connection`, async () => {
    await using upstream = new ScriptedUpstream(async (side) => {
      const head = (await side.readHead())!;
      await side.send(await answer(head)).catch((fault) => {
        // The header's end may meet a connection that is closed already.
        if (!(fault instanceof Deno.errors.BrokenPipe || fault instanceof Deno.errors.ConnectionReset)) {
          throw fault;
        }
      });
      await side.closed();
    });
    const headers = ["host", "example.com", "sec-websocket-protocol", "a", "sec-websocket-protocol", "b"];
    const failure = await failureOf(connect(upstream.target, { headers }));
    assert.equal(failure.code, "bad_response");
    assert.match(failure.message, message);
    assert.match(failure.message, /^target "backend" \(127\.0\.0\.1:\d+\) answered with /);
  });
}

Deno.test("connectWebSocket reads a 101 that arrives byte by byte, and the frames right behind it", async () => {
  await using upstream = new ScriptedUpstream(async (side) => {
    const answer = new TextEncoder().encode(await switching((await side.readHead())!));
    for (const byte of answer.subarray(0, -1)) {
      await side.send(Uint8Array.of(byte));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await side.send(concat(answer.subarray(-1), frame(TEXT, "early"), frame(TEXT, "b".repeat(20_000))));
    await side.closed();
  });
  const socket = await socketFrom(connect(upstream.target));
  const messages: unknown[] = [];
  await new Promise<void>((resolve) =>
    socket.start({
      opened() {},
      message(data) {
        if (messages.push(data) === 2) resolve();
      },
      drained() {},
      ended() {},
    })
  );
  assert.deepEqual(messages, ["early", "b".repeat(20_000)]);
  socket.drop();
});

Deno.test("connectWebSocket tells what went wrong before the answer as a transport does", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const refused = await failureOf(connect(targetAt(port)));
  assert.deepEqual([refused.code, refused.sent], ["connect_refused", false]);

  await using closing = new ScriptedUpstream(async (side) => void await side.readHead());
  const reset = await failureOf(connect(closing.target));
  assert.deepEqual([reset.code, reset.sent], ["reset", true]);

  await using silent = new ScriptedUpstream((side) => side.closed());
  const late = await failureOf(connect(silent.target, { timeoutMs: 1 }));
  assert.equal(late.code, "upstream_timeout");
});

Deno.test("connectWebSocket gives up a 101 that never ends", async () => {
  await using upstream = new ScriptedUpstream(async (side) => {
    const answer = await switching((await side.readHead())!);
    await side.send(answer.slice(0, -2));
    await side.closed();
  });
  const failure = await failureOf(connect(upstream.target, { timeoutMs: 50 }));
  assert.equal(failure.code, "upstream_timeout");
  assert.match(failure.message, /sent no whole response header for 50 ms/);
});

Deno.test("connectWebSocket gives up when the client has left, before and inside the 101", async () => {
  const gone = new Error("the client has left");
  const early = new AbortHandle();
  early.abort(gone);
  await using unused = new ScriptedUpstream((side) => side.closed());
  assert.equal((await failureOf(connect(unused.target, { abort: early }))).code, "client_gone");
  assert.equal(unused.connections, 0);

  for (const part of [0, 20]) {
    const abort = new AbortHandle();
    await using upstream = new ScriptedUpstream(async (side) => {
      const answer = await switching((await side.readHead())!);
      if (part > 0) await side.send(answer.slice(0, part));
      abort.abort(gone);
      await side.closed();
    });
    assert.equal((await failureOf(connect(upstream.target, { abort }))).code, "client_gone");
  }
});

Deno.test("connectWebSocket speaks TLS with https targets, and checks their certificate", async () => {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: SERVER_CERT, key: SERVER_KEY });
  const ignoringFaults = (script: Script): Script => async (side, index) => {
    try {
      await script(side, index);
    } catch (fault) {
      // What a client that refuses the certificate looks like from here.
      if (index !== 1) throw fault;
    }
  };
  await using upstream = new ScriptedUpstream(ignoringFaults(agreeing()), listener);
  const target = targetAt(upstream.port, {
    protocol: "https",
    hostname: "localhost",
    url: `https://localhost:${upstream.port}`,
  });
  const socket = await socketFrom(connectWebSocket(requestFor(target), LIMITS, createDial([CA_CERT])));
  socket.drop();
  assert.equal((await failureOf(connect(target))).code, "tls");
});
