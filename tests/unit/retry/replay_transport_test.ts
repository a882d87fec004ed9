/** A kept body over the real transports: what a failed attempt has left, the next one sends whole. */
import assert from "node:assert/strict";
import { ReplayBody, ReplayMemory } from "../../../src/retry/replay_body.ts";
import { FetchPool } from "../../../src/upstream/fetch_pool.ts";
import { Http1Pool } from "../../../src/upstream/http1_pool.ts";
import type { Transport } from "../../../src/upstream/transport.ts";
import { type Script, ScriptedUpstream } from "../../support/scripted_upstream.ts";
import { failureOf, requestTo, streamOf, textOf } from "../../support/upstream_requests.ts";

const POOL = { poolMaxIdlePerHost: 4, poolIdleTimeoutMs: 60_000 };
const CHUNKS = ["first-", "second-", "third"];
const WHOLE = CHUNKS.join("");

const takesIt: Script = async (side) => {
  await side.readHead();
  await side.readBytes(WHOLE.length);
  await side.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
};
const breaksOff: Script = async (side) => {
  await side.readHead();
  await side.readBytes(8);
};
const refuses: Script = async (side) => {
  await side.readHead();
  await side.send("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  await side.closed();
};

for (
  const [name, make] of [["http1", () => new Http1Pool(POOL)], ["fetch", () => new FetchPool(POOL)]] as const
) {
  const send = (transport: Transport, upstream: ScriptedUpstream, body: ReplayBody) =>
    transport.send(
      requestTo(upstream.target, {
        method: "PUT",
        body: body.stream(),
        bodyLength: WHOLE.length,
        giveChunks: false,
      }),
    );

  const withUpstreams = async (
    first: Script,
    run: (
      transport: Transport,
      first: ScriptedUpstream,
      second: ScriptedUpstream,
      body: ReplayBody,
    ) => Promise<void>,
  ) => {
    await using failing = new ScriptedUpstream(first);
    await using sound = new ScriptedUpstream(takesIt);
    const transport = make();
    const body = new ReplayBody({ source: streamOf(...CHUNKS), maxBytes: 100, memory: new ReplayMemory() });
    try {
      await run(transport, failing, sound, body);
      assert.ok(sound.sides[0].received.endsWith(`\r\n\r\n${WHOLE}`), sound.sides[0].received);
    } finally {
      body.abandon(new Error("the test is over"));
      transport.close();
    }
  };

  Deno.test(`${name}: a body is sent whole after an attempt that broke off in it`, () =>
    withUpstreams(breaksOff, async (transport, first, second, body) => {
      assert.equal((await failureOf(send(transport, first, body))).sent, true);
      assert.equal(body.isReplayable, true);
      const response = await send(transport, second, body);
      body.settle();
      assert.equal(await textOf(response), "ok");
    }));

  Deno.test(`${name}: a body is sent whole after an answer that came before it was taken`, () =>
    withUpstreams(refuses, async (transport, first, second, body) => {
      const refusal = await send(transport, first, body);
      assert.equal(refusal.status, 503);
      await textOf(refusal);
      assert.equal(body.isReplayable, true);
      const response = await send(transport, second, body);
      body.settle();
      assert.equal(await textOf(response), "ok");
    }));
}
