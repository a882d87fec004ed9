/** The relay between raw peers: who is told what when a WebSocket ends, and what waits where. */
import assert from "node:assert/strict";
import type { SessionOutcome } from "../../../src/websocket/mod.ts";
import { until } from "../../support/event_loop.ts";
import { ScriptedUpstream } from "../../support/scripted_upstream.ts";
import {
  BINARY,
  clientFrame,
  CLOSE,
  closePayload,
  connected,
  frame,
  PING,
  PONG,
  RawSocket,
  TEXT,
  UPGRADE_REQUEST,
} from "../../support/websocket_frames.ts";
import { Relay, type RelayOptions } from "../../support/websocket_relay.ts";
import { echo, switching, webSocketUpstream } from "../../support/websocket_upstream.ts";

type Side = (socket: RawSocket) => Promise<unknown>;

/** Lets two raw peers speak through a relay and says how that ended. */
async function meet(
  upstreamSide: Side,
  clientSide: (socket: RawSocket, relay: Relay) => Promise<unknown>,
  options: RelayOptions = {},
): Promise<SessionOutcome> {
  let failure: unknown;
  await using upstream = webSocketUpstream((socket) =>
    upstreamSide(socket).then(() => {}, (fault) => void (failure = fault))
  );
  await using relay = new Relay(upstream.target, options);
  using client = await connected(relay.port);
  await clientSide(client.socket, relay);
  const outcome = await relay.first.ended;
  if (failure !== undefined) throw failure;
  return outcome;
}

/** What is the same in every run. */
function told({ by, cause, code, reason, error }: SessionOutcome) {
  return { by, cause, code, reason, error };
}

/** What it is told until the connection ends; answers Close frames, and pings if it is to. */
async function listen(socket: RawSocket, answer: typeof frame = frame, pongs = false): Promise<string[]> {
  const said: string[] = [];
  for (let next = await socket.said(); next !== null; next = await socket.said()) {
    if (pongs && next === "ping") {
      await socket.send(answer(PONG, ""));
      continue;
    }
    said.push(next);
    if (next.startsWith("close")) {
      const code = Number(next.split(" ")[1] ?? 1000);
      await socket.send(answer(CLOSE, closePayload(code)));
      break;
    }
  }
  return said;
}

const WAYS: [way: string, options: RelayOptions][] = [
  ["", {}],
  [" (without the runtime's internals)", { withoutHooks: true }],
];

for (const [way, options] of WAYS) {
  Deno.test(`a client's Close frame reaches the upstream and the record${way}`, async () => {
    let heard: string[] = [];
    const outcome = await meet(
      async (socket) => heard = await listen(socket),
      async (socket) => {
        await socket.send(clientFrame(TEXT, "grüß"), clientFrame(CLOSE, closePayload(4001, "bye")));
        assert.equal(await socket.said(), "close 4001 bye");
        await socket.closed();
      },
      options,
    );
    assert.deepEqual(heard, ["text grüß", "close 4001 bye"]);
    assert.deepEqual(told(outcome), {
      by: "client",
      cause: "client_closed",
      code: 4001,
      reason: "bye",
      error: null,
    });
    assert.deepEqual(outcome.toTarget, { messages: 1, bytes: 6 });
    assert.deepEqual(outcome.toClient, { messages: 0, bytes: 0 });
    assert.ok(outcome.durationMs > 0);
  });

  Deno.test(`an upstream's Close frame reaches the client and the record${way}`, async () => {
    const outcome = await meet(
      async (socket) => {
        await socket.send(frame(BINARY, new Uint8Array(300)), frame(CLOSE, closePayload(1011, "broken")));
        assert.equal(await socket.said(), "close 1011 broken");
      },
      async (socket) => {
        assert.match((await socket.said())!, /^binary 0,/);
        assert.deepEqual(await listen(socket, clientFrame), ["close 1011 broken"]);
      },
      options,
    );
    assert.deepEqual(told(outcome), {
      by: "target",
      cause: "target_closed",
      code: 1011,
      reason: "broken",
      error: null,
    });
    assert.deepEqual(outcome.toClient, { messages: 1, bytes: 300 });
  });

  Deno.test(`close ends both sides with its code and a reason that fits${way}`, async () => {
    let heard: string[] = [];
    const outcome = await meet(
      async (socket) => heard = await listen(socket),
      async (socket, relay) => {
        await socket.send(clientFrame(TEXT, "before"));
        await until(() => relay.all.length === 1);
        relay.first.close(1001, "r".repeat(200));
        relay.first.close(1000, "only the first counts");
        assert.deepEqual(await listen(socket, clientFrame), [`close 1001 ${"r".repeat(123)}`]);
      },
      options,
    );
    // The client's message may have come too late.
    assert.equal(heard.at(-1) ?? `close 1001 ${"r".repeat(123)}`, `close 1001 ${"r".repeat(123)}`);
    assert.deepEqual([outcome.by, outcome.cause, outcome.code, outcome.error], [
      "proxy",
      "shutdown",
      1001,
      null,
    ]);
  });

  Deno.test(`a WebSocket on which nothing passes is closed with 1001${way}`, async () => {
    let heard: string[] = [];
    const outcome = await meet(
      async (socket) => heard = await listen(socket),
      async (socket) => assert.deepEqual(await listen(socket, clientFrame), ["close 1001 idle timeout"]),
      { ...options, limits: { idleTimeoutMs: 30 } },
    );
    assert.deepEqual(heard, ["close 1001 idle timeout"]);
    assert.equal(outcome.cause, "idle_timeout");
    assert.equal(outcome.error, "no message passed for 30 ms");
  });

  Deno.test(`a message of the client above the limit is told 1009 and not passed on${way}`, async () => {
    let heard: string[] = [];
    const outcome = await meet(
      async (socket) => heard = await listen(socket),
      async (socket) => {
        await socket.send(clientFrame(TEXT, "x".repeat(1000)), clientFrame(TEXT, "ü".repeat(501)));
        assert.deepEqual(await listen(socket, clientFrame), ["close 1009 message too big"]);
      },
      { ...options, limits: { maxMessageBytes: 1000 } },
    );
    assert.deepEqual(heard, [`text ${"x".repeat(1000)}`, "close 1001 message too big"]);
    assert.deepEqual(told(outcome), {
      by: "proxy",
      cause: "client_message_too_big",
      code: 1009,
      reason: "message too big",
      error: "the client sent a message of 1002 bytes, allowed are 1000",
    });
    assert.deepEqual(outcome.toTarget, { messages: 1, bytes: 1000 });
  });

  Deno.test(`messages of 20 MiB pass both ways, from a client in fragments${way}`, async () => {
    const part = new Uint8Array(5 * 1024 * 1024).map((_, i) => i * 7);
    const outcome = await meet(echo, async (socket) => {
      const sending = socket.send(
        ...[BINARY, 0, 0, 0].map((opcode, i) => clientFrame(opcode, part, { final: i === 3 })),
      );
      const answer = (await socket.frame())!;
      await sending;
      assert.equal(answer.payload.length, 4 * part.length);
      assert.ok(answer.payload.every((byte, i) => byte === (i % part.length * 7 & 255)));
      await socket.send(clientFrame(CLOSE, closePayload(1000)));
      assert.equal(await socket.said(), "close 1000");
    }, options);
    assert.deepEqual(outcome.toTarget, { messages: 1, bytes: 4 * part.length });
    assert.deepEqual(outcome.toClient, outcome.toTarget);
  });
}

const LOST: [name: string, side: Side, told: string, cause: string, error: RegExp][] = [
  [
    "that vanishes",
    (socket) => socket.send(frame(TEXT, "first")),
    "close 1014 connection to the server was lost",
    "target_lost",
    /^target: the connection ended without a Close frame$/,
  ],
  [
    "that breaks the protocol",
    async (socket) => {
      await socket.send(frame(TEXT, "first"), frame(3, ""));
      assert.deepEqual(await listen(socket), ["close 1002"]);
    },
    "close 1014 invalid answer from the server",
    "target_fault",
    /^target: a frame has the opcode 3/,
  ],
  [
    "that answers no ping",
    async (socket) => {
      await socket.send(frame(TEXT, "first"));
      await listen(socket);
    },
    "close 1014 the server does not answer",
    "target_silent",
    /^target: it did not answer a ping$/,
  ],
];

for (const [name, side, said, cause, error] of LOST) {
  Deno.test(`the client of an upstream ${name} gets what came before, and then 1014`, async () => {
    const outcome = await meet(side, async (socket) => {
      assert.deepEqual(await listen(socket, clientFrame, true), ["text first", said]);
    }, { limits: { pingIntervalMs: cause === "target_silent" ? 40 : 0 } });
    assert.deepEqual([outcome.by, outcome.cause, outcome.code], ["target", cause, 1006]);
    assert.match(outcome.error!, error);
  });
}

const HOSTILE_CLIENTS: [name: string, frames: Uint8Array[]][] = [
  ["vanishes", []],
  ["vanishes in the middle of a frame", [clientFrame(TEXT, "hello").subarray(0, 8)]],
  ["vanishes in the middle of a message", [clientFrame(TEXT, "hello", { final: false })]],
  ["sends an unknown opcode", [clientFrame(5, "")]],
  ["sets a reserved bit", [clientFrame(TEXT, "x", { reserved: 4 })]],
  ["sends text that is no UTF-8", [clientFrame(TEXT, Uint8Array.of(0xff))]],
  ["continues nothing", [clientFrame(0, "x")]],
  ["begins a message inside another", [clientFrame(TEXT, "x", { final: false }), clientFrame(TEXT, "y")]],
  ["sends an invalid close code", [clientFrame(CLOSE, closePayload(1006))]],
  ["says its frame has 65 MiB", [clientFrame(BINARY, "", { declaredLength: 65 * 1024 * 1024 })]],
];

for (const [name, frames] of HOSTILE_CLIENTS) {
  Deno.test(`the upstream of a client that ${name} gets what came before, and no Close frame`, async () => {
    let heard: string[] = [];
    const outcome = await meet(
      async (socket) => heard = await listen(socket),
      async (socket) => {
        await socket.send(clientFrame(TEXT, "first"), ...frames);
        socket.close();
      },
    );
    assert.deepEqual(heard, ["text first"]);
    assert.deepEqual([outcome.by, outcome.cause, outcome.code, outcome.reason], [
      "client",
      "client_lost",
      1006,
      "",
    ]);
    assert.match(outcome.error!, /^client: /);
  });
}

Deno.test("a client that answers no ping is given up", async () => {
  let heard: string[] = [];
  const outcome = await meet(
    async (socket) => heard = await listen(socket),
    async (socket) => {
      assert.equal(await socket.said(), "ping");
      assert.equal(await socket.said(), "close 1001 No response from ping frame.");
    },
    { limits: { pingIntervalMs: 40 } },
  );
  assert.deepEqual(heard.filter((text) => text !== "ping"), []);
  assert.deepEqual([outcome.by, outcome.cause, outcome.code], ["client", "client_silent", 1006]);
  assert.equal(outcome.error, "client: it did not answer a ping");
});

Deno.test("a client and an upstream that answer pings stay, however silent they are", async () => {
  const outcome = await meet(
    async (socket) => {
      for (let pings = 0; pings < 3; pings++) {
        assert.equal(await socket.said(), "ping");
        await socket.send(frame(PONG, ""));
      }
      await socket.send(frame(CLOSE, closePayload(1000, "enough")));
      await listen(socket);
    },
    async (socket) => assert.deepEqual(await listen(socket, clientFrame, true), ["close 1000 enough"]),
    { limits: { pingIntervalMs: 40 } },
  );
  assert.equal(outcome.cause, "target_closed");
});

Deno.test("a client's ping is answered by the relay and not passed on", async () => {
  let heard: string[] = [];
  await meet(
    async (socket) => heard = await listen(socket),
    async (socket) => {
      await socket.send(clientFrame(PING, "here?"));
      assert.equal(await socket.said(), "pong here?");
      await socket.send(clientFrame(CLOSE, ""));
      assert.equal(await socket.said(), "close");
    },
  );
  assert.deepEqual(heard, ["close"]);
});

const PART_BYTES = 1_000_000;
const PARTS = 64;

/** Resolves when `count` has not changed for a while: whoever changes it is held back. */
async function standstill(count: () => number): Promise<void> {
  for (let before = -1; before !== count();) {
    before = count();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The system's own buffers of two connections, their largest sizes on Linux, and what the relay may keep. */
const HELD_BACK_PARTS = 32;

Deno.test("a client that reads slowly holds the upstream back, and misses nothing", async () => {
  let sent = 0;
  const part = frame(BINARY, new Uint8Array(PART_BYTES));
  const outcome = await meet(
    async (socket) => {
      for (; sent < PARTS; sent++) await socket.send(part);
      await socket.send(frame(CLOSE, closePayload(1000, "all sent")));
      await socket.said();
    },
    async (socket) => {
      await standstill(() => sent);
      assert.ok(
        sent > 0 && sent < HELD_BACK_PARTS,
        `${sent} of ${PARTS} parts went to a client that reads nothing`,
      );
      for (let i = 0; i < PARTS; i++) assert.equal((await socket.frame())?.payload.length, PART_BYTES);
      assert.deepEqual(await listen(socket, clientFrame), ["close 1000 all sent"]);
    },
  );
  assert.deepEqual(outcome.toClient, { messages: PARTS, bytes: PARTS * PART_BYTES });
});

Deno.test("an upstream that reads slowly holds the client back, and misses nothing", async () => {
  const read = Promise.withResolvers<void>();
  let received = 0;
  let sent = 0;
  const part = clientFrame(BINARY, new Uint8Array(PART_BYTES));
  const outcome = await meet(
    async (socket) => {
      await read.promise;
      for (let next = await socket.frame(); next !== null; next = await socket.frame()) {
        if (next.opcode === CLOSE) return socket.send(frame(CLOSE, next.payload));
        if (next.opcode === BINARY) received += next.payload.length;
      }
    },
    async (socket) => {
      const sending = (async () => {
        for (; sent < PARTS; sent++) await socket.send(part);
        await socket.send(clientFrame(CLOSE, closePayload(1000)));
      })();
      await standstill(() => sent);
      assert.ok(
        sent > 0 && sent < HELD_BACK_PARTS,
        `${sent} of ${PARTS} parts went to a relay that cannot pass them on`,
      );
      read.resolve();
      await sending;
      // Its pings go on once it is read from again; here there are none.
      assert.deepEqual(await socket.said(), "close 1000");
    },
  );
  assert.equal(received, PARTS * PART_BYTES);
  assert.deepEqual(outcome.toTarget, { messages: PARTS, bytes: received });
});

Deno.test("held back longer than a ping's answer may take, a client is not taken for dead", async () => {
  const outcome = await meet(
    async (socket) => {
      // Some 20 MB wait when the client is held back, of which 10 have to go at 1 MB in 60 ms.
      for (let next = await socket.frame(); next !== null; next = await socket.frame()) {
        if (next.opcode === CLOSE) return await socket.send(frame(CLOSE, next.payload));
        if (next.opcode === PING) await socket.send(frame(PONG, next.payload));
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
    },
    async (socket) => {
      const part = clientFrame(BINARY, new Uint8Array(PART_BYTES));
      const heard = listen(socket, clientFrame, true);
      for (let i = 0; i < PARTS / 2; i++) await socket.send(part);
      await socket.send(clientFrame(CLOSE, closePayload(1000)));
      assert.deepEqual(await heard, ["close 1000"]);
    },
    { limits: { pingIntervalMs: 150, maxBufferedBytes: 20_000_000 } },
  );
  assert.equal(outcome.cause, "client_closed");
  assert.equal(outcome.toTarget.messages, PARTS / 2);
});

Deno.test("a client that takes nothing at all is given up", async () => {
  let heard: string[] = [];
  const outcome = await meet(
    async (socket) => {
      const part = frame(BINARY, new Uint8Array(2000));
      try {
        for (;;) await socket.send(part);
      } catch (fault) {
        if (!(fault instanceof Deno.errors.ConnectionReset || fault instanceof Deno.errors.BrokenPipe)) {
          throw fault;
        }
      }
      heard = await listen(socket);
    },
    async (_socket, relay) => {
      await until(() => relay.all.length === 1);
      await relay.first.ended;
    },
    // The time for what waits comes on top: 10 kB/s.
    { limits: { stallTimeoutMs: 10, maxBufferedBytes: 1024 } },
  );
  assert.deepEqual(heard, []);
  assert.deepEqual([outcome.by, outcome.cause], ["client", "client_silent"]);
  assert.equal(outcome.error, "client: it takes nothing of what is sent");
});

Deno.test("where a client cannot be held back, one that sends too fast is closed with 1008", async () => {
  const over = Promise.withResolvers<void>();
  let sent = 0;
  const outcome = await meet(
    async (socket) => {
      await over.promise;
      await listen(socket);
    },
    async (socket, relay) => {
      const part = clientFrame(BINARY, new Uint8Array(PART_BYTES));
      try {
        for (; sent < PARTS; sent++) await socket.send(part);
      } catch (fault) {
        if (!(fault instanceof Deno.errors.ConnectionReset || fault instanceof Deno.errors.BrokenPipe)) {
          throw fault;
        }
      }
      // Not awaited before: the Close frame to the upstream waits behind the messages.
      over.resolve();
      await relay.first.ended;
    },
    { withoutHooks: true, limits: { maxMessageBytes: 2 * PART_BYTES } },
  );
  assert.ok(sent < HELD_BACK_PARTS, `${sent} of ${PARTS} parts were taken`);
  assert.deepEqual([outcome.by, outcome.cause, outcome.code], ["proxy", "client_too_fast", 1008]);
});

// Deno 2.9 never completes such an upgrade, and `shutdown` of Deno.serve waits for it: hence the accept loop.
// Deno 2.6 leaves the connection's server behind.
const abandoned = { name: "a session whose client left before it was open ends, and its upstream is left" };
Deno.test({ ...abandoned, sanitizeOps: false, sanitizeResources: false }, async () => {
  let heard: string[] = [];
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  await using upstream = new ScriptedUpstream(async (side) => {
    const head = (await side.readHead())!;
    asked.resolve();
    await left.promise;
    await side.send(await switching(head));
    heard = await listen(new RawSocket(side.conn));
  });
  await using relay = new Relay(upstream.target, { limits: { openTimeoutMs: 50 }, listener: "accept loop" });
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: relay.port });
  await conn.write(new TextEncoder().encode(UPGRADE_REQUEST));
  await asked.promise;
  conn.close();
  // The listener has to notice it first.
  await new Promise((resolve) => setTimeout(resolve, 50));
  left.resolve();
  await until(() => relay.all.length === 1);
  const outcome = await relay.first.ended;
  assert.equal(outcome.cause, "client_lost");
  assert.deepEqual(outcome.toTarget, { messages: 0, bytes: 0 });
  assert.deepEqual(heard, []);
});

Deno.test("closeAll closes every session, also one that is not open yet, and waits for all", async () => {
  await using upstream = webSocketUpstream(async (socket) => void await listen(socket));
  const relay = new Relay(upstream.target);
  const clients = await Promise.all(Array.from({ length: 5 }, () => connected(relay.port)));
  await until(() => relay.sessions.size === 5);
  const closing = relay.sessions.closeAll(1001, "shutdown");
  const heard = await Promise.all(clients.map(({ socket }) => listen(socket, clientFrame)));
  await closing;
  assert.equal(relay.sessions.size, 0);
  // A client whose session was closed before it was open is only left.
  for (const said of heard) assert.ok(said.length === 0 || said[0] === "close 1001 shutdown", said.join());
  const outcomes = await Promise.all(relay.all.map(({ ended }) => ended));
  assert.deepEqual(new Set(outcomes.map(({ cause }) => cause)), new Set(["shutdown"]));
  for (const client of clients) client[Symbol.dispose]();
  await relay[Symbol.asyncDispose]();
});
