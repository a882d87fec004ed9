import assert from "node:assert/strict";
import type { Call, Lane, LaneEvents } from "../../../src/plugins/lane.ts";
import { LanePool, type LanePoolOptions } from "../../../src/plugins/lane_pool.ts";
import { PluginError } from "../../../src/plugins/plugin.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./foreign_support.ts";

/** A lane that does what the test says. */
class TestLane implements Lane {
  readonly inputs: string[] = [];
  isEnded = false;
  #running: PromiseWithResolvers<string> | null = null;

  constructor(readonly events: LaneEvents) {}

  call({ input }: Call): Promise<string> {
    assert.equal(this.#running, null, "one call at a time");
    this.inputs.push(input);
    this.#running = Promise.withResolvers();
    return this.#running.promise;
  }

  answer(output: string): void {
    const running = this.#running;
    this.#running = null;
    running?.resolve(output);
    this.events.onFree();
  }

  die(kind: "io" | "timeout"): void {
    this.isEnded = true;
    const reason = new PluginError(kind, "gone");
    this.#running?.reject(reason);
    this.events.onEnd(reason, Promise.resolve());
  }

  end(): Promise<void> {
    this.isEnded = true;
    this.#running?.reject(new PluginError("exec", "ended"));
    return Promise.resolve();
  }
}

function pool(options: Partial<LanePoolOptions> = {}) {
  const lanes: TestLane[] = [];
  const warnings: string[] = [];
  const made = new LanePool({
    start: (events) => {
      const lane = new TestLane(events);
      lanes.push(lane);
      return lane;
    },
    minimum: 1,
    maximum: 2,
    timeoutMs: 1,
    noun: "lane",
    log: (_level, message) => warnings.push(message),
    ...options,
  });
  return { pool: made, lanes, warnings, call: (input: string) => made.call({ stage: "request", input }) };
}

Deno.test("calls wait for a lane and get it in their order", async () => {
  const { pool: made, lanes: [lane], call } = pool({ maximum: 1 });
  const calls = [call("a"), call("b"), call("c")];
  assert.deepEqual(lane.inputs, []);
  lane.events.onFree();
  for (const output of ["1", "2", "3"]) lane.answer(output);
  assert.deepEqual(await Promise.all(calls), ["1", "2", "3"]);
  assert.deepEqual(lane.inputs, ["a", "b", "c"]);
  await made.dispose();
  assert.ok(lane.isEnded);
});

Deno.test("another lane is started when a call has to wait, up to the maximum", async () => {
  const { pool: made, lanes, call } = pool({ maximum: 2 });
  lanes[0].events.onFree();
  const stuck = failureOf(call("stuck"));
  const waiting = call("waiting");
  const more = call("more");
  const second = await eventually("a second lane", () => lanes[1]);
  second.events.onFree();
  second.answer("done");
  second.answer("more");
  assert.deepEqual([await waiting, await more], ["done", "more"]);
  assert.equal(lanes.length, 2);
  await made.dispose();
  assert.equal((await stuck).kind, "exec");
});

Deno.test("a lane that is ended for a time-out is replaced at once, and what waits goes to the new one", async () => {
  const { pool: made, lanes, call } = pool({ maximum: 1 });
  for (let i = 0; i < 5; i++) {
    lanes[i].events.onFree();
    const lost = failureOf(call("lost"));
    lanes[i].die("timeout");
    assert.equal((await lost).kind, "timeout");
    assert.equal(lanes.length, i + 2);
  }
  const waiting = call("waiting");
  lanes[5].events.onFree();
  lanes[5].answer("done");
  assert.equal(await waiting, "done");
  await made.dispose();
});

Deno.test("lanes that end without having served are started again after pauses; calls fail meanwhile at once", async () => {
  const { pool: made, lanes, warnings, call } = pool({ maximum: 1 });
  lanes[0].events.onFree();
  lanes[0].die("io");
  assert.equal(lanes.length, 2, "the first one is replaced at once");
  const waiting = failureOf(call("waiting"));
  lanes[1].die("io");
  assert.equal(lanes.length, 2, "the second one is not");
  assert.deepEqual(warnings, ["a plugin's lane ended, starting again after a pause"]);
  assert.match((await waiting).message, /^no lane runs, one is started again soon: gone$/);
  assert.equal((await failureOf(call("during the pause"))).kind, "io");
  const third = await eventually("a lane after the pause", () => lanes[2]);
  third.events.onFree();
  const served = call("served");
  third.answer("done");
  assert.equal(await served, "done");
  third.die("io");
  assert.equal(lanes.length, 4, "after one that has served the count begins anew");
  await made.dispose();
});

Deno.test("no more calls wait than a bounded number", async () => {
  const { pool: made, call } = pool({ maximum: 1, timeoutMs: 10_000 });
  const waiting = Array.from({ length: 256 }, (_, i) => failureOf(call(String(i))));
  assert.equal((await failureOf(call("one more"))).kind, "concurrency");
  await made.dispose();
  for (const { kind } of await Promise.all(waiting)) assert.equal(kind, "exec");
});

Deno.test("a call that gets no lane in time fails and is not run later", async () => {
  const { pool: made, lanes: [lane], call } = pool({ maximum: 1 });
  const fault = await failureOf(call("impatient"));
  assert.deepEqual([fault.kind, fault.message], ["timeout", "no lane was free for 1000 ms"]);
  lane.events.onFree();
  assert.deepEqual(lane.inputs, []);
  await made.dispose();
});

Deno.test("ready tells why the first lane could not start", async () => {
  const { pool: made, lanes } = pool();
  const ready = failureOf(made.ready());
  lanes[0].die("io");
  assert.equal((await ready).message, "gone");
  await made.dispose();
});

Deno.test("a pool that is closed goes on with the lanes it has, and starts no other", async () => {
  const { pool: made, lanes, call } = pool({ maximum: 1 });
  lanes[0].events.onFree();
  made.close("enough");
  const served = call("served");
  lanes[0].answer("done");
  assert.equal(await served, "done");
  lanes[0].die("io");
  assert.match((await failureOf(call("late"))).message, /^the plugin has ended: enough$/);
  assert.equal(lanes.length, 1);
  await made.dispose();
});
