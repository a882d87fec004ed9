/** The control thread's own metrics, and the export of everybody's. */
import type { Config } from "../config/model.ts";
import {
  bucketBounds,
  collectProcess,
  collectTargets,
  exposition,
  FAMILIES,
  type FamilySnapshot,
  MetricCells,
  type MetricRegistry,
  metricsJson,
  type TargetStatus,
} from "../metrics/mod.ts";
import { VERSION } from "../version.ts";
import { serveConnection } from "../proxy/http_runtime.ts";
import type { CertificateInfo } from "./certificates.ts";

/** The control thread's place in the registry; others have positive ids. */
const CONTROL_THREAD = 0;

export interface ControlMetricsSource {
  /** Requests that wait for a target that is full. */
  waitingRequests(): number;
  targets(): TargetStatus[];
  config(): Config;
  proxyThreads(): number;
  openConnections(): number;
  certificates(): readonly CertificateInfo[];
}

export class ControlMetrics {
  readonly #registry: MetricRegistry;
  readonly #source: ControlMetricsSource;
  readonly #cells: MetricCells;

  constructor(registry: MetricRegistry, config: Config, source: ControlMetricsSource) {
    this.#registry = registry;
    this.#source = source;
    const buffer = new SharedArrayBuffer(MetricCells.BYTES);
    registry.attach(CONTROL_THREAD, buffer);
    this.#cells = new MetricCells({
      buffer,
      announce: (series) => registry.announce(CONTROL_THREAD, series),
      buckets: bucketBounds(config.monitoring.histogramBucketsMs),
    });
    this.#cells.set(this.#cells.gauge(FAMILIES.configLastReloadSuccess, []), 1);
    // Known from the start, so that both show as 0 before the first reload.
    for (const result of ["success", "failure"]) this.#cells.counter(FAMILIES.configReloads, [result]);
    collectProcess(registry, VERSION);
    collectTargets(registry, () => source.targets());
    registry.collect(FAMILIES.waitingRequests, () => [{ labels: [], value: source.waitingRequests() }]);
    // A runtime that leaves no connection to us tells nobody how many there are.
    if (serveConnection() !== null) {
      registry.collect(FAMILIES.activeConnections, () => [{ labels: [], value: source.openConnections() }]);
    }
    registry.collect(
      FAMILIES.tlsCertificateExpiry,
      () =>
        source.certificates().map(({ domain, notAfterMs }) => ({
          labels: [domain],
          value: notAfterMs / 1000,
        })),
    );
  }

  /** All metrics at this moment. */
  gather(): FamilySnapshot[] {
    return this.#registry.gather();
  }

  /** A wrong token was shown to the admin API. */
  adminRefused(): void {
    this.#cells.add(this.#cells.counter(FAMILIES.securityDenied, ["admin_auth"]), 1);
  }

  /** Prometheus text format. */
  text(): string {
    return exposition(this.#registry.gather());
  }

  json(): unknown {
    const config = this.#source.config();
    return metricsJson(this.#registry.gather(), {
      uptimeSeconds: performance.now() / 1000,
      targets: this.#source.targets(),
      loadBalancer: {
        type: config.targets.balancing.type,
        stickySessions: config.targets.balancing.stickySessions,
      },
      workers: { configured: config.server.workers, running: this.#source.proxyThreads() },
    });
  }

  setBuckets(bucketsMs: Config["monitoring"]["histogramBucketsMs"]): void {
    const buckets = bucketBounds(bucketsMs);
    this.#registry.setBuckets(buckets);
    this.#cells.setBuckets(buckets);
  }

  checkDuration(target: string, durationMs: number): void {
    this.#cells.histogram(FAMILIES.targetHealthCheckDuration, [target]).observe(durationMs);
  }

  /** Read from the target table at a scrape: nothing to count. */
  stateChanged(): void {}

  circuitChanged(target: string, to: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.targetCircuitChanges, [target, to]), 1);
  }

  workerRestarted(): void {
    this.#cells.add(this.#cells.counter(FAMILIES.workerRestarts, []), 1);
  }

  reloaded(success: boolean): void {
    this.#cells.add(this.#cells.counter(FAMILIES.configReloads, [success ? "success" : "failure"]), 1);
    this.#cells.set(this.#cells.gauge(FAMILIES.configLastReloadSuccess, []), success ? 1 : 0);
  }
}
