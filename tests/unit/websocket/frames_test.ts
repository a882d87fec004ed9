import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameError, FrameWriter, MessageReader, OPCODE } from "../../../src/websocket/frames.ts";
import {
  BINARY,
  CLOSE,
  closePayload,
  concat,
  frame,
  parseFrames,
  PING,
  PONG,
  TEXT,
} from "../../support/websocket_frames.ts";

const LIMIT = 100_000;

/** What the reader finds in `bytes`, which arrive in pieces of the sizes in `pieces`, used in turn. */
function read(bytes: Uint8Array, pieces: number[] = [bytes.length], limit = LIMIT): unknown[] {
  const found: unknown[] = [];
  const reader = new MessageReader({
    message: (data, size) =>
      found.push(typeof data === "string" ? `${data}:${size}` : [...data].join() + `:${size}`),
    ping: (payload) => found.push(`ping ${new TextDecoder().decode(payload)}`),
    pong: () => found.push("pong"),
    close: (code, reason) => found.push(`close ${code} ${reason}`),
  }, limit);
  try {
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const { space } = reader;
      assert.ok(space.length > 0);
      const part = bytes.subarray(at, at + Math.min(space.length, pieces[i % pieces.length]));
      space.set(part);
      reader.advance(part.length);
      at += part.length;
    }
  } catch (fault) {
    if (!(fault instanceof FrameError)) throw fault;
    found.push(`fault ${fault.code} ${fault.message}`);
  }
  return found;
}

Deno.test("MessageReader gives text and bytes as they were sent, byte order mark included", () => {
  assert.deepEqual(read(frame(TEXT, "\ufeffgrüß")), ["\ufeffgrüß:9"]);
  assert.deepEqual(read(frame(BINARY, Uint8Array.of(0, 255))), ["0,255:2"]);
  assert.deepEqual(read(frame(TEXT, "")), [":0"]);
});

Deno.test("MessageReader puts fragments together, with pings between them", () => {
  const bytes = concat(
    frame(TEXT, Uint8Array.of(0xc3), { final: false }),
    frame(PING, "p"),
    frame(0, Uint8Array.of(0xbc, 0x61), { final: false }),
    frame(PONG, ""),
    frame(0, ""),
    frame(BINARY, Uint8Array.of(1)),
  );
  assert.deepEqual(read(bytes), ["ping p", "pong", "üa:3", "1:1"]);
});

Deno.test("MessageReader finds the same messages however the bytes arrive", () => {
  const piece = fc.record({
    text: fc.boolean(),
    parts: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 4 }),
    large: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 8 }),
      (messages, sizes) => {
        const wanted: unknown[] = [];
        const frames: Uint8Array[] = [];
        for (const { text, parts, large } of messages) {
          const chosen = parts.map((part) => text ? part.map((byte) => byte & 0x7f) : part);
          if (large) chosen.push(new Uint8Array(20_000).fill(65));
          chosen.forEach((part, i) =>
            frames.push(frame(i === 0 ? text ? TEXT : BINARY : 0, part, { final: i === chosen.length - 1 }))
          );
          const whole = concat(...chosen);
          wanted.push(`${text ? new TextDecoder().decode(whole) : [...whole].join()}:${whole.length}`);
        }
        assert.deepEqual(read(concat(...frames), sizes, 1_000_000), wanted);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("MessageReader reads Close frames and nothing behind them", () => {
  assert.deepEqual(read(concat(frame(CLOSE, ""), frame(TEXT, "late"))), ["close 1005 "]);
  assert.deepEqual(read(frame(CLOSE, closePayload(4001, "grüß"))), ["close 4001 grüß"]);
  assert.deepEqual(read(frame(CLOSE, closePayload(1014))), ["close 1014 "]);
});

const FAULTS: [name: string, bytes: Uint8Array, fault: string][] = [
  ["a masked frame", frame(TEXT, "x", { key: new Uint8Array(4) }), "1002 a frame from a server is masked"],
  [
    "a reserved bit",
    frame(TEXT, "x", { reserved: 4 }),
    "1002 a reserved bit is set, no extension was agreed on",
  ],
  ["data opcode 3", frame(3, "x"), "1002 a frame has the opcode 3, which nobody has defined"],
  ["control opcode 11", frame(11, "x"), "1002 a frame has the opcode 11, which nobody has defined"],
  ["a fragmented ping", frame(PING, "x", { final: false }), "1002 a control frame is fragmented"],
  ["a ping of 126 bytes", frame(PING, new Uint8Array(126)), "1002 a control frame is longer than 125 bytes"],
  ["a continuation of nothing", frame(0, "x"), "1002 a continuation frame continues nothing"],
  [
    "a message inside another",
    concat(frame(TEXT, "x", { final: false }), frame(TEXT, "y")),
    "1002 a message begins inside another one",
  ],
  ["text that is no UTF-8", frame(TEXT, Uint8Array.of(0xc3)), "1007 a text message is no UTF-8"],
  ["a Close frame of one byte", frame(CLOSE, "x"), "1002 a Close frame holds half a code"],
  ["close code 1005", frame(CLOSE, closePayload(1005)), "1002 a Close frame has the code 1005"],
  ["close code 999", frame(CLOSE, closePayload(999)), "1002 a Close frame has the code 999"],
  ["close code 2999", frame(CLOSE, closePayload(2999)), "1002 a Close frame has the code 2999"],
  ["close code 5000", frame(CLOSE, closePayload(5000)), "1002 a Close frame has the code 5000"],
  [
    "a close reason that is no UTF-8",
    frame(CLOSE, Uint8Array.of(3, 232, 255)),
    "1007 the reason of a Close frame is no UTF-8",
  ],
  [
    "a frame that says it is longer than allowed",
    frame(BINARY, "", { declaredLength: LIMIT + 1 }),
    `1009 a message is longer than ${LIMIT} bytes`,
  ],
  [
    "a frame that says it has 2^63 bytes",
    frame(BINARY, "", { declaredLength: 2 ** 63 }),
    `1009 a message is longer than ${LIMIT} bytes`,
  ],
];

for (const [name, bytes, fault] of FAULTS) {
  Deno.test(`MessageReader refuses ${name}, arriving at once or byte by byte`, () => {
    assert.deepEqual(read(bytes), [`fault ${fault}`]);
    assert.deepEqual(read(bytes, [1]), [`fault ${fault}`]);
  });
}

Deno.test("MessageReader refuses fragments without end once they are longer than allowed together", () => {
  const fragment = frame(0, new Uint8Array(1000), { final: false });
  const bytes = concat(frame(BINARY, "", { final: false }), ...Array<Uint8Array>(101).fill(fragment));
  assert.deepEqual(read(bytes), [`fault 1009 a message is longer than ${LIMIT} bytes`]);
});

Deno.test("MessageReader takes a message of exactly the allowed length", () => {
  const bytes = concat(
    frame(TEXT, new Uint8Array(60_000).fill(97), { final: false }),
    frame(0, new Uint8Array(40_000).fill(97)),
  );
  assert.deepEqual(read(bytes), [`${"a".repeat(LIMIT)}:${LIMIT}`]);
});

Deno.test("FrameWriter writes whole masked frames that say what they were given", () => {
  const writer = new FrameWriter();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70_000, size: "max" }), (payload) => {
      const [only] = parseFrames(writer.message(payload as Uint8Array<ArrayBuffer>));
      assert.equal(only.masked && only.final, true);
      assert.equal(only.opcode, OPCODE.binary);
      assert.deepEqual(only.payload, payload);
    }),
    { numRuns: 50 },
  );
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 65_537]) {
    const [only] = parseFrames(writer.message("ü".repeat(length)));
    assert.equal(only.opcode, OPCODE.text);
    assert.equal(new TextDecoder().decode(only.payload), "ü".repeat(length));
  }
});

Deno.test("FrameWriter takes another mask for each frame", () => {
  const writer = new FrameWriter();
  const keys = new Set(Array.from({ length: 1000 }, () => writer.message("x").subarray(2, 6).join()));
  assert.ok(keys.size > 990, `${keys.size} different keys in 1000 frames`);
});

Deno.test("FrameWriter writes Close frames with and without a code", () => {
  const writer = new FrameWriter();
  assert.deepEqual(parseFrames(writer.close(1005, ""))[0].payload, new Uint8Array(0));
  assert.deepEqual(parseFrames(writer.close(4001, "bye"))[0].payload, closePayload(4001, "bye"));
});
