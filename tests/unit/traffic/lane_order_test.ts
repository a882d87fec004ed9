/** Every order of events between a lane, its sink and its spool: records go in once, and in the order they came. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import fc from "fast-check";
import { type Backlog, MemoryBacklog, REPLAY_BYTES } from "../../../src/traffic/backlog.ts";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import type { Clock } from "../../../src/traffic/clock.ts";
import { LANE_TIMINGS, SinkLane } from "../../../src/traffic/lane.ts";
import { type Sink, SinkWriteError, TrafficOpenError } from "../../../src/traffic/sink.ts";
import { Spool } from "../../../src/traffic/spool.ts";
import { CountingMetrics, MemoryLog, withFolder } from "../../support/traffic.ts";

/** A clock that stands still until it is moved on. */
class ManualClock implements Clock {
  #now = 0;
  #timers = new Set<{ at: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers].toSorted((a, b) => a.at - b.at)) {
      if (timer.at <= this.#now && this.#timers.delete(timer)) timer.run();
    }
  }
}

type Outcome = "kept" | "lost" | "kept, but nobody hears of it";

/**
 * A database that does what it is told when it is told to. A write that is under way when the connection ends may
 * still be kept, later than the next one: what a server does that hangs.
 */
class ToldSink implements Sink {
  readonly name = "postgres";
  /** By record, when the write began that has kept it: what `created_at` says. */
  readonly keptAt = new Map<number, number>();
  /** What the lane did that no sink allows for. */
  readonly faults: string[] = [];
  #writes = 0;
  #isWell = false;
  #pendingWrite: { batch: SinkBatch; began: number; done: PromiseWithResolvers<void> } | null = null;
  #pendingOpen: PromiseWithResolvers<void> | null = null;
  #ghosts: { batch: SinkBatch; began: number }[] = [];

  async open(): Promise<void> {
    if (this.#pendingOpen !== null) this.faults.push("two attempts to open at once");
    if (this.#isWell) return;
    this.#pendingOpen = Promise.withResolvers();
    await this.#pendingOpen.promise;
  }

  async write(batch: SinkBatch): Promise<void> {
    if (this.#pendingWrite !== null) this.faults.push("two writes at once");
    if (this.#pendingOpen !== null) this.faults.push("a write before the sink is open");
    const began = this.#writes++;
    if (this.#isWell) return this.#keep(batch, began);
    this.#pendingWrite = { batch, began, done: Promise.withResolvers() };
    await this.#pendingWrite.done.promise;
  }

  maintain(): void {}

  close(): void {
    this.abandonWrite();
    this.settleOpen(false);
  }

  settleWrite(outcome: Outcome): void {
    const pending = this.#pendingWrite;
    if (pending === null) return;
    this.#pendingWrite = null;
    if (outcome !== "lost") this.#keep(pending.batch, pending.began);
    if (outcome === "kept") pending.done.resolve();
    else pending.done.reject(new SinkWriteError("gone", 0));
  }

  /** The connection ends; the server goes on with the write. */
  abandonWrite(): void {
    const pending = this.#pendingWrite;
    if (pending === null) return;
    this.#pendingWrite = null;
    this.#ghosts.push(pending);
    pending.done.reject(new SinkWriteError("no answer", 0));
  }

  settleGhosts(): void {
    for (const { batch, began } of this.#ghosts.splice(0)) this.#keep(batch, began);
  }

  settleOpen(isOpen: boolean): void {
    const pending = this.#pendingOpen;
    this.#pendingOpen = null;
    if (isOpen) pending?.resolve();
    else pending?.reject(new TrafficOpenError("unreachable", "still gone"));
  }

  /** From now on everything is done at once and well. */
  recover(): void {
    this.#isWell = true;
    this.settleOpen(true);
    this.settleWrite("kept");
  }

  #keep(batch: SinkBatch, began: number): void {
    for (const line of batch.lines.trimEnd().split("\n")) {
      const number = Number(line.slice(0, line.indexOf(" ")));
      if (!this.keptAt.has(number)) this.keptAt.set(number, began);
    }
  }
}

/** A spool that cannot be read now and then. */
class FlakySpool extends Spool {
  failures = 0;
  override peek(): SinkBatch | null {
    if (this.failures === 0) return super.peek();
    this.failures--;
    throw new Error("too many open files");
  }
}

type Step =
  | { do: "accept"; records: number; bytes: number }
  | { do: "write"; outcome: Outcome }
  | { do: "open"; succeeds: boolean }
  | { do: "abandon" }
  | { do: "ghosts" }
  | { do: "unreadable" }
  | { do: "wait"; ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("accept" as const),
      records: fc.integer({ min: 1, max: 3 }),
      bytes: fc.constantFrom(20, 20, REPLAY_BYTES / 4, REPLAY_BYTES),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      outcome: fc.constantFrom<Outcome>("kept", "kept", "lost", "kept, but nobody hears of it"),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("open" as const), succeeds: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Step>({ do: "abandon" }, { do: "ghosts" }, { do: "unreadable" }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(500, 1_000, 10_000) }),
  },
);

/** The spool could not be read once: newer records passed by those in it. */
const UNREADABLE: Step[] = [
  { do: "accept", records: 1, bytes: 20 },
  { do: "write", outcome: "lost" },
  { do: "unreadable" },
  { do: "wait", ms: 500 },
  { do: "open", succeeds: true },
  { do: "accept", records: 1, bytes: 20 },
  { do: "write", outcome: "kept" },
];

function newLane(sink: Sink, backlog: Backlog, clock: Clock, metrics: CountingMetrics): SinkLane {
  return new SinkLane(sink, backlog, { log: new MemoryLog().log, metrics, clock, timings: LANE_TIMINGS });
}

/** Lets all promises go as far as they can. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function batchOf(first: number, records: number, bytes: number): SinkBatch {
  const lines = Array.from({ length: records }, (_, index) => {
    const number = `${first + index} `;
    return `${number.padEnd(Math.max(bytes / records - 1, number.length), "x")}\n`;
  });
  return new SinkBatch(lines.join(""), records);
}

Deno.test("SinkLane: whatever sink and spool do, records are kept once and in the order they came", () =>
  withFolder(async (folder) => {
    let folders = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40, size: "max" }),
        fc.boolean(),
        async (steps, endsWell) => {
          const directory = `${folder}/${++folders}`;
          const sink = new ToldSink();
          const clock = new ManualClock();
          const metrics = new CountingMetrics();
          const spool = new FlakySpool({ directory, maxBytes: 1e9, log: new MemoryLog().log });
          const lane = newLane(sink, spool, clock, metrics);
          lane.start();
          let accepted = 0;
          let released = 0;
          let batches = 0;
          for (const step of steps) {
            if (step.do === "accept") {
              lane.accept(batchOf(accepted, step.records, step.bytes), () => released++);
              accepted += step.records;
              batches++;
            } else if (step.do === "write") sink.settleWrite(step.outcome);
            else if (step.do === "open") sink.settleOpen(step.succeeds);
            else if (step.do === "abandon") sink.abandonWrite();
            else if (step.do === "ghosts") sink.settleGhosts();
            else if (step.do === "unreadable") spool.failures = 1;
            else clock.advance(step.ms);
            await settled();
          }
          const closed = lane.close(10_000);
          if (endsWell) sink.recover();
          await settled();
          clock.advance(10_000);
          await closed;
          sink.recover();
          // What could not be written before the end goes in after the next start.
          const next = newLane(
            sink,
            new Spool({ directory, maxBytes: 1e9, log: new MemoryLog().log }),
            clock,
            metrics,
          );
          next.start();
          await next.close(10_000);

          assert.deepEqual(sink.faults, []);
          assert.equal(metrics.dropped, 0);
          assert.equal(released, batches);
          const times = Array.from({ length: accepted }, (_, number) => sink.keptAt.get(number) ?? NaN);
          assert.deepEqual(times, times.toSorted((a, b) => a - b));
          assert.ok(!times.some(Number.isNaN));
        },
      ),
      { numRuns: 150, examples: [[UNREADABLE, true]] },
    );
  }));

Deno.test("SinkLane: a record that comes at the moment when the lane falls idle does not wait for the next", async () => {
  for (let turns = 0; turns < 10; turns++) {
    const kept: string[] = [];
    const sink: Sink = {
      name: "file",
      open() {},
      write: (batch) => void kept.push(batch.lines),
      maintain() {},
      close() {},
    };
    const lane = newLane(sink, new MemoryBacklog(1e6), new ManualClock(), new CountingMetrics());
    lane.start();
    await settled();
    lane.accept(new SinkBatch("first\n", 1), () => {});
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    lane.accept(new SinkBatch("second\n", 1), () => {});
    await settled();
    assert.equal(kept.join(""), "first\nsecond\n", `after ${turns} turns`);
    await lane.close(1_000);
  }
});
