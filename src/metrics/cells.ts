/**
 * The metrics of one thread: a block of Float64 cells in shared memory that only this thread writes and the
 * control thread's exporter reads.
 *
 *     reserved     one series a family: its only one if it has no labels, else the one labelled `other`
 *                  (histograms: twice, at full size, so that a change of buckets always finds a place)
 *     the rest     a cell for each counter and gauge, bounds + 2 for each histogram (histogram_cells.ts),
 *                  in the order in which their label sets came up
 *
 * Cells are written with plain stores. That is enough because each has one writer, so no addition can be
 * lost, and because an aligned 64-bit store is one indivisible store on x86-64 and arm64, so a reader sees
 * the old value or the new one, never half of each (ECMAScript itself promises that only to Atomics, which
 * know no Float64Array). The reader may be a moment late; a scrape always is. A Float64 counts exactly to
 * 2^53: 2,800 years at 100,000 a second.
 */
import { type BucketBounds, MAX_BOUNDS, sameBounds } from "./buckets.ts";
import {
  ALL_FAMILIES,
  type CounterFamily,
  type GaugeFamily,
  type HistogramFamily,
  labelKey,
  type Labelled,
  type LabelValues,
  type MetricFamily,
  OTHER,
  type ScalarFamily,
} from "./families.ts";
import { HistogramCells } from "./histogram_cells.ts";

/** What the control thread must be told to find a series. Plain data: can be posted. */
export interface SeriesAnnouncement {
  /** Name of the family. */
  family: string;
  labels: readonly string[];
  /** First cell in the thread's block; null: the series is no longer counted apart from `other`. */
  offset: number | null;
  /** Bounds of a histogram in its family's unit; null for counters and gauges. */
  bounds: readonly number[] | null;
}

export interface MetricCellsOptions {
  /** Zeroed, not used by another thread, usually of `MetricCells.BYTES`. */
  buffer: SharedArrayBuffer;
  /** Called once for every new series, before anything is counted in it. Must not throw. */
  announce(series: SeriesAnnouncement): void;
  /** From `bucketBounds()`. */
  buckets: BucketBounds;
  /** Label sets a family may have in this thread; all beyond are counted as `other`. Default 1,000. */
  maxLabelSets?: number;
}

interface Scalars {
  family: ScalarFamily;
  byLabels: Map<string, number>;
  reserved: number;
  reservedAnnounced: boolean;
}

interface Histogram {
  labels: readonly string[];
  cells: HistogramCells;
  /** How much is taken from `cells.offset` on; 0: it counts into `other`. */
  capacity: number;
}

interface Histograms {
  family: HistogramFamily;
  byLabels: Map<string, Histogram>;
  bounds: readonly number[];
  reserved: HistogramCells;
  reservedAnnounced: boolean;
  /** Offset of the other reserved place. */
  spare: number;
}

interface Region {
  offset: number;
  size: number;
}

const CELLS = 32_768;
const DEFAULT_MAX_LABEL_SETS = 1000;
const RESERVED_HISTOGRAM = HistogramCells.size(MAX_BOUNDS);

export class MetricCells {
  static readonly BYTES = CELLS * Float64Array.BYTES_PER_ELEMENT;

  readonly #cells: Float64Array;
  readonly #announce: (series: SeriesAnnouncement) => void;
  readonly #maxLabelSets: number;
  readonly #scalars = new Map<string, Scalars>();
  readonly #histograms = new Map<string, Histograms>();
  #next = 0;
  #free: Region[] = [];
  #replaced: Region[] = [];

  /** @throws RangeError if the buffer cannot hold the reserved series */
  constructor({ buffer, announce, buckets, maxLabelSets = DEFAULT_MAX_LABEL_SETS }: MetricCellsOptions) {
    this.#cells = new Float64Array(buffer);
    this.#announce = announce;
    this.#maxLabelSets = maxLabelSets;
    for (const family of ALL_FAMILIES) {
      if (family.type === "histogram") this.#reserveHistogram(family, buckets[family.name]);
      else this.#reserveScalar(family);
    }
    if (this.#next > this.#cells.length) {
      throw new RangeError(
        `cannot lay out metrics in ${buffer.byteLength} bytes: ` +
          `at least ${this.#next * Float64Array.BYTES_PER_ELEMENT} are wanted`,
      );
    }
  }

  /**
   * The cell of a counter. Never throws: beyond the cap, or when the block is full, it is the cell of the
   * family's `other` series. Look it up once and keep it; a look-up costs a few hundred nanoseconds.
   */
  counter<L extends readonly string[]>(family: Labelled<CounterFamily, L>, labels: LabelValues<L>): number {
    return this.#scalar(family, labels);
  }

  /** The cell of a gauge, as with `counter`. What is exported is the sum over all threads. */
  gauge<L extends readonly string[]>(family: Labelled<GaugeFamily, L>, labels: LabelValues<L>): number {
    return this.#scalar(family, labels);
  }

  add(cell: number, n: number): void {
    this.#cells[cell] += n;
  }

  set(cell: number, value: number): void {
    this.#cells[cell] = value;
  }

  /** The histogram of a label set, as with `counter`. Stays valid over `setBuckets`. */
  histogram<L extends readonly string[]>(
    family: Labelled<HistogramFamily, L>,
    labels: LabelValues<L>,
  ): HistogramCells {
    const values: readonly string[] = labels;
    const histograms = this.#histograms.get(family.name)!;
    if (isReserved(values)) return this.#reservedHistogram(histograms);
    const key = labelKey(values);
    const known = histograms.byLabels.get(key);
    if (known !== undefined) return known.cells;
    const region = histograms.byLabels.size < this.#maxLabelSets
      ? this.#allocate(HistogramCells.size(histograms.bounds.length))
      : null;
    if (region === null) return this.#reservedHistogram(histograms);
    const cells = new HistogramCells(this.#cells, region.offset, histograms.bounds);
    const histogram = { labels: [...values], cells, capacity: region.size };
    histograms.byLabels.set(key, histogram);
    this.#announceHistogram(histograms, histogram.labels, region.offset);
    return cells;
  }

  /**
   * Takes new bucket bounds. Histograms whose bounds change restart from nothing at another place and are
   * announced again; the others, and all counters, stay. Cells given up are used again only from the next
   * call on: the control thread must have seen the announcements of one call before it causes another, else
   * it could read a histogram's new cells under its old bounds.
   */
  setBuckets(buckets: BucketBounds): void {
    this.#free.push(...this.#replaced);
    this.#replaced = [];
    for (const histograms of this.#histograms.values()) {
      const bounds = buckets[histograms.family.name];
      if (!sameBounds(bounds, histograms.bounds)) this.#replaceBounds(histograms, bounds);
    }
  }

  #replaceBounds(histograms: Histograms, bounds: readonly number[]): void {
    histograms.bounds = bounds;
    const { reserved, spare } = histograms;
    histograms.spare = reserved.offset;
    this.#cells.fill(0, spare, spare + RESERVED_HISTOGRAM);
    reserved.place(spare, bounds);
    if (histograms.reservedAnnounced) {
      histograms.reservedAnnounced = false;
      this.#reservedHistogram(histograms);
    }
    for (const histogram of histograms.byLabels.values()) {
      if (histogram.capacity > 0) {
        this.#replaced.push({ offset: histogram.cells.offset, size: histogram.capacity });
      }
      const region = this.#allocate(HistogramCells.size(bounds.length));
      if (region === null) this.#reservedHistogram(histograms);
      histogram.capacity = region?.size ?? 0;
      histogram.cells.place(region?.offset ?? reserved.offset, bounds);
      this.#announceHistogram(histograms, histogram.labels, region?.offset ?? null);
    }
  }

  #announceHistogram({ family, bounds }: Histograms, labels: readonly string[], offset: number | null): void {
    this.#announce({ family: family.name, labels, offset, bounds });
  }

  #scalar(family: ScalarFamily, labels: readonly string[]): number {
    const scalars = this.#scalars.get(family.name)!;
    if (isReserved(labels)) return this.#reservedScalar(scalars);
    const key = labelKey(labels);
    const known = scalars.byLabels.get(key);
    if (known !== undefined) return known;
    const cell = scalars.byLabels.size < this.#maxLabelSets ? this.#allocate(1) : null;
    if (cell === null) return this.#reservedScalar(scalars);
    scalars.byLabels.set(key, cell.offset);
    this.#announce({ family: family.name, labels: [...labels], offset: cell.offset, bounds: null });
    return cell.offset;
  }

  /** Zeroed cells, or null if the block is full. */
  #allocate(size: number): Region | null {
    const index = this.#free.findIndex((region) => region.size >= size);
    if (index >= 0) {
      const [region] = this.#free.splice(index, 1);
      this.#cells.fill(0, region.offset, region.offset + region.size);
      return region;
    }
    if (this.#next + size > this.#cells.length) return null;
    const region = { offset: this.#next, size };
    this.#next += size;
    return region;
  }

  #reserve(size: number): number {
    const offset = this.#next;
    this.#next += size;
    return offset;
  }

  #reserveScalar(family: ScalarFamily): void {
    const reserved = this.#reserve(1);
    this.#scalars.set(family.name, { family, byLabels: new Map(), reserved, reservedAnnounced: false });
  }

  #reserveHistogram(family: HistogramFamily, bounds: readonly number[]): void {
    this.#histograms.set(family.name, {
      family,
      byLabels: new Map(),
      bounds,
      reserved: new HistogramCells(this.#cells, this.#reserve(RESERVED_HISTOGRAM), bounds),
      reservedAnnounced: false,
      spare: this.#reserve(RESERVED_HISTOGRAM),
    });
  }

  #reservedScalar(scalars: Scalars): number {
    if (!scalars.reservedAnnounced) {
      scalars.reservedAnnounced = true;
      const { family, reserved } = scalars;
      this.#announce({ family: family.name, labels: reservedLabels(family), offset: reserved, bounds: null });
    }
    return scalars.reserved;
  }

  #reservedHistogram(histograms: Histograms): HistogramCells {
    if (!histograms.reservedAnnounced) {
      histograms.reservedAnnounced = true;
      const { family, reserved } = histograms;
      this.#announceHistogram(histograms, reservedLabels(family), reserved.offset);
    }
    return histograms.reserved;
  }
}

/** Without labels, or already the label set that overflow goes to. */
function isReserved(labels: readonly string[]): boolean {
  return labels.every((value) => value === OTHER);
}

function reservedLabels(family: MetricFamily): string[] {
  return family.labels.map(() => OTHER);
}
