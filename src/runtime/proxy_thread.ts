/**
 * Entry point of a proxy thread: one listener on the shared port, one `ProxyHandler`, and the changes of
 * generation that the control thread orders.
 */
import { TargetTable } from "../balancing/target_table.ts";
import { isDeepStrictEqual } from "node:util";
import type { Config, DomainsConfig, SocketAddress, TargetConfig } from "../config/model.ts";
import { circuitLine } from "../health/circuit_breaker.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import {
  bucketBounds,
  FAMILIES,
  MetricCells,
  PluginMetrics,
  RequestMetrics,
  WebSocketMetrics,
} from "../metrics/mod.ts";
import { ConnectionCounts } from "../proxy/connection_counts.ts";
import { type ConnectionLimits, ConnectionTable } from "../proxy/connections.ts";
import { DomainTable } from "../proxy/domains.ts";
import { ProxyHandler } from "../proxy/handler.ts";
import { Listener } from "../proxy/listener.ts";
import { RemoteKeySets } from "../security/remote_keys.ts";
import { Snapshot, type SnapshotContext, type SnapshotSpec } from "../proxy/snapshot.ts";
import type { CertificateKeys } from "../proxy/tls_keys.ts";
import { RecordBuffer, type RecordBufferOptions } from "../traffic/buffer.ts";
import { QueueAccount } from "../traffic/account.ts";
import { QueueGauge } from "../traffic/gauge.ts";
import { TransportSet } from "../upstream/transports.ts";
import type { FromProxy, ToProxy, WriterConnection } from "./messages.ts";
import { Heartbeats } from "./shared_memory.ts";
import { threadScope } from "./thread_scope.ts";

/** How often the thread looks after exchanges in flight and shows that it lives. */
const TICK_MS = 50;

/** A shutdown leaves idle connections this long: an answer may be on its way, or a request. */
const SHUTDOWN_IDLE_MS = 500;
/** A reload is in no hurry: clients that keep their connection busy get an answer that tells them of its end. */
const RELOAD_IDLE_MS = 5_000;

type Start = Extract<ToProxy, { type: "start" }>;

const ROLES = ["plain", "tls"] as const;

/** The listeners of a generation; null where it has none of that kind. */
type Listeners = Record<typeof ROLES[number], Listener | null>;

/** A generation that is ready to be used. */
interface Prepared {
  snapshot: Snapshot;
  /** New ones where an address changed, else those in use. */
  listeners: Listeners;
  keys: CertificateKeys | null;
}

class ProxyThread {
  readonly #context: SnapshotContext;
  readonly #handler: ProxyHandler;
  readonly #cells: MetricCells;
  readonly #gauge: QueueGauge;
  readonly #heartbeats: Heartbeats;
  readonly #thread: number;
  readonly #ticker: ReturnType<typeof setInterval>;
  readonly #connections: ConnectionTable;
  #listeners: Listeners;
  #keys: CertificateKeys | null;
  #prepared: Prepared | null = null;
  /** The generation being prepared; another number: it has been given up. */
  #preparing = 0;
  /** Null until the control thread names a writer. */
  #records: RecordBuffer | null = null;
  #lastFlushMs = 0;
  #isLeaving = false;
  /** What is in flight has no more time. */
  #isEnding = false;
  #finished: Promise<void> | null = null;
  /** Told when nothing is in flight any more that is to be recorded, at the latest at that time. */
  #recordingEnd: { atMs: number; resolve: () => void } | null = null;

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
      webSocketMetrics: new WebSocketMetrics(cells),
      explainToken: start.explainToken,
      log: context.log,
    });
    this.#connections = new ConnectionTable({
      limits: connectionLimits(snapshot.config),
      counts: new ConnectionCounts(blocks.connections),
      own: new Int32Array(blocks.ownConnections),
      thread: start.id,
      denied: (kind) => cells.add(cells.counter(FAMILIES.securityDenied, [kind]), 1),
      log: context.log,
    });
    this.#keys = start.keys;
    // Before the first request can come: none goes unrecorded.
    if (start.writer !== null) this.connectWriter(start.writer);
    this.#listeners = this.#listen(snapshot.config, start.keys, null);
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
      remoteKeys: new RemoteKeySets({ log }),
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

  /**
   * Opens what the configuration has and nobody listens on yet.
   * @param current the configuration in use, whose listeners are taken over where they are the same
   */
  #listen(config: Config, keys: CertificateKeys | null, current: Config | null): Listeners {
    const listeners: Listeners = { plain: null, tls: null };
    try {
      for (const role of ROLES) {
        const address = addressOf(config, role);
        const same = current !== null && isDeepStrictEqual(address, addressOf(current, role));
        if (same) listeners[role] = this.#listeners[role];
        else if (address !== null) listeners[role] = this.#open(address, role === "tls" ? keys : null);
      }
    } catch (fault) {
      this.#drainOthers(listeners, current === null ? null : this.#listeners);
      throw fault;
    }
    return listeners;
  }

  #open(address: SocketAddress, keys: CertificateKeys | null): Listener {
    const { log } = this.#context;
    const failures = this.#cells.counter(FAMILIES.acceptErrors, []);
    return new Listener({
      address,
      keys,
      connections: this.#connections,
      handler: (request, connection) => this.#handler.handle(request, connection.peerIp, connection),
      acceptFailed: () => this.#cells.add(failures, 1),
      log,
    });
  }

  /** Drains those of `listeners` that are not among `kept`. */
  async #drainOthers(
    listeners: Listeners,
    kept: Listeners | null,
    idleMs = RELOAD_IDLE_MS,
  ): Promise<void> {
    const ending = ROLES.filter((role) => listeners[role] !== kept?.[role]);
    await Promise.all(ending.map((role) => listeners[role]?.drain(idleMs)));
  }

  renewCertificates(keys: CertificateKeys): void {
    this.#keys = keys;
    try {
      this.#listeners.tls?.renew(keys);
    } catch (fault) {
      this.#context.log("error", "renewed certificates cannot be used, the old ones stay", {
        reason: fault instanceof Error ? fault.message : String(fault),
      });
    }
  }

  /** A writer thread that died is replaced: what was collected for it goes to the next one. */
  connectWriter({ port, account: buffer }: WriterConnection): void {
    const account = new QueueAccount(buffer);
    const { config } = this.#handler.snapshot;
    if (this.#records === null) {
      this.#records = new RecordBuffer(port, this.#gauge, queueOptions(config), account);
    } else {
      this.#records.reconnect(port, account);
    }
    this.#handler.records = config.logging.enabled ? this.#records : null;
  }

  #tick(): void {
    // The place may be another thread's by now.
    if (!this.#isLeaving) this.#heartbeats.tick(this.#thread);
    this.#connections.sweep();
    this.#handler.sweep();
    const now = performance.now();
    if (this.#isEnding) {
      this.#handler.endRequests();
      this.#records?.flush();
    }
    const end = this.#recordingEnd;
    if (end !== null && (now >= end.atMs || !this.#handler.hasUnrecorded())) end.resolve();
    if (now - this.#lastFlushMs >= this.#handler.snapshot.config.logging.flushIntervalMs - TICK_MS / 2) {
      this.#lastFlushMs = now;
      this.#records?.flush();
    }
  }

  explain(question: ExplainQuestion): Promise<Explanation> {
    return this.#handler.explain(question);
  }

  /** @returns false if it was given up in the meantime */
  async prepare(spec: SnapshotSpec, keys: CertificateKeys | null): Promise<boolean> {
    this.discard();
    this.#preparing = spec.generation;
    const current = this.#handler.snapshot;
    const transports = current.transports.isUpToDate(spec.config.httpClient)
      ? current.transports
      : new TransportSet(spec.config.httpClient);
    const snapshot = await Snapshot.build(spec, this.#context, transports);
    if (this.#preparing !== spec.generation) {
      await this.#end(snapshot);
      return false;
    }
    try {
      const listeners = this.#listen(spec.config, keys, current.config);
      this.#prepared = { snapshot, listeners, keys };
    } catch (fault) {
      await this.#end(snapshot);
      throw fault;
    }
    return true;
  }

  commit(): void {
    if (this.#prepared === null) throw new Error("nothing is prepared to be committed");
    const { snapshot, listeners, keys } = this.#prepared;
    this.#prepared = null;
    const old = this.#handler.snapshot;
    this.#handler.snapshot = snapshot;
    // What is in flight is recorded also where the log is switched off, until `stopRecording`.
    if (snapshot.config.logging.enabled) this.#handler.records = this.#records;
    this.#records?.reconfigure(queueOptions(snapshot.config));
    this.#cells.setBuckets(bucketBounds(snapshot.config.monitoring.histogramBucketsMs));
    this.#end(old);
    this.#connections.limits = connectionLimits(snapshot.config);
    const closing = this.#listeners;
    this.#listeners = listeners;
    const renewed = listeners.tls === closing.tls && !isDeepStrictEqual(keys, this.#keys);
    if (keys !== null && renewed) this.renewCertificates(keys);
    this.#keys = keys;
    this.#drainOthers(closing, listeners);
  }

  discard(): void {
    this.#preparing = 0;
    const prepared = this.#prepared;
    this.#prepared = null;
    if (prepared === null) return;
    this.#end(prepared.snapshot);
    this.#drainOthers(prepared.listeners, this.#listeners);
  }

  /** Ends what only this snapshot uses: its idle connections now, the rest with the last exchange. */
  async #end(snapshot: Snapshot): Promise<void> {
    if (snapshot.transports !== this.#handler.snapshot.transports) snapshot.transports.close();
    await snapshot.retire();
  }

  closeUnrouted(domains: DomainsConfig, targets: TargetConfig[]): void {
    this.#handler.closeUnrouted(new DomainTable(domains), targets);
  }

  /** The traffic log is off: resolves when the last records of before are on their way to the writer. */
  async stopRecording(withinMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#recordingEnd = { atMs: performance.now() + withinMs, resolve };
    await promise;
    this.#recordingEnd = null;
    this.#records?.flush();
    this.#handler.records = null;
  }

  /** Takes nothing new; resolves when what is in flight has ended, WebSockets and streams too. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    await this.#drainOthers(this.#listeners, null);
    await this.#handler.idle();
    await this.#finish();
  }

  /**
   * Resolves when nothing is in flight any more and every record is on its way to the writer.
   * @param timeoutMs after closing the listeners: then what is in flight is ended
   */
  async drain(delayMs: number, timeoutMs: number): Promise<void> {
    await Promise.all(ROLES.map((role) => this.#listeners[role]?.retire(delayMs, SHUTDOWN_IDLE_MS)));
    const timer = setTimeout(() => this.#isEnding = true, timeoutMs);
    // Not before, so that none that begins anew comes here again.
    const webSockets = this.#handler.closeWebSockets();
    await this.#drainOthers(this.#listeners, null, SHUTDOWN_IDLE_MS);
    await webSockets;
    await this.#handler.idle();
    clearTimeout(timer);
    await this.#finish();
  }

  #finish(): Promise<void> {
    return this.#finished ??= this.#release();
  }

  async #release(): Promise<void> {
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

function addressOf({ server, tls }: Config, role: typeof ROLES[number]): SocketAddress | null {
  if (role === "plain") return tls.plainHttp ? server.bind : null;
  return tls.enabled ? { hostname: server.bind.hostname, port: tls.port } : null;
}

const UNLIMITED = { maxConnections: 0, maxConnectionsPerIp: 0 };

function connectionLimits({ server, security }: Config): ConnectionLimits {
  const { headerTimeoutMs, keepAliveTimeoutMs } = server;
  const { maxConnections, maxConnectionsPerIp } = security.enabled ? security.ddos : UNLIMITED;
  return { headerTimeoutMs, keepAliveTimeoutMs, maxConnections, maxConnectionsPerIp };
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
        if (await thread.prepare(message.snapshot, message.keys)) post({ type: "prepared", generation });
      } catch (fault) {
        post({ type: "refused", generation, ...failure(fault) });
      }
      break;
    }
    case "connect_writer":
      thread.connectWriter(message.connection);
      break;
    case "commit":
      thread.commit();
      post({ type: "committed", generation: message.generation });
      break;
    case "renew_certificates":
      thread.renewCertificates(message.keys);
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
    case "close_unrouted":
      thread.closeUnrouted(message.domains, message.targets);
      break;
    case "stop_recording":
      await thread.stopRecording(message.withinMs);
      post({ type: "recording_stopped" });
      break;
    case "leave":
      await thread.leave();
      post({ type: "left" });
      break;
    case "drain":
      await thread.drain(message.delayMs, message.timeoutMs);
      post({ type: "drained" });
      break;
  }
};
