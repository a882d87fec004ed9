/**
 * The control thread's view of all metrics: what every thread has counted in its block, added up by label
 * set, what dead threads had counted, and values computed at the moment of a scrape.
 */
import { type BucketBounds, sameBounds } from "./buckets.ts";
import type { SeriesAnnouncement } from "./cells.ts";
import {
  ALL_FAMILIES,
  type HistogramFamily,
  labelKey,
  type Labelled,
  type LabelValues,
  type MetricFamily,
  OTHER,
  type ScalarFamily,
} from "./families.ts";
import { HistogramCells } from "./histogram_cells.ts";

export interface ScalarSeries {
  labels: readonly string[];
  value: number;
}

export interface HistogramSeries {
  labels: readonly string[];
  /** Upper bounds, in the family's unit. */
  bounds: readonly number[];
  /** Observations in each bucket, not cumulative; the last one counts those above all bounds. */
  counts: number[];
  count: number;
  sum: number;
}

/** One family at one moment; its series in ascending order of their label values. */
export type FamilySnapshot =
  | { kind: "scalar"; family: ScalarFamily; series: ScalarSeries[] }
  | { kind: "histogram"; family: HistogramFamily; series: HistogramSeries[] };

interface Thread {
  cells: Float64Array;
  series: Map<string, Map<string, SeriesAnnouncement>>;
}

interface Collector {
  family: ScalarFamily;
  read: () => Iterable<ScalarSeries>;
}

type ScalarSums = Map<string, ScalarSeries>;
type HistogramSums = Map<string, HistogramSeries>;

/** Label sets of one family that are remembered of dead threads; beyond, they are added to `other`. */
const MAX_RETIRED_LABEL_SETS = 1000;

export class MetricRegistry {
  readonly #threads = new Map<number, Thread>();
  readonly #collectors: Collector[] = [];
  readonly #retiredScalars = new Map<string, ScalarSums>();
  readonly #retiredHistograms = new Map<string, HistogramSums>();
  #buckets: BucketBounds;

  /** @param buckets from `bucketBounds()`, the same that the threads get */
  constructor(buckets: BucketBounds) {
    this.#buckets = buckets;
  }

  /**
   * Reads a thread's block from now on.
   * @throws Error if the thread is attached already: a thread that replaces another has an id of its own
   */
  attach(threadId: number, buffer: SharedArrayBuffer): void {
    if (this.#threads.has(threadId)) {
      throw new Error(`cannot attach the metrics of thread ${threadId}: it is attached already`);
    }
    this.#threads.set(threadId, { cells: new Float64Array(buffer), series: new Map() });
  }

  /** Takes note of a thread's series. One of a thread that is retired by now is ignored: it came too late. */
  announce(threadId: number, series: SeriesAnnouncement): void {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return;
    const known = entry(thread.series, series.family, () => new Map<string, SeriesAnnouncement>());
    known.set(labelKey(series.labels), series);
  }

  /**
   * Lets go of a dead thread's block. What it had counted stays in the sums, so that no counter goes down;
   * its gauges vanish with what they measured.
   */
  retire(threadId: number): void {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return;
    this.#threads.delete(threadId);
    for (const family of ALL_FAMILIES) {
      if (family.type === "counter") {
        const sums = entry(this.#retiredScalars, family.name, () => new Map());
        for (const series of readScalars(thread, family)) addScalar(sums, series, MAX_RETIRED_LABEL_SETS);
      } else if (family.type === "histogram") {
        const sums = entry(this.#retiredHistograms, family.name, () => new Map());
        for (const series of readHistograms(thread, family, this.#buckets[family.name])) {
          addHistogram(sums, series, MAX_RETIRED_LABEL_SETS);
        }
      }
    }
  }

  /**
   * Takes new bucket bounds; to be called before the threads are told. A histogram whose bounds change
   * restarts from nothing, and a thread's share is missing from it until the thread has announced it anew.
   */
  setBuckets(buckets: BucketBounds): void {
    for (const [name, bounds] of Object.entries(buckets)) {
      if (!sameBounds(bounds, this.#buckets[name])) this.#retiredHistograms.delete(name);
    }
    this.#buckets = buckets;
  }

  /**
   * Asks `read` for a family's series at every scrape and adds them to what the threads counted. `read` runs
   * on the scrape's path: it must be quick and must not throw.
   */
  collect<L extends readonly string[]>(
    family: Labelled<ScalarFamily, L>,
    read: () => Iterable<{ labels: LabelValues<L>; value: number }>,
  ): void {
    this.#collectors.push({ family, read });
  }

  /** All families that have a series, by name in ascending order. */
  gather(): FamilySnapshot[] {
    return ALL_FAMILIES.map((family) => this.#snapshot(family)).filter(({ series }) => series.length > 0);
  }

  #snapshot(family: MetricFamily): FamilySnapshot {
    return family.type === "histogram"
      ? { kind: "histogram", family, series: sorted(this.#histogramSums(family)) }
      : { kind: "scalar", family, series: sorted(this.#scalarSums(family)) };
  }

  #scalarSums(family: ScalarFamily): ScalarSums {
    const sums: ScalarSums = new Map();
    if (family.fromZero) addScalar(sums, { labels: [], value: 0 });
    for (const series of this.#retiredScalars.get(family.name)?.values() ?? []) addScalar(sums, series);
    for (const thread of this.#threads.values()) {
      for (const series of readScalars(thread, family)) addScalar(sums, series);
    }
    for (const collector of this.#collectors) {
      if (collector.family.name !== family.name) continue;
      for (const series of collector.read()) addScalar(sums, series);
    }
    return sums;
  }

  #histogramSums(family: HistogramFamily): HistogramSums {
    const sums: HistogramSums = new Map();
    const bounds = this.#buckets[family.name];
    if (family.fromZero) {
      addHistogram(sums, { labels: [], bounds, counts: bounds.map(() => 0).concat(0), count: 0, sum: 0 });
    }
    for (const series of this.#retiredHistograms.get(family.name)?.values() ?? []) addHistogram(sums, series);
    for (const thread of this.#threads.values()) {
      for (const series of readHistograms(thread, family, bounds)) addHistogram(sums, series);
    }
    return sums;
  }
}

function* readScalars(thread: Thread, family: ScalarFamily): Generator<ScalarSeries> {
  for (const { labels, offset } of thread.series.get(family.name)?.values() ?? []) {
    if (offset !== null) yield { labels, value: thread.cells[offset] };
  }
}

/** Series under other bounds than the wanted ones are left out: their thread is about to announce new ones. */
function* readHistograms(
  thread: Thread,
  family: HistogramFamily,
  wanted: readonly number[],
): Generator<HistogramSeries> {
  for (const { labels, offset, bounds } of thread.series.get(family.name)?.values() ?? []) {
    if (offset === null || bounds === null || !sameBounds(bounds, wanted)) continue;
    const end = offset + HistogramCells.size(bounds.length) - 1;
    const counts = Array.from(thread.cells.subarray(offset, end));
    const count = counts.reduce((total, n) => total + n, 0);
    yield { labels, bounds, counts, count, sum: thread.cells[end] };
  }
}

function addScalar(sums: ScalarSums, series: ScalarSeries, maxLabelSets = Infinity): void {
  const { key, labels } = place(sums, series.labels, maxLabelSets);
  const sum = sums.get(key);
  if (sum === undefined) sums.set(key, { labels, value: series.value });
  else sum.value += series.value;
}

function addHistogram(sums: HistogramSums, series: HistogramSeries, maxLabelSets = Infinity): void {
  const { key, labels } = place(sums, series.labels, maxLabelSets);
  const sum = sums.get(key);
  if (sum === undefined) {
    sums.set(key, { ...series, labels, counts: [...series.counts] });
    return;
  }
  series.counts.forEach((n, bucket) => sum.counts[bucket] += n);
  sum.count += series.count;
  sum.sum += series.sum;
}

/** Where a label set is added: its own sum, or `other` if it is new and there are too many. */
function place(
  sums: Map<string, unknown>,
  labels: readonly string[],
  maxLabelSets: number,
): { key: string; labels: readonly string[] } {
  const key = labelKey(labels);
  if (sums.size < maxLabelSets || sums.has(key)) return { key, labels };
  const others = labels.map(() => OTHER);
  return { key: labelKey(others), labels: others };
}

function sorted<Series extends { labels: readonly string[] }>(sums: Map<string, Series>): Series[] {
  return [...sums.values()].sort((a, b) => {
    const index = a.labels.findIndex((value, i) => value !== b.labels[i]);
    return index < 0 ? 0 : a.labels[index] < b.labels[index] ? -1 : 1;
  });
}

function entry<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}
