/**
 * What a proxy thread counts for each request. A label set that was seen before costs two look-ups in small
 * maps and allocates nothing; a new one is made known to the control thread by `MetricCells`.
 */
import type { MetricCells } from "./cells.ts";
import { FAMILIES, OTHER } from "./families.ts";
import type { HistogramCells } from "./histogram_cells.ts";

/** RFC 9110 section 9.1 and RFC 5789. A client can make up others: they count as `other`. */
const METHODS = new Map(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].map((
    name,
    i,
  ) => [name, i]),
);
const METHOD_NAMES = [...METHODS.keys(), OTHER];
const OTHER_METHOD = METHODS.size;

/** Bounds what is kept of domain rules, target names and error kinds; the cells have a cap of their own. */
const MAX_KEPT = 1000;

const STATUS_BITS = 10;

export class RequestMetrics {
  readonly #cells: MetricCells;
  readonly #duration: HistogramCells;
  readonly #active: number;
  readonly #domains = new Map<string, Map<number, number>>();
  readonly #targets = new Map<string, TargetMetrics>();

  constructor(cells: MetricCells) {
    this.#cells = cells;
    this.#duration = cells.histogram(FAMILIES.requestDuration, []);
    this.#active = cells.gauge(FAMILIES.activeRequests, []);
  }

  /** A request has reached this thread. Each `begin` is followed by one `end`, however the request ends. */
  begin(): void {
    this.#cells.add(this.#active, 1);
  }

  end(): void {
    this.#cells.add(this.#active, -1);
  }

  /**
   * Counts a finished request.
   * @param domainLabel pattern of the matching domain rule, "" if none: never the client's own Host
   * @param status sent to the client; one outside of 100 to 599 counts as `other`
   * @param durationMs from the request's arrival to the end of the answer's body
   */
  requestFinished(domainLabel: string, method: string, status: number, durationMs: number): void {
    let byAnswer = this.#domains.get(domainLabel);
    if (byAnswer === undefined) byAnswer = this.#addDomain(domainLabel);
    const methodIndex = METHODS.get(method) ?? OTHER_METHOD;
    const statusCode = knownStatus(status);
    const answer = methodIndex << STATUS_BITS | statusCode;
    let cell = byAnswer.get(answer);
    if (cell === undefined) {
      const labels = [domainLabel, METHOD_NAMES[methodIndex], statusLabel(statusCode)] as const;
      cell = this.#cells.counter(FAMILIES.requests, labels);
      byAnswer.set(answer, cell);
    }
    this.#cells.add(cell, 1);
    this.#duration.observe(durationMs / 1000);
  }

  /** Counts a request that a security step refused. @param kind one of a fixed set: `DenialKind` */
  denied(kind: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.securityDenied, [kind]), 1);
  }

  /** The counters of one target, the same object for the same name. Beyond 1,000 names it is that of `other`. */
  target(name: string): TargetMetrics {
    let target = this.#targets.get(name);
    if (target === undefined) {
      if (this.#targets.size >= MAX_KEPT && name !== OTHER) return this.target(OTHER);
      target = new TargetMetrics(this.#cells, name);
      this.#targets.set(name, target);
    }
    return target;
  }

  /** The body of one request. @param limited whether the configuration bounds its size */
  bodyStreamed(limited: boolean, chunks: number, bytes: number): void {
    const labels = [String(limited)] as const;
    this.#cells.add(this.#cells.counter(FAMILIES.bodyStreamChunks, labels), chunks);
    this.#cells.add(this.#cells.counter(FAMILIES.bodyStreamBytes, labels), bytes);
  }

  /** A copy of a request. @param result what became of it: one of a fixed set */
  mirrored(target: string, result: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.mirrorRequests, [target, result]), 1);
  }

  /** A circuit that this thread has changed. @param to `open`, `half_open` or `closed` */
  circuitChanged(target: string, to: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.targetCircuitChanges, [target, to]), 1);
  }

  /** An attempt after the first one. @param cause code of the failure before, or `status`: one of a fixed set */
  retried(cause: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.retries, [cause]), 1);
  }

  /** A failure that was not followed by another attempt. @param reason a `NoRetry` other than `cause` */
  retryRefused(reason: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.retriesRefused, [reason]), 1);
  }

  /** A request that found all targets full. @param reason `full`, `queue_full`, `queue_timeout` or `cancelled` */
  waitRefused(reason: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.waitsRefused, [reason]), 1);
  }

  /** @param open client connections of this thread that are open now */
  setActiveConnections(open: number): void {
    this.#cells.set(this.#cells.gauge(FAMILIES.activeConnections, []), open);
  }

  /** Beyond the bound nothing is kept: reloads could bring new rules for ever. */
  #addDomain(domainLabel: string): Map<number, number> {
    const byAnswer = new Map<number, number>();
    if (this.#domains.size < MAX_KEPT) this.#domains.set(domainLabel, byAnswer);
    return byAnswer;
  }
}

export class TargetMetrics {
  readonly #cells: MetricCells;
  readonly #name: string;
  readonly #byStatus = new Map<number, number>();
  readonly #byKind = new Map<string, number>();

  constructor(cells: MetricCells, name: string) {
    this.#cells = cells;
    this.#name = name;
  }

  /** Counts an answer of the target. @param status outside of 100 to 599 counts as `other` */
  finished(status: number): void {
    const statusCode = knownStatus(status);
    let cell = this.#byStatus.get(statusCode);
    if (cell === undefined) {
      cell = this.#cells.counter(FAMILIES.targetRequests, [this.#name, statusLabel(statusCode)]);
      this.#byStatus.set(statusCode, cell);
    }
    this.#cells.add(cell, 1);
  }

  /** Counts a failed attempt. @param kind a code of `UpstreamError`: one of a fixed set */
  error(kind: string): void {
    let cell = this.#byKind.get(kind);
    if (cell === undefined) {
      cell = this.#cells.counter(FAMILIES.targetErrors, [this.#name, kind]);
      if (this.#byKind.size < MAX_KEPT) this.#byKind.set(kind, cell);
    }
    this.#cells.add(cell, 1);
  }
}

const OTHER_STATUS = 0;

function knownStatus(status: number): number {
  return status >= 100 && status <= 599 ? status : OTHER_STATUS;
}

function statusLabel(statusCode: number): string {
  return statusCode === OTHER_STATUS ? OTHER : String(statusCode);
}
