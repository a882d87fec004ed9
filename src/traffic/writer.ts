/**
 * The traffic log's writer: takes batches from the proxy threads and brings each to every configured sink.
 * It runs on a thread of its own, so that no request waits for a disk or a database.
 */

import type { LoggingConfig } from "../config/model.ts";
import { SinkBatch } from "./batch.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { QueueGauge } from "./gauge.ts";
import { LANE_TIMINGS, type LaneTimings, SinkLane } from "./lane.ts";
import type { RecordBatch } from "./record.ts";
import { type Log, reasonOf, TrafficOpenError, type WriterMetrics } from "./sink.ts";
import { configuredSinks, type SinkPlan } from "./sinks.ts";

/** Upkeep (retention) runs this often. */
const MAINTAIN_EVERY_MS = 5 * 60_000;

/** What proxy threads had to drop is passed on to the metric this often. */
const COUNT_EVERY_MS = 1_000;

export interface TrafficWriterOptions {
  logging: LoggingConfig;
  gauge: QueueGauge;
  log: Log;
  metrics: WriterMetrics;
  clock?: Clock;
  /** How long `close` may take to bring everything to the sinks; default 10 seconds. */
  drainTimeoutMs?: number;
  timings?: LaneTimings;
  /** What is to be written where; the default reads it from `logging`. */
  newSinks?: (logging: LoggingConfig, clock: Clock, log: Log) => SinkPlan[];
}

interface RunningLane {
  /** Two plans of the same identity are the same sink. */
  identity: string;
  lane: SinkLane;
}

export class TrafficWriter {
  readonly #options: Required<TrafficWriterOptions>;
  #logging: LoggingConfig;
  #lanes: RunningLane[] = [];
  /** Batches that come before `open` is done or while lanes are exchanged; null at all other times. */
  #held: { batch: RecordBatch; settled: () => void }[] | null = [];
  #closed = false;
  #changing: Promise<void> = Promise.resolve();
  #cancelTimers: (() => void)[] = [];
  #saidFull = false;

  constructor(options: TrafficWriterOptions) {
    this.#options = {
      clock: systemClock,
      drainTimeoutMs: 10_000,
      timings: LANE_TIMINGS,
      newSinks: configuredSinks,
      ...options,
    };
    this.#logging = options.logging;
  }

  /** Opens every sink. Throws `TrafficOpenError` where the program must not go on without one (exit code 3). */
  async open(): Promise<void> {
    await this.#change(this.#logging);
    this.#every(MAINTAIN_EVERY_MS, () => this.#maintain());
    this.#every(COUNT_EVERY_MS, () => this.#countQueueDrops());
  }

  /**
   * Takes a batch. What becomes of it is the lanes' affair: it never throws.
   * @param settled called once, when the batch no longer counts for the process's queue
   */
  write(batch: RecordBatch, settled: () => void = () => {}): void {
    if (this.#held !== null) {
      this.#held.push({ batch, settled });
      return;
    }
    if (this.#closed) this.#options.metrics.countDropped(batch.count);
    const size = batch.bytes.length;
    let pending = this.#lanes.length;
    const release = () => {
      if (--pending > 0) return;
      settled();
      this.#options.gauge.release(size);
    };
    if (pending === 0) return release();
    const shared = new SinkBatch(batch.bytes, batch.count);
    for (const { lane } of this.#lanes) lane.accept(shared, release);
  }

  /**
   * Changes to another configuration. Sinks that stay the same go on undisturbed; the others are drained and
   * replaced. Throws `TrafficOpenError`, with everything as it was, where a new sink cannot be opened.
   */
  reconfigure(logging: LoggingConfig): Promise<void> {
    const change = this.#changing.then(() => this.#change(logging));
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /**
   * Brings everything accepted to the sinks or their spools, within about `drainTimeoutMs`. Batches written
   * after this call are lost, and counted.
   */
  async close(): Promise<void> {
    await this.#changing;
    this.#closed = true;
    for (const cancel of this.#cancelTimers) cancel();
    const lanes = this.#lanes;
    this.#lanes = [];
    await this.#closeLanes(lanes);
    this.#countQueueDrops();
  }

  async #change(logging: LoggingConfig): Promise<void> {
    const { clock, log, metrics, timings, newSinks } = this.#options;
    const plans = newSinks(logging, clock, log);
    const kept = this.#lanes.filter((running) => plans.some((plan) => plan.identity === running.identity));
    const added = plans.filter((plan) => !kept.some((running) => running.identity === plan.identity));
    const failures = await this.#openAll(added);
    this.#held ??= [];
    await this.#closeLanes(this.#lanes.filter((running) => !kept.includes(running)));
    this.#logging = logging;
    this.#lanes = [
      ...kept,
      ...added.map((plan, index) => {
        // The spool is taken over here, after the lane that had it before has closed it.
        const lane = new SinkLane(plan.sink, plan.newBacklog(), { log, metrics, clock, timings });
        const failure = failures[index];
        if (failure === null) lane.start();
        else lane.startAway(failure);
        return { identity: plan.identity, lane };
      }),
    ];
    const held = this.#held;
    this.#held = null;
    for (const { batch, settled } of held) this.write(batch, settled);
    // Not awaited: removing a month of rows must not hold back the start.
    this.#maintain();
  }

  /** Opens the sinks; per sink the failure that the lane may begin with, or null. */
  async #openAll(plans: SinkPlan[]): Promise<(TrafficOpenError | null)[]> {
    const failures: (TrafficOpenError | null)[] = [];
    for (const plan of plans) {
      try {
        await plan.sink.open();
        failures.push(null);
      } catch (error) {
        if (error instanceof TrafficOpenError && error.kind === "unreachable" && !plan.required) {
          failures.push(error);
          continue;
        }
        for (const opened of plans) await opened.sink.close();
        throw error;
      }
    }
    return failures;
  }

  async #closeLanes(lanes: RunningLane[]): Promise<void> {
    await Promise.all(lanes.map(({ lane }) => lane.close(this.#options.drainTimeoutMs)));
  }

  async #maintain(): Promise<void> {
    await Promise.all(this.#lanes.map(({ lane }) => lane.maintain(this.#logging.retentionDays)));
  }

  #countQueueDrops(): void {
    const dropped = this.#options.gauge.takeDropped();
    if (dropped > 0) {
      this.#options.metrics.countDropped(dropped);
      if (!this.#saidFull) {
        this.#options.log("warn", "traffic records are dropped: the queue to the writer is full", {
          queue_max_bytes: this.#logging.queueMaxBytes,
        });
      }
    }
    this.#saidFull = dropped > 0;
  }

  /** Calls `task` again and again, each time `everyMs` after the last one has ended. */
  #every(everyMs: number, task: () => void | Promise<void>): void {
    const { clock, log } = this.#options;
    let cancel = () => {};
    let ended = false;
    const run = async () => {
      try {
        await task();
      } catch (error) {
        log("error", "the traffic log's periodic work failed", { reason: reasonOf(error) });
      }
      if (!ended) cancel = clock.after(everyMs, run);
    };
    cancel = clock.after(everyMs, run);
    this.#cancelTimers.push(() => {
      ended = true;
      cancel();
    });
  }
}
