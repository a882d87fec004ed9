import { type BucketBounds, bucketBounds } from "../../../src/metrics/buckets.ts";
import { MetricCells, type MetricCellsOptions } from "../../../src/metrics/cells.ts";
import { FAMILIES, type MetricFamily } from "../../../src/metrics/families.ts";
import { type HistogramSeries, MetricRegistry } from "../../../src/metrics/registry.ts";

/** A registry and threads of it that announce their series at once. */
export class Metrics {
  readonly registry: MetricRegistry;
  #buckets: BucketBounds;

  constructor(customMs: Record<string, number[]> = {}) {
    this.#buckets = bucketBounds(customMs);
    this.registry = new MetricRegistry(this.#buckets);
  }

  thread(id: number, options: Partial<MetricCellsOptions> & { bytes?: number } = {}): MetricCells {
    const buffer = new SharedArrayBuffer(options.bytes ?? MetricCells.BYTES);
    this.registry.attach(id, buffer);
    return new MetricCells({
      buffer,
      buckets: this.#buckets,
      announce: (series) => this.registry.announce(id, structuredClone(series)),
      ...options,
    });
  }

  /** Label values joined by a comma to the value exported, of every series of a counter or gauge. */
  scalars(family: MetricFamily): Record<string, number> {
    const found = this.registry.gather().find((snapshot) => snapshot.family.name === family.name);
    if (found?.kind !== "scalar") return {};
    return Object.fromEntries(found.series.map(({ labels, value }) => [labels.join(), value]));
  }

  histograms(family: MetricFamily): HistogramSeries[] {
    const found = this.registry.gather().find((snapshot) => snapshot.family.name === family.name);
    return found?.kind === "histogram" ? found.series : [];
  }
}

/** Bytes of a block that has room for `cells` beside the reserved series. */
export function bytesFor(cells: number): number {
  return reservedBytes() + cells * Float64Array.BYTES_PER_ELEMENT;
}

/** The first cell given to a label set is the first one behind the reserved ones. */
function reservedBytes(): number {
  let first = 0;
  const metrics = new MetricCells({
    buffer: new SharedArrayBuffer(MetricCells.BYTES),
    buckets: bucketBounds(),
    announce: ({ offset }) => first = offset ?? 0,
  });
  metrics.counter(FAMILIES.securityDenied, ["first"]);
  return first * Float64Array.BYTES_PER_ELEMENT;
}
