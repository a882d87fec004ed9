/**
 * The way of the batches to one sink: in order, one write at a time, with a backlog for the times when the
 * sink is away.
 *
 *     direct      batches go from the queue to the sink
 *     away        the sink failed; batches go to the backlog until `open` succeeds again
 *     replaying   the sink works; the backlog goes in first and new batches line up behind it
 */

import { type Backlog, REPLAY_BYTES } from "./backlog.ts";
import { SinkBatch } from "./batch.ts";
import type { Clock } from "./clock.ts";
import { type Log, reasonOf, type Sink, SinkWriteError, type WriterMetrics } from "./sink.ts";

export interface LaneTimings {
  /** Wait before the first attempt after a failure; doubled with each that fails. */
  firstRetryMs: number;
  longestRetryMs: number;
  /**
   * A write that takes longer has its records, and what comes after them, put into the durable backlog:
   * memory would lose them to a `kill -9`, and they would count for the process's queue.
   */
  slowWriteMs: number;
}

export const LANE_TIMINGS: LaneTimings = { firstRetryMs: 500, longestRetryMs: 5_000, slowWriteMs: 1_000 };

interface Accepted {
  batch: SinkBatch;
  /** Gives the batch's room in the process's queue back. */
  release: () => void;
}

export interface LaneContext {
  log: Log;
  metrics: WriterMetrics;
  clock: Clock;
  timings: LaneTimings;
}

export class SinkLane {
  readonly sink: Sink;
  readonly #backlog: Backlog;
  readonly #context: LaneContext;
  #state: "direct" | "away" | "replaying" = "replaying";
  #queue: Accepted[] = [];
  #queuedBytes = 0;
  #inFlight: Accepted[] | null = null;
  #isDraining = false;
  #draining: Promise<void> = Promise.resolve();
  #retrying: Promise<void> = Promise.resolve();
  #maintaining: Promise<void> | null = null;
  #cancelRetry: () => void = () => {};
  #retryMs: number;
  #closing = false;
  #abandoned = false;
  #saidFailing = false;
  #saidDropping = false;
  #dropped = 0;

  constructor(sink: Sink, backlog: Backlog, context: LaneContext) {
    this.sink = sink;
    this.#backlog = backlog;
    this.#context = context;
    this.#retryMs = context.timings.firstRetryMs;
  }

  /** Begins with an open sink: what an earlier run left in the backlog goes in first. */
  start(): void {
    this.#state = "replaying";
    this.#drain();
  }

  /** Begins with a sink that could not be opened and is tried again from now on. */
  startAway(reason: unknown): void {
    this.#countFailure(reason);
    this.#goAway();
  }

  /** Takes a batch; `release` is called once it no longer counts for the process's queue. */
  accept(batch: SinkBatch, release: () => void): void {
    this.#queue.push({ batch, release });
    this.#queuedBytes += batch.size;
    if (this.#state === "direct" && this.#isOverrun()) this.#state = "replaying";
    if (this.#state === "direct") this.#drain();
    else this.#store();
  }

  /** Runs the sink's upkeep, one at a time and only while the sink works. */
  async maintain(retentionDays: number): Promise<void> {
    if (this.#maintaining !== null || this.#state === "away" || this.#closing) return;
    this.#maintaining = this.#maintain(retentionDays);
    await this.#maintaining;
    this.#maintaining = null;
  }

  /**
   * Ends the lane within about `timeoutMs`: what it accepted is in the sink or in a durable backlog then.
   * Lost, and counted, is only what has neither.
   */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true;
    this.#cancelRetry();
    // After an attempt that is under way: two at once would take the sink from each other.
    this.#retrying = this.#retrying.then(async () => {
      if (this.#state === "away" && !this.#abandoned) await this.#retry();
    });
    let cancelTimeout = () => {};
    const timeout = new Promise<void>((resolve) => {
      cancelTimeout = this.#context.clock.after(timeoutMs, resolve);
    });
    await Promise.race([this.#settled(), timeout]);
    cancelTimeout();
    this.#abandoned = true;
    this.#store();
    await this.sink.close();
    await this.#settled();
    await this.#maintaining;
    if (!this.#backlog.durable) this.#dropBacklog();
    else if (!this.#backlog.isEmpty()) {
      this.#say("warn", "traffic records wait in the spool for the next start", {});
    }
    if (this.#dropped > 0) this.#say("error", "traffic records were lost", { records: this.#dropped });
    this.#backlog.close();
  }

  async #settled(): Promise<void> {
    await this.#retrying;
    await this.#draining;
  }

  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#draining = this.#drainAll();
  }

  async #drainAll(): Promise<void> {
    // Nothing may come between the last look at the queue and the end: it would find the lane busy, and wait for ever.
    while (!this.#abandoned && this.#state !== "away") {
      if (this.#state === "replaying") await this.#replay();
      else if (this.#queue.length > 0) await this.#writeQueued();
      else break;
    }
    this.#isDraining = false;
  }

  async #writeQueued(): Promise<void> {
    const items = this.#takeQueued();
    this.#inFlight = items;
    const cancelSlow = this.#watchForSlowness();
    const batch = SinkBatch.join(items.map((item) => item.batch));
    const written = await this.#attempt(batch);
    cancelSlow();
    // A slow batch has been stored meanwhile, and its replay is harmless: durable backlogs belong to
    // databases, which know a record by its id.
    if (this.#inFlight === items) {
      this.#inFlight = null;
      if (written < batch.count) this.#push(batch.skip(written));
      for (const item of items) item.release();
    }
    if (written < batch.count) this.#goAway();
  }

  /** Writes the oldest part of the backlog; without one, the lane is direct from now on. */
  async #replay(): Promise<void> {
    let batch: SinkBatch | null;
    try {
      batch = this.#backlog.peek();
    } catch (error) {
      // Newer records must not pass by those that cannot be read now.
      this.#countFailure(error);
      this.#goAway();
      return;
    }
    if (batch === null) {
      this.#state = "direct";
      return;
    }
    const written = await this.#attempt(batch);
    this.#backlog.advance(written);
    if (written < batch.count) this.#goAway();
  }

  /** Writes the batch and returns how many of its records are kept now. */
  async #attempt(batch: SinkBatch): Promise<number> {
    const { metrics } = this.#context;
    const started = performance.now();
    try {
      const pending = this.sink.write(batch);
      if (pending !== undefined) await pending;
    } catch (error) {
      // What the lane itself has cut short, because its time is over, is no failure of the sink.
      if (!this.#abandoned) this.#countFailure(error);
      const written = error instanceof SinkWriteError ? error.written : 0;
      if (written > 0) metrics.countWrites(this.sink.name, written);
      return written;
    }
    metrics.observeWrite(this.sink.name, performance.now() - started);
    metrics.countWrites(this.sink.name, batch.count);
    this.#retryMs = this.#context.timings.firstRetryMs;
    if (this.#saidFailing) {
      this.#say("info", "the traffic log is written again", { lost: this.#dropped });
      this.#saidFailing = this.#saidDropping = false;
      this.#dropped = 0;
    }
    return batch.count;
  }

  /**
   * Whether more waits behind the write under way than the next one can take: a database that is slower than the
   * requests would fill the process's queue, whose overflow is lost, while there is room in the spool.
   */
  #isOverrun(): boolean {
    return this.#backlog.durable && this.#inFlight !== null && this.#queuedBytes > REPLAY_BYTES;
  }

  #takeQueued(): Accepted[] {
    let taken = 0;
    let bytes = 0;
    for (; taken < this.#queue.length && bytes < REPLAY_BYTES; taken++) {
      bytes += this.#queue[taken].batch.size;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, taken);
  }

  /** Returns what ends the watch. */
  #watchForSlowness(): () => void {
    if (!this.#backlog.durable) return () => {};
    return this.#context.clock.after(this.#context.timings.slowWriteMs, () => {
      this.#state = "replaying";
      this.#store();
    });
  }

  /** Moves what is in memory, the write under way included, to the backlog. */
  #store(): void {
    const items = [...this.#inFlight ?? [], ...this.#queue];
    this.#inFlight = null;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const item of items) {
      this.#push(item.batch);
      item.release();
    }
  }

  #push(batch: SinkBatch): void {
    let refused = batch.count;
    let reason = "the room for waiting records is used up";
    try {
      refused = this.#backlog.push(batch);
    } catch (error) {
      if (error instanceof SinkWriteError) refused -= error.written;
      reason = reasonOf(error);
    }
    if (refused > 0) this.#drop(refused, reason);
  }

  #drop(records: number, reason: string): void {
    this.#context.metrics.countDropped(records);
    this.#dropped += records;
    if (this.#saidDropping) return;
    this.#saidDropping = true;
    this.#say("error", "traffic records are lost", { reason });
  }

  #dropBacklog(): void {
    for (let batch = this.#backlog.peek(); batch !== null; batch = this.#backlog.peek()) {
      this.#drop(batch.count, "the program ends and the sink cannot take them");
      this.#backlog.advance(batch.count);
    }
  }

  #goAway(): void {
    this.#state = "away";
    this.#store();
    if (this.#closing) return;
    this.#cancelRetry = this.#context.clock.after(this.#retryMs, () => {
      this.#retrying = this.#retry();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, this.#context.timings.longestRetryMs);
  }

  async #retry(): Promise<void> {
    try {
      await this.sink.open();
    } catch (error) {
      this.#countFailure(error);
      this.#goAway();
      return;
    }
    this.#state = "replaying";
    this.#drain();
  }

  async #maintain(retentionDays: number): Promise<void> {
    try {
      await this.sink.maintain(retentionDays);
    } catch (error) {
      this.#context.metrics.countWriteErrors(this.sink.name);
      this.#say("warn", "traffic log upkeep failed", { reason: reasonOf(error) });
    }
  }

  #countFailure(error: unknown): void {
    this.#context.metrics.countWriteErrors(this.sink.name);
    if (this.#saidFailing) return;
    this.#saidFailing = true;
    this.#say("error", "the traffic log cannot be written", {
      reason: reasonOf(error),
      until_then: this.#backlog.durable ? "records wait in the spool" : "records wait in memory",
    });
  }

  #say(level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>): void {
    this.#context.log(level, message, { sink: this.sink.name, ...fields });
  }
}
