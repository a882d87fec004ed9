import assert from "node:assert/strict";
import fc from "fast-check";
import { ReplayBody, ReplayMemory } from "../../../src/retry/replay_body.ts";
import { bytesOf, textOfBytes } from "../../support/bytes.ts";

interface Source {
  stream: ReadableStream<Uint8Array>;
  /** Chunks that were asked for. */
  pulls: number;
  cancelled: unknown[];
}

/** The chunks one by one, each only when it is asked for. */
function source(chunks: readonly string[], fault?: Error): Source {
  let index = 0;
  const it: Source = {
    pulls: 0,
    cancelled: [],
    stream: new ReadableStream({
      pull(controller) {
        it.pulls++;
        if (index < chunks.length) controller.enqueue(bytesOf(chunks[index++]));
        else if (fault !== undefined) controller.error(fault);
        else controller.close();
      },
      cancel: (reason) => void it.cancelled.push(reason),
    }, { highWaterMark: 0 }),
  };
  return it;
}

function replay(chunks: readonly string[], { maxBytes = 100, memory = new ReplayMemory(), fault }: {
  maxBytes?: number;
  memory?: ReplayMemory;
  fault?: Error;
} = {}) {
  const from = source(chunks, fault);
  return { from, memory, body: new ReplayBody({ source: from.stream, maxBytes, memory }) };
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += textOfBytes(chunk);
  return text;
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string | null> {
  const { done, value } = await reader.read();
  return done ? null : textOfBytes(value);
}

Deno.test("each attempt gets the whole body, which is read from the client once", async () => {
  const { body, from } = replay(["ab", "cd", "e"]);
  assert.equal(await textOf(body.stream()), "abcde");
  assert.equal(from.pulls, 4);
  assert.equal(await textOf(body.stream()), "abcde");
  assert.equal(from.pulls, 4);
  assert.equal(body.readBytes, 5);
});

Deno.test("nothing is read before an attempt reads, and no faster than it does", async () => {
  const { body, from } = replay(["ab", "cd"]);
  const reader = body.stream().getReader();
  assert.equal(from.pulls, 0);
  assert.equal(await readChunk(reader), "ab");
  assert.equal(from.pulls, 1);
});

Deno.test("an attempt that is cancelled in the middle leaves the client's stream to the next", async () => {
  const { body, from } = replay(["ab", "cd", "ef"]);
  const first = body.stream().getReader();
  assert.equal(await readChunk(first), "ab");
  await first.cancel(new Error("reset"));
  assert.equal(body.isReplayable, true);
  assert.equal(await textOf(body.stream()), "abcdef");
  assert.deepEqual(from.cancelled, []);
});

Deno.test("a read that an attempt left under way is not lost for the next", async () => {
  const late = Promise.withResolvers<void>();
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (pulls++ === 0) await late.promise;
      if (pulls <= 2) controller.enqueue(bytesOf(`${pulls}`));
      else controller.close();
    },
  }, { highWaterMark: 0 });
  const body = new ReplayBody({ source: stream, maxBytes: 10, memory: new ReplayMemory() });
  const first = body.stream().getReader();
  const pending = first.read();
  await first.cancel();
  assert.equal((await pending).done, true);
  const second = textOf(body.stream());
  late.resolve();
  assert.equal(await second, "12");
});

Deno.test("a body over the limit goes on to its end, but is kept no longer and sent only once", async () => {
  const { body, memory, from } = replay(["abc", "def", "ghi"], { maxBytes: 5 });
  const before = memory.freeBytes;
  const reader = body.stream().getReader();
  assert.equal(await readChunk(reader), "abc");
  assert.deepEqual([body.isReplayable, body.keptBytes], [true, 3]);
  assert.equal(await readChunk(reader), "def");
  assert.deepEqual([body.isReplayable, body.keptBytes, memory.freeBytes], [false, 0, before]);
  assert.throws(() => body.stream(), { message: "cannot send the request body again: it was not kept" });
  assert.equal(await readChunk(reader), "ghi");
  assert.equal(await readChunk(reader), null);
  assert.deepEqual(from.cancelled, []);
});

Deno.test("a second attempt that goes over the limit still gets all of the body", async () => {
  const { body } = replay(["abc", "de", "fgh"], { maxBytes: 5 });
  const first = body.stream().getReader();
  await first.read();
  await first.cancel();
  assert.equal(await textOf(body.stream()), "abcdefgh");
  assert.equal(body.isReplayable, false);
});

Deno.test("over the limit, cancelling an attempt cancels the client's stream", async () => {
  const { body, from } = replay(["abc", "def", "ghi"], { maxBytes: 5 });
  const reader = body.stream().getReader();
  await reader.read();
  await reader.read();
  const reason = new Error("gone");
  await reader.cancel(reason);
  assert.deepEqual(from.cancelled, [reason]);
});

Deno.test("a body of exactly the limit is kept", async () => {
  const { body } = replay(["abc", "de"], { maxBytes: 5 });
  await textOf(body.stream());
  assert.equal(await textOf(body.stream()), "abcde");
});

Deno.test("bodies of one thread share its memory, and give it back", async () => {
  const memory = new ReplayMemory(5);
  const one = replay(["abc"], { memory });
  await textOf(one.body.stream());
  const two = replay(["def"], { memory });
  assert.equal(await textOf(two.body.stream()), "def");
  assert.deepEqual([two.body.isReplayable, memory.freeBytes], [false, 2]);
  one.body.settle();
  assert.equal(memory.freeBytes, 5);
  const three = replay(["ghi"], { memory });
  await textOf(three.body.stream());
  assert.equal(three.body.isReplayable, true);
});

Deno.test("settled, the last attempt goes on without being kept, and its cancellation is the client's", async () => {
  const { body, memory, from } = replay(["ab", "cd", "ef"]);
  const before = memory.freeBytes;
  const reader = body.stream().getReader();
  await reader.read();
  body.settle();
  body.settle();
  assert.deepEqual([body.isReplayable, memory.freeBytes], [false, before]);
  assert.equal(await readChunk(reader), "cd");
  assert.equal(body.keptBytes, 0);
  const reason = new Error("gone");
  await reader.cancel(reason);
  assert.deepEqual(from.cancelled, [reason]);
});

Deno.test("settled while an attempt still reads what was kept for it, nothing is missing", async () => {
  const { body } = replay(["ab", "cd", "ef"]);
  await textOf(body.stream());
  const reader = body.stream().getReader();
  assert.equal(await readChunk(reader), "ab");
  body.settle();
  assert.equal(await readChunk(reader), "cd");
  assert.equal(await readChunk(reader), "ef");
  assert.equal(await readChunk(reader), null);
});

Deno.test("settled after its attempt was cancelled, the client's stream is cancelled", async () => {
  const { body, from } = replay(["ab", "cd"]);
  await body.stream().cancel();
  assert.deepEqual(from.cancelled, []);
  body.settle();
  assert.equal(from.cancelled.length, 1);
});

Deno.test("abandoned, the client's stream is cancelled and the memory given back", async () => {
  const { body, memory, from } = replay(["ab", "cd"]);
  const before = memory.freeBytes;
  const reader = body.stream().getReader();
  await reader.read();
  const reason = new Error("no target");
  body.abandon(reason);
  assert.deepEqual([from.cancelled, memory.freeBytes, body.isReplayable], [[reason], before, false]);
});

Deno.test("an earlier attempt's stream breaks off when the next one begins", async () => {
  const { body } = replay(["ab", "cd"]);
  const first = body.stream().getReader();
  await first.read();
  const second = textOf(body.stream());
  await assert.rejects(first.read(), { message: "another attempt has taken over the request body" });
  assert.equal(await second, "abcd");
});

Deno.test("a client's stream that breaks, breaks the attempt, and there is no other", async () => {
  const fault = new Error("client reset");
  const { body } = replay(["ab"], { fault });
  await assert.rejects(textOf(body.stream()), fault);
  assert.equal(body.isReplayable, false);
});

Deno.test("whatever attempts read before they are left, the one that reads on gets every byte in order", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom(..."abcdef") }), { maxLength: 8 }),
    fc.integer({ min: 0, max: 30 }),
    fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }),
    fc.boolean(),
    async (chunks, maxBytes, reads, settles) => {
      const { body, memory, from } = replay(chunks, { maxBytes });
      const before = memory.freeBytes;
      const whole = chunks.join("");
      for (const count of reads) {
        if (!body.isReplayable) break;
        const reader = body.stream().getReader();
        let text = "";
        for (let read = 0; read < count; read++) text += await readChunk(reader) ?? "";
        assert.ok(whole.startsWith(text));
        if (!body.isReplayable) {
          for (let chunk = await readChunk(reader); chunk !== null; chunk = await readChunk(reader)) {
            text += chunk;
          }
          assert.equal(text, whole);
          break;
        }
        await reader.cancel();
      }
      if (body.isReplayable) {
        const stream = body.stream();
        if (settles) body.settle();
        assert.equal(await textOf(stream), whole);
      }
      assert.deepEqual(from.cancelled, []);
      body.abandon(new Error("end"));
      assert.equal(memory.freeBytes, before);
    },
  ));
});
