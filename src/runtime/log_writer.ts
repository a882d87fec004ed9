/** The writer thread as the control thread sees it: opened, connected to proxy threads, replaced when it dies. */
import type { LoggingConfig } from "../config/model.ts";
import { MetricCells, type MetricRegistry } from "../metrics/mod.ts";
import { QueueAccount } from "../traffic/account.ts";
import type { Log } from "./log.ts";
import type { FromWriter, ToWriter, WriterConnection } from "./messages.ts";
import { Thread } from "./thread.ts";
import { threadModule } from "../thread_module.ts";

/** Opening a database may take `connection_timeout` and a few migrations more. */
const OPEN_MARGIN_MS = 30_000;
const CLOSE_TIMEOUT_MS = 15_000;
const RESTART_DELAY_MS = 500;

/** The traffic log cannot be opened: exit code 3. */
export class WriterFailure extends Error {
  override name = "WriterFailure";
}

export interface LogWriterOptions {
  queue: SharedArrayBuffer;
  bucketsMs: Record<string, number[]>;
  registry: MetricRegistry;
  log: Log;
  /** The writer has died: proxy threads need new lines, at once, so that no more goes to nobody. */
  onDeath: () => void;
  /** A new writer runs. */
  onReplaced: () => void;
  nextThreadId: () => number;
}

export interface TrafficTapping {
  recordsPerSecond: number;
  listener: (lines: string, skipped: number) => void;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  #thread: Thread<ToWriter, FromWriter> | null = null;
  #threadId = 0;
  #logging: LoggingConfig;
  #waiting: { resolve: (message: FromWriter) => void; reject: (fault: Error) => void } | null = null;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #tap: TrafficTapping | null = null;
  /** Whether the thread takes lines. */
  #isOpen = false;
  /** Lines that no writer has yet. */
  readonly #newLines: Extract<ToWriter, { type: "connect" }>[] = [];

  constructor(logging: LoggingConfig, options: LogWriterOptions) {
    this.#logging = logging;
    this.#options = options;
  }

  /** @throws WriterFailure if a sink that must be there cannot be opened */
  async open(): Promise<void> {
    const { registry, log, queue, bucketsMs, nextThreadId } = this.#options;
    this.#threadId = nextThreadId();
    const cells = new SharedArrayBuffer(MetricCells.BYTES);
    registry.attach(this.#threadId, cells);
    const threadId = this.#threadId;
    this.#thread = new Thread(threadModule("runtime/writer_thread"), "writer", {
      onMessage: (message: FromWriter) => {
        if (message.type === "series") registry.announce(threadId, message.series);
        else if (message.type === "log") log(message.level, message.message, message.fields);
        else if (message.type === "tapped") this.#tap?.listener(message.lines, message.skipped);
        else {
          this.#waiting?.resolve(message);
          this.#waiting = null;
        }
      },
      onDeath: (reason) => this.#onDeath(reason),
    });
    const timeoutMs = this.#logging.database.connectionTimeoutMs + OPEN_MARGIN_MS;
    const reply = await this.#ask(
      { type: "open", logging: this.#logging, bucketsMs, queue, cells },
      timeoutMs,
    );
    if (reply.type === "open_failed") {
      this.end();
      throw new WriterFailure(reply.message);
    }
    this.#isOpen = true;
    this.#handOverLines();
    if (this.#tap !== null) this.tap(this.#tap);
  }

  /** Whether the writer thread runs; it is replaced when it dies. */
  get running(): boolean {
    return this.#thread !== null;
  }

  /** Has records sent to the listener as well, at most so many a second; null: not any more. */
  tap(tap: TrafficTapping | null): void {
    this.#tap = tap;
    this.#thread?.post({ type: "tap", recordsPerSecond: tap?.recordsPerSecond ?? 0 });
  }

  /**
   * A line on which record batches reach the writer, or the next one while there is none: what is sent into it
   * waits until then.
   */
  connect(): WriterConnection {
    const { port1, port2 } = new MessageChannel();
    const account = new SharedArrayBuffer(QueueAccount.BYTES);
    this.#newLines.push({ type: "connect", port: port1, account });
    if (this.#isOpen) this.#handOverLines();
    return { port: port2, account };
  }

  #handOverLines(): void {
    for (const line of this.#newLines.splice(0)) this.#thread?.post(line, [line.port]);
  }

  /** @throws WriterFailure if the new sinks cannot be opened; the old ones stay */
  async reconfigure(logging: LoggingConfig): Promise<void> {
    const timeoutMs = logging.database.connectionTimeoutMs + OPEN_MARGIN_MS;
    const reply = await this.#ask({ type: "reconfigure", logging }, timeoutMs);
    if (reply.type === "reconfigure_failed") throw new WriterFailure(reply.message);
    this.#logging = logging;
  }

  /** Writes all there is and ends the thread. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    if (this.#thread === null) return;
    try {
      await this.#ask({ type: "close" }, CLOSE_TIMEOUT_MS);
    } catch (fault) {
      this.#options.log("error", "the traffic log was not closed in order, records may be lost", {
        reason: fault instanceof Error ? fault.message : String(fault),
      });
    }
    this.end();
  }

  end(): void {
    clearTimeout(this.#restart);
    this.#thread?.end();
    this.#thread = null;
  }

  #ask(message: ToWriter, timeoutMs: number): Promise<FromWriter> {
    if (this.#thread === null) return Promise.reject(new WriterFailure("the writer thread is not running"));
    const { promise, resolve, reject } = Promise.withResolvers<FromWriter>();
    this.#waiting = { resolve, reject };
    this.#thread.post(message);
    const timer = setTimeout(() => {
      this.#waiting = null;
      reject(new WriterFailure(`the writer thread did not answer "${message.type}" within ${timeoutMs} ms`));
    }, timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #onDeath(reason: string): void {
    this.#thread = null;
    this.#isOpen = false;
    this.#options.registry.retire(this.#threadId);
    this.#options.log(
      "error",
      "the writer thread died and is replaced, records it had not written are lost and counted",
      { reason },
    );
    this.#options.onDeath();
    this.#waiting?.reject(new WriterFailure(`the writer thread died: ${reason}`));
    this.#waiting = null;
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    this.#restart = setTimeout(async () => {
      try {
        await this.open();
        this.#options.onReplaced();
      } catch (fault) {
        this.#options.log("error", "the writer thread could not be started again", { reason: String(fault) });
        if (this.#thread === null) this.#scheduleRestart();
      }
    }, RESTART_DELAY_MS);
  }
}
