import assert from "node:assert/strict";
import { AbortHandle } from "../../../src/upstream/transport.ts";
import { connectWebSocket } from "../../../src/websocket/connect.ts";
import type { Message } from "../../../src/websocket/frames.ts";
import type { WebSocketLimits } from "../../../src/websocket/limits.ts";
import type { Ending } from "../../../src/websocket/peer.ts";
import { UpstreamSocket } from "../../../src/websocket/upstream_socket.ts";
import { until } from "../../support/event_loop.ts";
import type { ScriptedUpstream } from "../../support/scripted_upstream.ts";
import {
  BINARY,
  CLOSE,
  closePayload,
  frame,
  PING,
  PONG,
  type RawSocket,
  TEXT,
} from "../../support/websocket_frames.ts";
import { LIMITS } from "../../support/websocket_relay.ts";
import { webSocketUpstream } from "../../support/websocket_upstream.ts";

/** A socket that is open and has been started, and what it tells. */
class Opened {
  readonly messages: Message[] = [];
  readonly ended: Promise<Ending>;
  #drained: (() => void) | null = null;

  constructor(readonly socket: UpstreamSocket) {
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.ended = promise;
    socket.start({
      opened() {},
      message: (data) => this.messages.push(data),
      drained: () => this.#drained?.(),
      ended: resolve,
    });
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#drained = resolve);
  }
}

async function open(upstream: ScriptedUpstream, limits: Partial<WebSocketLimits> = {}): Promise<Opened> {
  const socket = await connectWebSocket({
    target: upstream.target,
    path: "/",
    headers: ["host", "example.com"],
    abort: new AbortHandle(),
    observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
    connectTimeoutMs: 5000,
    timeoutMs: 5000,
  }, { ...LIMITS, ...limits });
  assert.ok(socket instanceof UpstreamSocket);
  return new Opened(socket);
}

/** An upstream, and what its script for the only connection comes to. */
function reporting<T>(
  script: (raw: RawSocket) => Promise<T>,
): { upstream: ScriptedUpstream; report: Promise<T> } {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const upstream = webSocketUpstream((raw) => script(raw).then(resolve, reject));
  return { upstream, report: promise };
}

/** What the upstream is told, in short, until the connection ends. */
async function listen(raw: RawSocket): Promise<string[]> {
  const said: string[] = [];
  for (let next = await raw.said(); next !== null; next = await raw.said()) said.push(next);
  return said;
}

const HOSTILE: [name: string, frames: Uint8Array[], code: number, message: RegExp][] = [
  ["a masked frame", [frame(TEXT, "x", { key: Uint8Array.of(1, 2, 3, 4) })], 1002, /masked/],
  ["an unknown opcode", [frame(5, "x")], 1002, /opcode 5/],
  ["a reserved bit", [frame(TEXT, "x", { reserved: 1 })], 1002, /reserved bit/],
  ["text that is no UTF-8", [frame(TEXT, Uint8Array.of(0xff))], 1007, /no UTF-8/],
  [
    "a frame above the limit",
    [frame(BINARY, "", { declaredLength: 10_001 })],
    1009,
    /longer than 10000 bytes/,
  ],
  [
    "fragments without end",
    Array.from({ length: 11 }, (_, i) => frame(i === 0 ? BINARY : 0, new Uint8Array(1000), { final: false })),
    1009,
    /longer than 10000 bytes/,
  ],
  [
    "a message inside another",
    [frame(TEXT, "x", { final: false }), frame(TEXT, "y")],
    1002,
    /inside another/,
  ],
  ["an invalid close code", [frame(CLOSE, closePayload(1006))], 1002, /code 1006/],
];

for (const [name, frames, code, message] of HOSTILE) {
  Deno.test(`an upstream that sends ${name} is told ${code} and left`, async () => {
    const { upstream: hostile, report } = reporting(async (raw) => {
      await raw.send(...frames);
      return await listen(raw);
    });
    await using upstream = hostile;
    const opened = await open(upstream, { maxMessageBytes: 10_000 });
    const ending = await opened.ended;
    assert.ok(ending.kind === "fault");
    assert.equal(ending.code, code);
    assert.match(ending.message, message);
    assert.deepEqual(await report, [`close ${code}`]);
    assert.deepEqual(opened.messages, []);
  });
}

Deno.test("messages before a fault arrive, those behind it do not", async () => {
  await using upstream = webSocketUpstream(async (raw) => {
    await raw.send(frame(TEXT, "before"), frame(3, ""), frame(TEXT, "behind"));
    await listen(raw);
  });
  const opened = await open(upstream);
  assert.equal((await opened.ended).kind, "fault");
  assert.deepEqual(opened.messages, ["before"]);
});

Deno.test("an upstream that closes in the middle of a frame, or without a word, is lost", async () => {
  for (const bytes of [frame(TEXT, "hello").subarray(0, 4), new Uint8Array(0)]) {
    await using upstream = webSocketUpstream((raw) => raw.send(bytes));
    const opened = await open(upstream);
    assert.deepEqual(await opened.ended, {
      kind: "lost",
      message: "the connection ended without a Close frame",
    });
  }
});

Deno.test("a Close frame of the upstream is answered with its code and reason", async () => {
  const { upstream: closing, report } = reporting(async (raw) => {
    await raw.send(frame(CLOSE, closePayload(4002, "enough")), frame(TEXT, "behind"));
    return await raw.said();
  });
  await using upstream = closing;
  const opened = await open(upstream);
  assert.deepEqual(await opened.ended, { kind: "closed", code: 4002, reason: "enough" });
  assert.equal(await report, "close 4002 enough");
  assert.deepEqual(opened.messages, []);
});

Deno.test("close sends what is queued, then the Close frame, and waits for the answer", async () => {
  let heard: (string | null)[] = [];
  await using upstream = webSocketUpstream(async (raw) => {
    heard = [await raw.said(), await raw.said()];
    await raw.send(frame(TEXT, "still here"), frame(CLOSE, closePayload(3001, "fine")));
    await raw.closed();
  });
  const opened = await open(upstream, { closeTimeoutMs: 60_000 });
  opened.socket.send("last words");
  opened.socket.close(3000, "bye");
  opened.socket.send("too late");
  assert.deepEqual(await opened.ended, { kind: "closed", code: 3001, reason: "fine" });
  assert.deepEqual(opened.messages, ["still here"]);
  assert.deepEqual(heard, ["text last words", "close 3000 bye"]);
  opened.socket.drop();
});

Deno.test("an upstream that does not answer a Close frame is left after a time", async () => {
  await using upstream = webSocketUpstream(async (raw) => void await listen(raw));
  const opened = await open(upstream, { closeTimeoutMs: 10 });
  opened.socket.close(1001, "");
  assert.deepEqual(await opened.ended, { kind: "silent", message: "it did not answer the Close frame" });
});

Deno.test("finish sends what is queued and ends the connection without a Close frame", async () => {
  const { upstream: listening, report } = reporting(listen);
  await using upstream = listening;
  const opened = await open(upstream);
  for (let i = 0; i < 100; i++) opened.socket.send(`message ${i}`);
  opened.socket.finish();
  assert.deepEqual(await report, Array.from({ length: 100 }, (_, i) => `text message ${i}`));
});

Deno.test("pings are answered with their payload, between fragments too", async () => {
  const { upstream: pinging, report } = reporting(async (raw) => {
    await raw.send(frame(TEXT, "he", { final: false }), frame(PING, "one"), frame(0, "llo"));
    const heard = [await raw.said()];
    await raw.send(frame(CLOSE, ""));
    heard.push(await raw.said());
    return heard;
  });
  await using upstream = pinging;
  const opened = await open(upstream);
  await opened.ended;
  assert.deepEqual(opened.messages, ["hello"]);
  assert.deepEqual(await report, ["pong one", "close"]);
});

Deno.test("a silent upstream is pinged and stays as long as it answers", async () => {
  await using upstream = webSocketUpstream(async (raw) => {
    for (let i = 0; i < 3; i++) {
      assert.equal(await raw.said(), "ping");
      await raw.send(frame(0xa, ""));
    }
    await raw.send(frame(CLOSE, closePayload(1000)));
    assert.equal(await raw.said(), "close 1000");
  });
  const opened = await open(upstream, { pingIntervalMs: 20 });
  assert.deepEqual(await opened.ended, { kind: "closed", code: 1000, reason: "" });
});

Deno.test("an upstream that answers no ping is told 1001 and left", async () => {
  const { upstream: listening, report } = reporting(listen);
  await using upstream = listening;
  const opened = await open(upstream, { pingIntervalMs: 20 });
  assert.deepEqual(await opened.ended, { kind: "silent", message: "it did not answer a ping" });
  assert.deepEqual(await report, ["ping", "close 1001 it did not answer a ping"]);
});

Deno.test("an upstream that takes nothing is held to be dead, even if it speaks", async () => {
  const stop = Promise.withResolvers<void>();
  await using upstream = webSocketUpstream(async (raw, side) => {
    let isOver = false;
    stop.promise.then(() => isOver = true);
    while (!isOver) {
      await raw.send(frame(PING, "")).catch(() => isOver = true);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await side.closed();
  });
  const opened = await open(upstream, { pingIntervalMs: 50 });
  while (opened.socket.send(new Uint8Array(1_000_000)));
  for (let i = 0; i < 16; i++) opened.socket.send(new Uint8Array(1_000_000));
  assert.deepEqual(await opened.ended, { kind: "silent", message: "it takes nothing of what is sent" });
  stop.resolve();
});

Deno.test("send asks for a pause when too much waits, and tells when there is room", async () => {
  const read = Promise.withResolvers<void>();
  const { upstream: slow, report } = reporting(async (raw) => {
    await read.promise;
    let received = 0;
    for (let said = await raw.frame(); said !== null; said = await raw.frame()) {
      received += said.payload.length;
    }
    return received;
  });
  await using upstream = slow;
  const opened = await open(upstream, { maxBufferedBytes: 300_000 });
  const part = new Uint8Array(100_000);
  let sent = part.length;
  // The system takes some megabytes before it stops.
  while (opened.socket.send(part)) {
    sent += part.length;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.ok(sent >= 300_000, `${sent} bytes were sent before the pause`);
  read.resolve();
  await opened.drained();
  opened.socket.finish();
  assert.equal(await report, sent);
});

Deno.test("a flood of pings whose answers cannot leave takes no memory: only the latest is answered", async () => {
  const flood = 20_000;
  const taken = Promise.withResolvers<void>();
  const { upstream: flooding, report } = reporting(async (raw) => {
    // Nothing is read until all have been taken.
    for (let i = 0; i < flood; i += 1000) {
      await raw.send(...Array.from({ length: 1000 }, (_, j) => frame(PING, `${i + j}`)));
    }
    await raw.send(frame(TEXT, "all sent"));
    await taken.promise;
    let pongs = 0;
    for (let said = await raw.frame(); said !== null; said = await raw.frame()) {
      if (said.opcode !== PONG) continue;
      pongs++;
      if (new TextDecoder().decode(said.payload) === `${flood - 1}`) break;
    }
    return pongs;
  });
  await using upstream = flooding;
  const opened = await open(upstream);
  // Fills the way out, so that a pong has to wait.
  for (let i = 0; i < 16; i++) opened.socket.send(new Uint8Array(1_000_000));
  await until(() => opened.messages.length === 1);
  taken.resolve();
  assert.equal((await opened.ended).kind, "lost");
  // One behind each message that left before the way out was full, and the latest.
  const pongs = await report;
  assert.ok(pongs <= 17, `${pongs} pongs for ${flood} pings`);
});

Deno.test("pause holds the upstream back, resume lets it go on", async () => {
  let sent = 0;
  const part = frame(BINARY, new Uint8Array(1_000_000));
  await using upstream = webSocketUpstream(async (raw) => {
    for (; sent < 64; sent++) await raw.send(part);
    await raw.send(frame(CLOSE, ""));
    await raw.said();
  });
  const opened = await open(upstream);
  opened.socket.pause();
  // Until the system's buffers are full the upstream can write: then it stands still.
  for (let before = -1; before !== sent;) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 64, "the upstream could send everything to a socket that was not read from");
  assert.ok(opened.messages.length <= 1);
  opened.socket.resume();
  assert.equal((await opened.ended).kind, "closed");
  assert.equal(opened.messages.length, 64);
});
