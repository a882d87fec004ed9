/** Reading single families out of a gathering of all metrics. */
import type { FamilySnapshot, HistogramSeries, MetricFamily, ScalarSeries } from "../metrics/mod.ts";

export function scalars(metrics: readonly FamilySnapshot[], { name }: MetricFamily): ScalarSeries[] {
  const found = metrics.find(({ family }) => family.name === name);
  return found?.kind === "scalar" ? found.series : [];
}

export function histograms(metrics: readonly FamilySnapshot[], { name }: MetricFamily): HistogramSeries[] {
  const found = metrics.find(({ family }) => family.name === name);
  return found?.kind === "histogram" ? found.series : [];
}

export function count(series: readonly ScalarSeries[]): number {
  return series.reduce((sum, { value }) => sum + value, 0);
}

/** Sums by the value of one label. */
export function grouped(series: readonly ScalarSeries[], label: number): Record<string, number> {
  const groups = Map.groupBy(series, ({ labels }) => labels[label]);
  return Object.fromEntries(Array.from(groups, ([value, members]) => [value, count(members)]));
}
