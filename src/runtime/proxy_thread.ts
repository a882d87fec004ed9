/**
 * Entry point of a proxy thread: one listener on the shared port, one `ProxyHandler`, and the changes of
 * generation that the control thread orders.
 */
import { TargetTable } from "../balancing/target_table.ts";
import type { Config } from "../config/model.ts";
import { circuitLine } from "../health/circuit_breaker.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import { bucketBounds, MetricCells, PluginMetrics, RequestMetrics } from "../metrics/mod.ts";
import { ProxyHandler } from "../proxy/handler.ts";
import { Listener } from "../proxy/listener.ts";
import { Snapshot, type SnapshotContext, type SnapshotSpec } from "../proxy/snapshot.ts";
import { RecordBuffer, type RecordBufferOptions } from "../traffic/buffer.ts";
import { QueueGauge } from "../traffic/gauge.ts";
import { TransportSet } from "../upstream/transports.ts";
import type { FromProxy, ToProxy } from "./messages.ts";
import { Heartbeats } from "./shared_memory.ts";
import { threadScope } from "./thread_scope.ts";

/** How often the thread looks after exchanges in flight and shows that it lives. */
const TICK_MS = 50;

type Start = Extract<ToProxy, { type: "start" }>;

/** A generation that is ready to be used. */
interface Prepared {
  snapshot: Snapshot;
  /** The new listener where the address changed, else null. */
  listener: Listener | null;
}

class ProxyThread {
  readonly #context: SnapshotContext;
  readonly #handler: ProxyHandler;
  readonly #cells: MetricCells;
  readonly #gauge: QueueGauge;
  readonly #heartbeats: Heartbeats;
  readonly #thread: number;
  readonly #ticker: ReturnType<typeof setInterval>;
  #listener: Listener;
  #prepared: Prepared | null = null;
  /** The generation being prepared; another number: it has been given up. */
  #preparing = 0;
  /** Null until the control thread names a writer. */
  #records: RecordBuffer | null = null;
  #lastFlushMs = 0;

  private constructor(
    start: Start,
    context: SnapshotContext,
    snapshot: Snapshot,
    { cells, metrics }: { cells: MetricCells; metrics: RequestMetrics },
  ) {
    const { blocks } = start;
    this.#thread = start.thread;
    this.#context = context;
    this.#heartbeats = new Heartbeats(blocks.heartbeats);
    this.#cells = cells;
    this.#gauge = new QueueGauge(blocks.queue);
    this.#handler = new ProxyHandler({
      snapshot,
      worker: start.thread,
      metrics,
      records: null,
      explainToken: start.explainToken,
      log: context.log,
    });
    this.#listener = this.#listen(snapshot.config);
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  static async start(start: Start): Promise<ProxyThread> {
    const { blocks, snapshot: spec } = start;
    const cells = new MetricCells({
      buffer: blocks.cells,
      announce: (series) => post({ type: "series", series }),
      buckets: bucketBounds(spec.config.monitoring.histogramBucketsMs),
    });
    const metrics = new RequestMetrics(cells);
    const log: SnapshotContext["log"] = (level, message, fields) =>
      post({ type: "log", level, message, fields });
    const context: SnapshotContext = {
      table: new TargetTable(blocks.targets),
      counts: new Int32Array(blocks.counts),
      pluginMetrics: new PluginMetrics(cells),
      circuitChanged: (change) => {
        metrics.circuitChanged(change.target, change.to);
        const { level, message, fields } = circuitLine(change);
        log(level, message, fields);
      },
      log,
    };
    const transports = new TransportSet(spec.config.httpClient);
    const snapshot = await Snapshot.build(spec, context, transports);
    return new ProxyThread(start, context, snapshot, { cells, metrics });
  }

  #listen(config: Config): Listener {
    return new Listener(config.server.bind, this.#handler);
  }

  /** A writer thread that died is replaced: what was collected for it goes to the next one. */
  connectWriter(port: MessagePort): void {
    const { config } = this.#handler.snapshot;
    if (this.#records === null) this.#records = new RecordBuffer(port, this.#gauge, queueOptions(config));
    else this.#records.reconnect(port);
    this.#handler.records = config.logging.enabled ? this.#records : null;
  }

  #tick(): void {
    this.#heartbeats.tick(this.#thread);
    this.#handler.sweep();
    const now = performance.now();
    if (now - this.#lastFlushMs >= this.#handler.snapshot.config.logging.flushIntervalMs - TICK_MS / 2) {
      this.#lastFlushMs = now;
      this.#records?.flush();
    }
  }

  explain(question: ExplainQuestion): Promise<Explanation> {
    return this.#handler.explain(question);
  }

  /** @returns false if it was given up in the meantime */
  async prepare(spec: SnapshotSpec): Promise<boolean> {
    this.discard();
    this.#preparing = spec.generation;
    const current = this.#handler.snapshot;
    const unchanged = JSON.stringify(spec.config.httpClient) === JSON.stringify(current.config.httpClient);
    const transports = unchanged ? current.transports : new TransportSet(spec.config.httpClient);
    const snapshot = await Snapshot.build(spec, this.#context, transports);
    if (this.#preparing !== spec.generation) {
      await this.#end(snapshot);
      return false;
    }
    const { hostname, port } = spec.config.server.bind;
    const { bind } = current.config.server;
    const moved = hostname !== bind.hostname || port !== bind.port;
    try {
      this.#prepared = { snapshot, listener: moved ? this.#listen(spec.config) : null };
    } catch (fault) {
      await this.#end(snapshot);
      throw fault;
    }
    return true;
  }

  commit(): void {
    if (this.#prepared === null) throw new Error("nothing is prepared to be committed");
    const { snapshot, listener } = this.#prepared;
    this.#prepared = null;
    const old = this.#handler.snapshot;
    this.#handler.snapshot = snapshot;
    // Under the old settings, whose sinks a log that is switched off is about to close.
    this.#records?.flush();
    this.#handler.records = snapshot.config.logging.enabled ? this.#records : null;
    this.#records?.reconfigure(queueOptions(snapshot.config));
    this.#cells.setBuckets(bucketBounds(snapshot.config.monitoring.histogramBucketsMs));
    this.#end(old);
    if (listener !== null) {
      const closing = this.#listener;
      this.#listener = listener;
      closing.drain();
    }
  }

  discard(): void {
    this.#preparing = 0;
    const prepared = this.#prepared;
    this.#prepared = null;
    if (prepared === null) return;
    this.#end(prepared.snapshot);
    prepared.listener?.drain();
  }

  /** Ends what only this snapshot uses: its idle connections now, the rest with the last exchange. */
  async #end(snapshot: Snapshot): Promise<void> {
    if (snapshot.transports !== this.#handler.snapshot.transports) snapshot.transports.close();
    await snapshot.retire();
  }

  /** Resolves when nothing is in flight any more and every record is on its way to the writer. */
  async drain(): Promise<void> {
    await this.#listener.drain();
    await this.#handler.idle();
    clearInterval(this.#ticker);
    this.#records?.flush();
    const { snapshot } = this.#handler;
    snapshot.transports.close();
    await snapshot.retire();
  }
}

const scope = threadScope<ToProxy, FromProxy>();

function post(message: FromProxy): void {
  scope.postMessage(message);
}

function queueOptions({ logging }: Config): RecordBufferOptions {
  return { maxQueueBytes: logging.queueMaxBytes, overflow: logging.overflow };
}

function failure(fault: unknown): { reason: "bind" | "internal"; message: string } {
  const message = fault instanceof Error ? fault.message : String(fault);
  const bind = fault instanceof Deno.errors.AddrInUse || fault instanceof Deno.errors.AddrNotAvailable ||
    fault instanceof Deno.errors.PermissionDenied;
  return { reason: bind ? "bind" : "internal", message };
}

let thread: ProxyThread | null = null;

scope.onmessage = async (event) => {
  const message = event.data;
  if (message.type === "start") {
    try {
      thread = await ProxyThread.start(message);
      post({ type: "started" });
    } catch (fault) {
      post({ type: "start_failed", ...failure(fault) });
    }
    return;
  }
  if (thread === null) throw new Error(`"${message.type}" came before "start"`);
  switch (message.type) {
    case "prepare": {
      const { generation } = message.snapshot;
      try {
        if (await thread.prepare(message.snapshot)) post({ type: "prepared", generation });
      } catch (fault) {
        post({ type: "refused", generation, ...failure(fault) });
      }
      break;
    }
    case "connect_writer":
      thread.connectWriter(message.port);
      break;
    case "commit":
      thread.commit();
      post({ type: "committed", generation: message.generation });
      break;
    case "discard":
      thread.discard();
      break;
    case "explain": {
      const { id, question } = message;
      try {
        post({ type: "explained", id, explanation: await thread.explain(question) });
      } catch (fault) {
        post({ type: "not_explained", id, message: failure(fault).message });
      }
      break;
    }
    case "drain":
      await thread.drain();
      post({ type: "drained" });
      break;
  }
};
