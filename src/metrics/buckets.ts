/** Bucket bounds of the histograms: the defaults of the families, or the operator's own. */
import { ALL_FAMILIES, type HistogramFamily } from "./families.ts";

/** Upper bounds by metric name, in the unit of the metric, strictly ascending. Plain data: can be posted. */
export type BucketBounds = Readonly<Record<string, readonly number[]>>;

/** Room for the bounds of one histogram; a series of each histogram is reserved at this size. */
export const MAX_BOUNDS = 64;

const HISTOGRAMS = ALL_FAMILIES.filter((family): family is HistogramFamily => family.type === "histogram");

/**
 * The bounds of every histogram.
 * @param customMs `monitoring.histogramBucketsMs`: milliseconds by metric name, whatever the metric's unit
 * @throws RangeError if bounds are none, more than MAX_BOUNDS, not above 0 or not strictly ascending
 */
export function bucketBounds(customMs: Readonly<Record<string, readonly number[]>> = {}): BucketBounds {
  return Object.fromEntries(HISTOGRAMS.map((family) => {
    const boundsMs = Object.hasOwn(customMs, family.name) ? customMs[family.name] : undefined;
    return [family.name, boundsMs === undefined ? family.bounds : inUnitOf(family, boundsMs)];
  }));
}

/** The names in `customMs` that no histogram has; they change nothing and deserve a warning. */
export function unknownHistograms(customMs: Readonly<Record<string, readonly number[]>>): string[] {
  return Object.keys(customMs).filter((name) => !HISTOGRAMS.some((family) => family.name === name));
}

export function sameBounds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((bound, index) => bound === b[index]);
}

function inUnitOf(family: HistogramFamily, boundsMs: readonly number[]): number[] {
  const ascending = boundsMs.every((bound, index) =>
    Number.isFinite(bound) && bound > (index === 0 ? 0 : boundsMs[index - 1])
  );
  if (!ascending || boundsMs.length === 0 || boundsMs.length > MAX_BOUNDS) {
    throw new RangeError(
      `cannot use the buckets ${JSON.stringify(boundsMs)} for "${family.name}": ` +
        `1 to ${MAX_BOUNDS} bounds in milliseconds, above 0 and strictly ascending, are wanted`,
    );
  }
  return family.unit === "seconds" ? boundsMs.map((bound) => bound / 1000) : [...boundsMs];
}
