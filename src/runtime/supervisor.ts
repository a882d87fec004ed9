/**
 * The control thread: puts the parts together, starts and stops them in order, applies new configurations.
 *
 *     start:    writer → proxy threads → health and metrics ports → health checks → watch the file
 *     reload:   load → prepare (ports, sinks, threads) → commit in every thread → health checks, log level
 *     shutdown: not ready → a short delay → proxy threads drain → writer drains → ports close
 */
import { isDeepStrictEqual } from "node:util";
import type { AdminApp } from "../admin/admin_app.ts";
import { type Components, LIVE_RECORDS_PER_SECOND } from "../admin/api.ts";
import { healthApp, type HealthSource, type TargetReport } from "../admin/health_app.ts";
import { metricsApp } from "../admin/metrics_app.ts";
import type { AdminSource } from "../admin/source.ts";
import { TargetOverrides } from "../admin/target_overrides.ts";
import { Tokens } from "../admin/tokens.ts";
import type { BalancedTarget } from "../balancing/balancer.ts";
import { SlotAllocator } from "../balancing/slots.ts";
import { circuitName } from "../balancing/circuit_table.ts";
import { TargetTable } from "../balancing/target_table.ts";
import { type Standing, standings } from "../balancing/usability.ts";
import { loadConfig, type LoadOptions, type LoadResult } from "../config/load.ts";
import type { Config, SocketAddress } from "../config/model.ts";
import { formatProblem } from "../config/problem.ts";
import { watchConfig } from "../config/watch.ts";
import { HealthChecker } from "../health/checker.ts";
import { circuitLine } from "../health/circuit_breaker.ts";
import { Recovery } from "../health/recovery.ts";
import { bucketBounds, MetricRegistry, targetStatuses } from "../metrics/mod.ts";
import type { SnapshotSpec } from "../proxy/snapshot.ts";
import { readUpstreamTls, type UpstreamTls } from "../upstream/tls_files.ts";
import { VERSION } from "../version.ts";
import { QueueGauge } from "../traffic/gauge.ts";
import { type App, AppServer } from "./app_server.ts";
import { CertificateWatch, loadCertificates, type LoadedCertificates } from "./certificates.ts";
import { components } from "./components.ts";
import { ControlMetrics } from "./control_metrics.ts";
import type { Log, Logger } from "./log.ts";
import { LogWriter } from "./log_writer.ts";
import { ProxyThreads, ThreadFailure } from "./proxy_threads.ts";
import { SharedBlocks } from "./shared_blocks.ts";
import { allocateProcessBlocks } from "./shared_memory.ts";
import { sharedNeeds } from "./shared_needs.ts";
import { targetGroups } from "./target_groups.ts";
import { TrafficQuestions } from "./traffic_questions.ts";

/** The health and metrics ports finish what they answer, but nobody waits for them longer than this. */
const APP_CLOSE_TIMEOUT_MS = 1_000;
/** A traffic log that is switched off waits no longer than this for what is in flight. */
const LAST_RECORDS_MS = 5_000;

/** A listener that cannot be opened: exit code 2. */
export class BindFailure extends Error {
  override name = "BindFailure";
}

/** A part of the configuration that could not be made at start: exit code 1. */
export class SetupFailure extends Error {
  override name = "SetupFailure";
}

export interface SupervisorOptions {
  configPath: string;
  /** What the file held when `config` was made of it. */
  configText: string;
  load: LoadOptions;
  logger: Logger;
  /** Level of the log whatever the configuration says, from `-v`; null: the configuration's. */
  levelOverride: Config["logging"]["level"] | null;
}

/** What became of a reload. */
export type ReloadResult = { ok: true; generation: number } | { ok: false; problems: string[] };

/** The health and metrics listeners; null where `monitoring.enabled` is off. */
interface Ports {
  health: AppServer;
  metrics: AppServer;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Log;
  readonly #blocks = allocateProcessBlocks();
  readonly #table = new TargetTable(this.#blocks.targets);
  readonly #slots = new SlotAllocator(this.#table);
  readonly #overrides = new TargetOverrides(this.#table);
  readonly #registry: MetricRegistry;
  readonly #metrics: ControlMetrics;
  readonly #threads: ProxyThreads;
  readonly #health: HealthChecker;
  readonly #recovery: Recovery;
  readonly #certificates: CertificateWatch;
  readonly #startedMs = performance.now();
  readonly #startedAt = new Date();
  readonly #tokens: Tokens;
  readonly #questions = new TrafficQuestions();
  readonly #stopWatching = new AbortController();
  #config: Config;
  #shared: SharedBlocks;
  /** The text that the configuration in use was made of. */
  #configText: string;
  #targets: BalancedTarget[] = [];
  #lastThreadId = 0;
  #generation = 1;
  #loadedAt = new Date();
  #lastReloadError: string | null = null;
  #writer: LogWriter | null = null;
  #ports: Ports | null = null;
  /** Null until somebody asks for it. */
  #admin: Promise<AdminApp> | null = null;
  #serving = false;
  #draining = false;
  readonly #started = Promise.withResolvers<void>();
  /** The reload under way, or the start: the next reload waits for it. */
  #reloading: Promise<unknown> = this.#started.promise;

  constructor(config: Config, options: SupervisorOptions) {
    this.#config = config;
    this.#shared = new SharedBlocks(sharedNeeds(config));
    this.#configText = options.configText;
    this.#options = options;
    this.#log = options.logger.log;
    this.#tokens = new Tokens(options.load.environment ?? Deno.env);
    this.#registry = new MetricRegistry(bucketBounds(config.monitoring.histogramBucketsMs));
    this.#metrics = new ControlMetrics(this.#registry, config, {
      waitingRequests: () => this.#table.waiting,
      targets: () => targetStatuses(this.#table, this.#targets),
      config: () => this.#config,
      proxyThreads: () => this.#threads.running,
      openConnections: () => this.#threads.openConnections,
      certificates: () => this.#certificates.infos,
    });
    this.#threads = new ProxyThreads({
      blocks: this.#blocks,
      registry: this.#registry,
      log: this.#log,
      connectWriter: () => this.#writer?.connect() ?? null,
      onRestart: () => this.#metrics.workerRestarted(),
      explainToken: this.#tokens.of("admin"),
      nextThreadId: () => ++this.#lastThreadId,
    });
    this.#certificates = new CertificateWatch({
      onRenewed: (keys) => this.#threads.renewCertificates(keys),
      log: this.#log,
    });
    this.#health = new HealthChecker({
      table: this.#overrides,
      log: {
        info: (fields, message) => this.#log("info", message, fields),
        warn: (fields, message) => this.#log("warn", message, fields),
      },
      userAgent: `dispa-health/${VERSION}`,
      observe: this.#metrics,
    });
    this.#recovery = new Recovery({
      table: this.#table,
      changed: (change) => {
        this.#metrics.circuitChanged(change.target, change.to);
        const { level, message, fields } = circuitLine(change);
        this.#log(level, message, fields);
      },
    });
  }

  /**
   * Starts everything and resolves when requests are served.
   * @throws BindFailure | WriterFailure; nothing is left running then
   */
  async start(): Promise<void> {
    const config = this.#config;
    this.#targets = this.#slots.assign(config.targets.targets);
    this.#overrides.apply(this.#targets);
    for (const warning of this.#tokens.warnings()) this.#log("warn", warning);
    try {
      if (config.logging.enabled) await this.#openWriter(config);
      this.#ports = this.#openPorts(config, null);
      await this.#startThreads(config);
      this.#health.useTls(readUpstreamTls(config.httpClient));
    } catch (fault) {
      this.#threads.end();
      this.#writer?.end();
      await this.#certificates.close();
      await this.#closePorts(this.#ports, null);
      throw fault;
    }
    this.#serving = true;
    this.#health.apply(this.#targets, config.targets.healthCheck);
    this.#recovery.apply(this.#targets, config.targets);
    this.#watch();
    this.#started.resolve();
    this.#log("info", `serving on ${clientUrls(config).join(" and ")}`, {
      workers: config.server.workers,
      version: VERSION,
    });
  }

  async #openWriter(config: Config): Promise<void> {
    this.#writer = new LogWriter(config.logging, {
      queue: this.#blocks.queue,
      bucketsMs: config.monitoring.histogramBucketsMs,
      registry: this.#registry,
      log: this.#log,
      onDeath: () => this.#threads.reconnectWriter(),
      onReplaced: () => this.#metrics.workerRestarted(),
      nextThreadId: () => ++this.#lastThreadId,
    });
    await this.#writer.open();
  }

  async #startThreads(config: Config): Promise<void> {
    try {
      const certificates = await loadCertificates(config.tls);
      const spec = this.#spec(config, this.#generation, this.#targets, this.#shared);
      await this.#threads.start(spec, certificates?.keys ?? null);
      this.#certificates.use(config.tls, certificates);
    } catch (fault) {
      // Anything else that a thread cannot make of the configuration is a fault of that: a plugin's module, a key.
      if (fault instanceof ThreadFailure && fault.reason === "internal") {
        throw new SetupFailure(fault.message);
      }
      const keys = config.tls.enabled ? "server.bind_address, tls.port" : "server.bind_address";
      throw new BindFailure(
        `cannot listen on ${clientUrls(config).join(" and ")} (${keys}): ${messageOf(fault)}`,
      );
    }
  }

  #spec(config: Config, generation: number, targets: BalancedTarget[], shared: SharedBlocks): SnapshotSpec {
    // While threads change over, the groups of both configurations need turn counters of their own.
    const groups = [...targetGroups(this.#config), ...targetGroups(config)];
    return { generation, config, targets, rotations: this.#slots.rotations(groups), shared: shared.buffers };
  }

  /** @param current those in use: what has the same address there is taken over */
  #openPorts(config: Config, current: Ports | null): Ports | null {
    if (!config.monitoring.enabled) return null;
    const { bindHostname: hostname, healthCheckPort, metricsPort } = config.monitoring;
    const health = this.#openPort(
      "monitoring.health_check_port",
      { hostname, port: healthCheckPort },
      current?.health ?? null,
      () => this.#healthApp(),
    );
    try {
      const metrics = this.#openPort(
        "monitoring.metrics_port",
        { hostname, port: metricsPort },
        current?.metrics ?? null,
        () => this.#metricsApp(),
      );
      return { health, metrics };
    } catch (fault) {
      if (health !== current?.health) health.close(APP_CLOSE_TIMEOUT_MS);
      throw fault;
    }
  }

  #openPort(key: string, address: SocketAddress, current: AppServer | null, app: () => App): AppServer {
    if (current !== null && isDeepStrictEqual(address, current.address)) return current;
    try {
      return new AppServer(address, app(), this.#log);
    } catch (fault) {
      throw new BindFailure(`cannot listen on ${urlOf(address)} (${key}): ${messageOf(fault)}`);
    }
  }

  /** Closes those of `ports` that are not among `kept`. */
  async #closePorts(ports: Ports | null, kept: Ports | null): Promise<void> {
    if (ports === null) return;
    const { health, metrics } = ports;
    await Promise.all([
      health === kept?.health ? null : health.close(APP_CLOSE_TIMEOUT_MS),
      metrics === kept?.metrics ? null : metrics.close(APP_CLOSE_TIMEOUT_MS),
    ]);
  }

  #healthApp() {
    return healthApp(this.#healthSource());
  }

  #healthSource(): HealthSource {
    return {
      version: VERSION,
      uptimeMs: () => performance.now() - this.#startedMs,
      isServing: () => this.#serving && this.#threads.running > 0,
      isDraining: () => this.#draining,
      components: () => this.#components(),
      targets: () => this.#targetReports(),
      certificates: () => this.#certificates.infos,
      config: () => ({
        path: this.#options.configPath,
        generation: this.#generation,
        loadedAt: this.#loadedAt,
        lastError: this.#lastReloadError,
      }),
    };
  }

  #components(): Components {
    const { logging, server } = this.#config;
    return components({
      serving: this.#serving,
      threads: { wanted: server.workers, running: this.#threads.running },
      log: {
        enabled: logging.enabled,
        running: this.#writer?.running ?? false,
        full: new QueueGauge(this.#blocks.queue).isFull(logging.queueMaxBytes),
      },
      lastReloadError: this.#lastReloadError,
      adminRoles: this.#tokens.roles,
    });
  }

  #metricsApp() {
    return metricsApp({
      text: () => this.#metrics.text(),
      json: () => this.#metrics.json(),
      admin: async () => (await (this.#admin ??= this.#loadAdmin())).app,
    });
  }

  async #loadAdmin(): Promise<AdminApp> {
    const { adminApp } = await import("../admin/admin_app.ts");
    return adminApp({ source: this.#adminSource(), tokens: this.#tokens });
  }

  #adminSource(): AdminSource {
    return {
      log: this.#log,
      health: this.#healthSource(),
      startedAt: this.#startedAt,
      config: () => this.#config,
      configText: () => this.#configText,
      load: this.#options.load,
      reload: (occasion) => this.reload(occasion),
      targets: () => this.#targets,
      overrides: this.#overrides,
      metrics: () => this.#metrics.gather(),
      workers: () => ({ configured: this.#config.server.workers, running: this.#threads.running }),
      queuedBytes: () => new QueueGauge(this.#blocks.queue).queuedBytes(),
      countFailedAttempt: () => this.#metrics.adminRefused(),
      askTraffic: (logging, question) => this.#questions.ask(logging, question),
      explain: (question) => this.#threads.explain(question),
      tapTraffic: (listener) =>
        this.#writer?.tap(
          listener === null ? null : { recordsPerSecond: LIVE_RECORDS_PER_SECOND, listener },
        ),
    };
  }

  #targetReports(): TargetReport[] {
    const health = new Map(this.#health.status().map((status) => [status.name, status]));
    return this.#standings().map(({ target: { slot, config }, unusable }) => ({
      name: config.name,
      url: config.url,
      health: health.get(config.name) ?? null,
      usable: unusable === null || unusable === "backup",
      draining: this.#table.isDraining(slot),
      circuit: circuitName(this.#table.circuits.state(slot)),
      backup: config.backup,
      activeConnections: this.#table.active(slot),
      maxConnections: config.maxConnections,
      weight: config.weight,
    }));
  }

  /** As the proxy threads' balancers over all targets see them. */
  #standings(): Standing[] {
    const { enabled, maxEjectedPercent } = this.#config.targets.circuitBreaker;
    return standings(this.#targets, this.#table, enabled ? maxEjectedPercent : null, Date.now());
  }

  #watch(): void {
    const onChange = async () => {
      await this.#inTurn(async () => {
        const { configPath, load } = this.#options;
        const result = await loadConfig(configPath, load);
        // A change through the admin API has been taken into use before the file is seen to have changed.
        if (result.ok && result.text === this.#configText && this.#lastReloadError === null) return;
        await this.#use(result, "the file changed");
      });
    };
    const { configPath, configText } = this.#options;
    const watch = watchConfig(configPath, onChange, {
      signal: this.#stopWatching.signal,
      initialText: configText,
    });
    watch.finished.catch((fault) => {
      this.#log("error", "the configuration is not watched any more", { reason: messageOf(fault) });
    });
  }

  /** Loads the configuration again and uses it, or says why not and keeps the old one. One at a time. */
  reload(occasion: string): Promise<ReloadResult> {
    const { configPath, load } = this.#options;
    return this.#inTurn(async () => this.#use(await loadConfig(configPath, load), occasion));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#reloading.then(work);
    this.#reloading = turn.catch(() => undefined);
    return turn;
  }

  async #use(result: LoadResult, occasion: string): Promise<ReloadResult> {
    if (!result.ok) return this.#reloadFailed(occasion, result.problems.map(formatProblem));
    for (const warning of result.warnings) this.#log("warn", formatProblem(warning));
    try {
      await this.#apply(result.config);
    } catch (fault) {
      return this.#reloadFailed(occasion, [messageOf(fault)]);
    }
    this.#configText = result.text;
    this.#loadedAt = new Date();
    this.#lastReloadError = null;
    this.#metrics.reloaded(true);
    this.#log("info", `configuration reloaded: ${occasion}`, {
      path: result.path,
      generation: this.#generation,
    });
    return { ok: true, generation: this.#generation };
  }

  #reloadFailed(occasion: string, problems: string[]): ReloadResult {
    this.#lastReloadError = problems.join("; ");
    this.#metrics.reloaded(false);
    this.#log(
      "error",
      `configuration not reloaded (${occasion}), the old one stays: ${this.#lastReloadError}`,
    );
    return { ok: false, problems };
  }

  /** All that can fail comes first and is undone on failure; after the threads' commit nothing can. */
  async #apply(config: Config): Promise<void> {
    const old = this.#config;
    const targets = this.#slots.assign(config.targets.targets);
    this.#overrides.weigh(targets);
    const shared = new SharedBlocks(sharedNeeds(config), this.#shared);
    const newPorts = this.#openPorts(config, this.#ports);
    let certificates: LoadedCertificates | null;
    let upstreamTls: UpstreamTls;
    const loggingChanged = JSON.stringify(config.logging) !== JSON.stringify(old.logging);
    try {
      if (loggingChanged && config.logging.enabled) await this.#applyLogging(config);
      certificates = await loadCertificates(config.tls);
      upstreamTls = readUpstreamTls(config.httpClient);
      const spec = this.#spec(config, this.#generation + 1, targets, shared);
      await this.#threads.change(spec, certificates?.keys ?? null);
    } catch (fault) {
      this.#overrides.weigh(this.#slots.assign(old.targets.targets));
      this.#slots.rotations(targetGroups(old));
      await this.#closePorts(newPorts, this.#ports);
      if (loggingChanged) await this.#applyLogging(old);
      throw fault;
    }
    this.#generation++;
    this.#config = config;
    this.#slots.rotations(targetGroups(config));
    this.#shared = shared;
    this.#certificates.use(config.tls, certificates);
    this.#targets = targets;
    this.#overrides.apply(targets);
    this.#closePorts(this.#ports, newPorts);
    this.#ports = newPorts;
    this.#health.useTls(upstreamTls);
    this.#health.apply(targets, config.targets.healthCheck);
    this.#recovery.apply(targets, config.targets);
    this.#metrics.setBuckets(config.monitoring.histogramBucketsMs);
    this.#options.logger.level = this.#options.levelOverride ?? config.logging.level;
    if (loggingChanged && !config.logging.enabled) {
      // What was in flight began under a configuration that records it.
      await this.#threads.stopRecording(Math.min(LAST_RECORDS_MS, old.server.shutdownTimeoutMs));
      await this.#stopLogging(config);
    }
  }

  /** A writer is started when the traffic log is first switched on; switched off, it idles until the end. */
  async #applyLogging(config: Config): Promise<void> {
    if (this.#writer !== null) {
      await this.#writer.reconfigure(config.logging);
    } else if (config.logging.enabled) {
      await this.#openWriter(config);
      this.#threads.reconnectWriter();
    }
  }

  /** Comes after the threads' commit: until then they go on recording. */
  async #stopLogging(config: Config): Promise<void> {
    try {
      await this.#applyLogging(config);
    } catch (fault) {
      this.#log("error", "the traffic log is off, but was not closed in order", { reason: messageOf(fault) });
    }
  }

  /** Finishes what is in flight, writes every record, closes every port. */
  async shutdown(): Promise<void> {
    this.#serving = false;
    this.#draining = true;
    this.#stopWatching.abort();
    await this.#reloading;
    await this.#health.stop();
    this.#recovery.stop();
    await this.#certificates.close();
    const { shutdownDelayMs, shutdownTimeoutMs } = this.#config.server;
    await this.#threads.drain({ delayMs: shutdownDelayMs, timeoutMs: shutdownTimeoutMs });
    await this.#writer?.close();
    this.#overrides.close();
    (await this.#admin)?.close();
    await this.#closePorts(this.#ports, null);
  }
}

/** Where clients reach the proxy. */
function clientUrls({ server, tls }: Config): string[] {
  const plain = tls.plainHttp ? [urlOf(server.bind)] : [];
  const { hostname } = server.bind;
  return tls.enabled ? [...plain, urlOf({ hostname, port: tls.port }, "https")] : plain;
}

/** `http://host:port` with IPv6 in brackets. */
function urlOf({ hostname, port }: SocketAddress, scheme = "http"): string {
  return `${scheme}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}
