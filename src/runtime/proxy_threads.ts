/**
 * The proxy threads as the control thread sees them: all started, changed and drained together, each replaced
 * when it dies.
 */
import { TargetTable } from "../balancing/target_table.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import type { MetricRegistry } from "../metrics/mod.ts";
import { ConnectionCounts } from "../proxy/connection_counts.ts";
import type { SnapshotSpec } from "../proxy/snapshot.ts";
import type { CertificateKeys } from "../proxy/tls_keys.ts";
import type { Log } from "./log.ts";
import { QueueAccount } from "../traffic/account.ts";
import { QueueGauge } from "../traffic/gauge.ts";
import type { Explained, FromProxy, ToProxy, WriterConnection } from "./messages.ts";
import { allocateProxyBlocks, Heartbeats, type ProcessBlocks, type ProxyBlocks } from "./shared_memory.ts";
import { Thread } from "./thread.ts";
import { threadModule } from "../thread_module.ts";

/** A thread that ends what it has in flight has this long to record that and say so. */
const ENDING_MS = 2_000;
/** Threads that are not wanted any more and have something in flight still; of more the oldest are ended. */
const MAX_LEAVING = 16;
/** A thread has this long to prepare or to commit a generation. */
const REPLY_TIMEOUT_MS = 10_000;
/** Starting loads its code; on a machine that has no time for it that has taken more than ten seconds. */
const START_TIMEOUT_MS = 60_000;
/** Default of `stalledAfterMs`: far above any pause of a loaded machine; a suspended one stops both clocks. */
const STALLED_AFTER_MS = 30_000;
/** Heartbeats are read so many times within that. */
const LOOKS_PER_STALL = 6;
/** Wait before a thread is started again that died at once: doubled each time up to the maximum. */
const FIRST_RESTART_DELAY_MS = 100;
const MAX_RESTART_DELAY_MS = 30_000;
/** Threads that have ended and whose accounts with the writer are kept. */
const MAX_ORPHANS = 64;
/** A thread that lived this long has earned a restart without delay. */
const LIVED_LONG_MS = 10_000;

export class ThreadFailure extends Error {
  override name = "ThreadFailure";
  constructor(readonly reason: "bind" | "internal", message: string) {
    super(message);
  }
}

export interface ProxyThreadsOptions {
  blocks: ProcessBlocks;
  registry: MetricRegistry;
  log: Log;
  /** Connects a proxy thread to the writer; null where there is no writer now. */
  connectWriter: () => WriterConnection | null;
  onRestart: () => void;
  /** The admin role's token; null: it has none. */
  explainToken: string | null;
  /** Ids for the metric registry, each given once. */
  nextThreadId: () => number;
  /** Module that the threads run; the proxy's own unless a test says otherwise. */
  entry?: URL;
  /** A thread whose heartbeat stands still this long hangs. */
  stalledAfterMs?: number;
}

/** A question about a request is answered within this time or not at all. */
const EXPLAIN_TIMEOUT_MS = 5_000;

/** One running thread and what has to be put right when it dies. */
class ProxyThreadHandle {
  readonly blocks: ProxyBlocks;
  readonly startedMs = performance.now();
  /** Whether it has said that it serves. */
  listening = false;
  /** Of its line to the writer; null: it has none. */
  account: QueueAccount | null = null;
  /** In the metric registry; a thread that replaces another has one of its own. */
  readonly id: number;
  /** Resolves when it has nothing left to do, or is no more. */
  readonly left = Promise.withResolvers<void>();
  readonly #thread: Thread<ToProxy, FromProxy>;
  #lastQuestion = 0;
  readonly #questions = new Map<
    number,
    { resolve: (explanation: Explanation) => void; reject: (fault: Error) => void }
  >();
  #waiting: { resolve: (message: FromProxy) => void; reject: (fault: Error) => void } | null = null;

  constructor(readonly index: number, id: number, options: {
    process: ProcessBlocks;
    entry: URL;
    onShared: (handle: ProxyThreadHandle, message: FromProxy) => void;
    onDeath: (handle: ProxyThreadHandle, reason: string) => void;
  }) {
    this.id = id;
    this.blocks = allocateProxyBlocks(options.process);
    this.#thread = new Thread(options.entry, `proxy-${index}`, {
      onMessage: (message: FromProxy) => {
        if (message.type === "series" || message.type === "log") options.onShared(this, message);
        else if (message.type === "explained" || message.type === "not_explained") this.#explained(message);
        else if (message.type === "left") this.left.resolve();
        else this.#settle(message);
      },
      onDeath: (reason) => {
        this.left.resolve();
        this.#waiting?.reject(new ThreadFailure("internal", `proxy thread ${index} died: ${reason}`));
        this.#waiting = null;
        for (const question of this.#questions.values()) question.reject(this.#unanswered(`died: ${reason}`));
        options.onDeath(this, reason);
      },
    });
  }

  /** Asks what would become of a request. @throws ThreadFailure if no answer comes */
  explain(question: ExplainQuestion): Promise<Explanation> {
    const id = ++this.#lastQuestion;
    const { promise, resolve, reject } = Promise.withResolvers<Explanation>();
    this.#questions.set(id, { resolve, reject });
    this.post({ type: "explain", id, question });
    const timer = setTimeout(
      () => reject(this.#unanswered(`did not explain within ${EXPLAIN_TIMEOUT_MS} ms`)),
      EXPLAIN_TIMEOUT_MS,
    );
    return promise.finally(() => {
      clearTimeout(timer);
      this.#questions.delete(id);
    });
  }

  #explained(message: Explained): void {
    const question = this.#questions.get(message.id);
    if (message.type === "explained") question?.resolve(message.explanation);
    else question?.reject(this.#unanswered(`cannot explain: ${message.message}`));
  }

  #unanswered(what: string): ThreadFailure {
    return new ThreadFailure("internal", `proxy thread ${this.index} ${what}`);
  }

  /** Its records go through this line from now on. */
  connected(connection: WriterConnection | null): void {
    if (connection !== null) this.account = new QueueAccount(connection.account);
  }

  #settle(message: FromProxy): void {
    this.#waiting?.resolve(message);
    this.#waiting = null;
  }

  post(message: ToProxy, transfer: Transferable[] = []): void {
    this.#thread.post(message, transfer);
  }

  /** Posts a message and waits for its reply; rejects when the thread dies or `timeoutMs` pass. */
  ask(message: ToProxy, timeoutMs: number, transfer: Transferable[] = []): Promise<FromProxy> {
    const { promise, resolve, reject } = Promise.withResolvers<FromProxy>();
    this.#waiting = { resolve, reject };
    this.post(message, transfer);
    const timer = setTimeout(() => {
      this.#waiting = null;
      reject(
        new ThreadFailure(
          "internal",
          `proxy thread ${this.index} did not answer "${message.type}" within ${timeoutMs} ms`,
        ),
      );
    }, timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Ends the thread at once; who waits for its answer is told. */
  end(): void {
    this.#thread.end();
    this.left.resolve();
    this.#waiting?.reject(new ThreadFailure("internal", `proxy thread ${this.index} was ended`));
    this.#waiting = null;
  }
}

export class ProxyThreads {
  readonly #options: ProxyThreadsOptions;
  readonly #table: TargetTable;
  readonly #heartbeats: Heartbeats;
  readonly #threads = new Map<number, ProxyThreadHandle>();
  /** Threads that are not wanted any more and finish what they have in flight, the first to leave first. */
  readonly #leaving = new Set<ProxyThreadHandle>();
  readonly #restartDelaysMs = new Map<number, number>();
  readonly #restarts = new Map<number, ReturnType<typeof setTimeout>>();
  readonly #beats = new Map<ProxyThreadHandle, { count: number; sinceMs: number; reported: boolean }>();
  readonly #connections: ConnectionCounts;
  readonly #gauge: QueueGauge;
  /** Of threads that have ended, what they had sent perhaps not written yet. The oldest is long done with. */
  readonly #orphans: QueueAccount[] = [];
  #spec: SnapshotSpec | null = null;
  #keys: CertificateKeys | null = null;
  #wanted = 0;
  #supervision: ReturnType<typeof setInterval> | undefined;
  readonly #stalledAfterMs: number;

  constructor(options: ProxyThreadsOptions) {
    this.#options = options;
    this.#stalledAfterMs = options.stalledAfterMs ?? STALLED_AFTER_MS;
    this.#table = new TargetTable(options.blocks.targets);
    this.#gauge = new QueueGauge(options.blocks.queue);
    this.#heartbeats = new Heartbeats(options.blocks.heartbeats);
    this.#connections = new ConnectionCounts(options.blocks.connections);
  }

  /** Threads that serve now. */
  get running(): number {
    let running = 0;
    for (const handle of this.#threads.values()) if (handle.listening) running++;
    return running;
  }

  /** Client connections open now, over all threads. */
  get openConnections(): number {
    return this.#connections.total;
  }

  /**
   * Starts `spec.config.server.workers` threads and resolves when all of them listen.
   * @param keys for `spec.config.tls`; null where that is off
   * @throws ThreadFailure if one cannot; none is left running then
   */
  async start(spec: SnapshotSpec, keys: CertificateKeys | null = null): Promise<void> {
    this.#spec = spec;
    this.#keys = keys;
    this.#wanted = spec.config.server.workers;
    const starts = Array.from({ length: this.#wanted }, (_, index) => this.#startThread(index));
    const failed = (await Promise.allSettled(starts)).find((result) => result.status === "rejected");
    if (failed !== undefined) {
      this.end();
      throw failed.reason;
    }
    this.#supervision = setInterval(() => this.#supervise(), this.#stalledAfterMs / LOOKS_PER_STALL);
  }

  async #startThread(index: number): Promise<void> {
    const { registry, blocks, connectWriter, nextThreadId } = this.#options;
    const handle = new ProxyThreadHandle(index, nextThreadId(), {
      process: blocks,
      entry: this.#options.entry ?? threadModule("runtime/proxy_thread"),
      onShared: (from, message) => this.#onShared(from, message),
      onDeath: (dead, reason) => this.#onDeath(dead, reason),
    });
    registry.attach(handle.id, handle.blocks.cells);
    this.#threads.set(index, handle);
    const writer = connectWriter();
    handle.connected(writer);
    const reply = await handle.ask(
      {
        type: "start",
        thread: index,
        id: handle.id,
        blocks: handle.blocks,
        explainToken: this.#options.explainToken,
        snapshot: this.#spec!,
        keys: this.#keys,
        writer,
      },
      START_TIMEOUT_MS,
      writer === null ? [] : [writer.port],
    );
    if (reply.type === "start_failed") {
      this.#forget(handle);
      handle.end();
      throw new ThreadFailure(reply.reason, reply.message);
    }
    handle.listening = true;
  }

  /**
   * Moves every thread to a new generation, or none: the first that cannot prepare it ends the attempt.
   * Starts and drains threads where `server.workers` has changed.
   * @throws ThreadFailure with the first refusal
   */
  async change(spec: SnapshotSpec, keys: CertificateKeys | null = null): Promise<void> {
    const { generation } = spec;
    const handles = [...this.#threads.values()];
    const replies = await Promise.allSettled(
      handles.map((handle) => handle.ask({ type: "prepare", snapshot: spec, keys }, REPLY_TIMEOUT_MS)),
    );
    const refusal = replies.map(refusalOf).find((fault) => fault !== null);
    if (refusal !== undefined) {
      for (const handle of handles) handle.post({ type: "discard", generation });
      throw refusal;
    }
    this.#spec = spec;
    this.#keys = keys;
    // From here on the generation stands: a thread that dies now is replaced under the new one.
    await Promise.allSettled(
      handles.map((handle) => handle.ask({ type: "commit", generation }, REPLY_TIMEOUT_MS)),
    );
    await this.#resize(spec.config.server.workers);
    const { domains, targets: { targets } } = spec.config;
    for (const handle of [...this.#threads.values(), ...this.#leaving]) {
      handle.post({ type: "close_unrouted", domains, targets });
    }
  }

  async #resize(wanted: number): Promise<void> {
    this.#wanted = wanted;
    const missing = Array.from({ length: wanted }, (_, index) => index).filter((index) =>
      !this.#threads.has(index)
    );
    await Promise.all(missing.map((index) => this.#startAgain(index)));
    const surplus = [...this.#threads.values()].filter((handle) => handle.index >= wanted);
    for (const handle of surplus) {
      this.#threads.delete(handle.index);
      this.#leave(handle);
    }
    const { shutdownTimeoutMs } = this.#spec!.config.server;
    for (const handle of [...this.#leaving].slice(0, Math.max(0, this.#leaving.size - MAX_LEAVING))) {
      this.#options.log("warn", "a proxy thread that is not wanted any more is ended with its WebSockets", {
        thread: handle.index,
        within_ms: shutdownTimeoutMs,
      });
      this.#drainThread(handle, { delayMs: 0, timeoutMs: shutdownTimeoutMs });
    }
  }

  /** What a thread has in flight, WebSockets and streams too, goes on although it is not wanted any more. */
  async #leave(handle: ProxyThreadHandle): Promise<void> {
    this.#leaving.add(handle);
    handle.post({ type: "leave" });
    await handle.left.promise;
    handle.end();
    if (this.#leaving.delete(handle)) this.#takeBack(handle);
  }

  /**
   * The traffic log is off: resolves when every thread, leaving ones too, has sent what it records of before.
   * @param withinMs what is in flight for longer than that is not recorded
   */
  async stopRecording(withinMs: number): Promise<void> {
    const message = { type: "stop_recording", withinMs } as const;
    await Promise.allSettled(
      [...this.#threads.values(), ...this.#leaving].map((handle) =>
        Promise.race([handle.ask(message, withinMs + REPLY_TIMEOUT_MS), handle.left.promise])
      ),
    );
  }

  /** Gives every thread certificates that have been renewed. */
  renewCertificates(keys: CertificateKeys): void {
    this.#keys = keys;
    for (const handle of this.#threads.values()) handle.post({ type: "renew_certificates", keys });
  }

  /** Connects every thread to a new writer, the former one having died, or there having been none. */
  reconnectWriter(): void {
    for (const handle of [...this.#threads.values(), ...this.#leaving]) {
      const connection = this.#options.connectWriter();
      if (connection === null) continue;
      handle.connected(connection);
      handle.post({ type: "connect_writer", connection }, [connection.port]);
    }
    // Those of threads that have ended: nobody else will give their room in the queue back.
    for (const account of this.#orphans.splice(0)) {
      const { records, bytes } = account.unsettled;
      this.#gauge.countDropped(records);
      this.#gauge.release(bytes);
    }
  }

  /** What would become of a request, by the first thread that serves. @throws ThreadFailure */
  explain(question: ExplainQuestion): Promise<Explanation> {
    for (const handle of this.#threads.values()) if (handle.listening) return handle.explain(question);
    throw new ThreadFailure("internal", "no proxy thread is running");
  }

  /**
   * Accepts connections for `delayMs` more, then lets every thread finish what is in flight, leaving ones too;
   * what is not done within `timeoutMs` is ended.
   */
  async drain(time: { delayMs: number; timeoutMs: number }): Promise<void> {
    clearInterval(this.#supervision);
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#wanted = 0;
    const handles = [...this.#threads.values()];
    this.#threads.clear();
    await Promise.all([...handles, ...this.#leaving].map((handle) => this.#drainThread(handle, time)));
  }

  async #drainThread(
    handle: ProxyThreadHandle,
    { delayMs, timeoutMs }: { delayMs: number; timeoutMs: number },
  ): Promise<void> {
    const isLeaving = this.#leaving.delete(handle);
    try {
      const drained = handle.ask({ type: "drain", delayMs, timeoutMs }, delayMs + timeoutMs + ENDING_MS);
      await (isLeaving ? Promise.race([drained, handle.left.promise]) : drained);
    } catch (fault) {
      this.#options.log("warn", "a proxy thread was ended with requests in flight", {
        thread: handle.index,
        reason: fault instanceof Error ? fault.message : String(fault),
      });
    }
    handle.end();
    this.#takeBack(handle);
  }

  /** Ends all threads at once. */
  end(): void {
    clearInterval(this.#supervision);
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#wanted = 0;
    for (const handle of [...this.#threads.values(), ...this.#leaving]) handle.end();
    this.#threads.clear();
  }

  #onShared(handle: ProxyThreadHandle, message: FromProxy): void {
    if (message.type === "series") this.#options.registry.announce(handle.id, message.series);
    else if (message.type === "log") this.#options.log(message.level, message.message, message.fields);
  }

  #onDeath(handle: ProxyThreadHandle, reason: string): void {
    if (this.#leaving.has(handle)) {
      this.#options.log("error", "a proxy thread died that was not wanted any more", {
        thread: handle.index,
        reason,
      });
    }
    if (this.#threads.get(handle.index) !== handle) return;
    this.#forget(handle);
    this.#options.log("error", "a proxy thread died and is replaced", { thread: handle.index, reason });
    this.#restart(handle.index, performance.now() - handle.startedMs >= LIVED_LONG_MS);
  }

  #restart(index: number, lived: boolean): void {
    this.#options.onRestart();
    const delayMs = lived ? 0 : this.#restartDelaysMs.get(index) ?? 0;
    this.#restartDelaysMs.set(
      index,
      Math.min(Math.max(delayMs * 2, FIRST_RESTART_DELAY_MS), MAX_RESTART_DELAY_MS),
    );
    clearTimeout(this.#restarts.get(index));
    const timer = setTimeout(() => {
      this.#restarts.delete(index);
      this.#startAgain(index);
    }, delayMs);
    this.#restarts.set(index, timer);
  }

  /** Starts a thread that is wanted and not there; where that fails it is tried again. */
  async #startAgain(index: number): Promise<void> {
    if (index >= this.#wanted || this.#threads.has(index)) return;
    try {
      await this.#startThread(index);
    } catch (fault) {
      if (this.#wanted === 0) return;
      this.#options.log("error", "a proxy thread could not be started, it is tried again", {
        thread: index,
        reason: fault instanceof Error ? fault.message : String(fault),
      });
      // A death has led to a restart already, a refusal to start has not.
      if (!this.#threads.has(index) && !this.#restarts.has(index)) this.#restart(index, false);
    }
  }

  #forget(handle: ProxyThreadHandle): void {
    if (this.#threads.get(handle.index) === handle) this.#threads.delete(handle.index);
    this.#takeBack(handle);
  }

  /** What a dead thread had counted as active is not; its counters stay in the sums. */
  #takeBack(handle: ProxyThreadHandle): void {
    this.#beats.delete(handle);
    this.#table.takeBack(new Int32Array(handle.blocks.counts));
    this.#connections.takeBack(new Int32Array(handle.blocks.ownConnections), handle.id);
    this.#options.registry.retire(handle.id);
    if (handle.account === null) return;
    this.#gauge.countDropped(handle.account.unposted);
    this.#orphans.push(handle.account);
    if (this.#orphans.length > MAX_ORPHANS) this.#orphans.shift();
  }

  /** A thread that hangs cannot be ended: the runtime waits for it for ever. All that can be done is to say so. */
  #supervise(): void {
    const now = performance.now();
    for (const handle of this.#threads.values()) {
      const count = this.#heartbeats.read(handle.index);
      const last = this.#beats.get(handle);
      if (last === undefined || last.count !== count) {
        this.#beats.set(handle, { count, sinceMs: now, reported: false });
      } else if (!last.reported && now - last.sinceMs >= this.#stalledAfterMs) {
        last.reported = true;
        this.#options.log("error", "a proxy thread hangs, its connections wait: restart the process", {
          thread: handle.index,
          silent_ms: Math.round(now - last.sinceMs),
        });
      }
    }
  }
}

function refusalOf(result: PromiseSettledResult<FromProxy>): ThreadFailure | null {
  if (result.status === "rejected") return result.reason;
  const reply = result.value;
  return reply.type === "refused" ? new ThreadFailure(reply.reason, reply.message) : null;
}
