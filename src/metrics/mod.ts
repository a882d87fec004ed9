/** Metrics over shared memory: counted by every thread in a block of its own, added up at a scrape. */
export { type BucketBounds, bucketBounds, MAX_BOUNDS, unknownHistograms } from "./buckets.ts";
export { MetricCells, type MetricCellsOptions, type SeriesAnnouncement } from "./cells.ts";
export { exposition, EXPOSITION_CONTENT_TYPE } from "./exposition.ts";
export { FAMILIES, type MetricFamily, OTHER } from "./families.ts";
export type { HistogramCells } from "./histogram_cells.ts";
export { type MetricsJson, metricsJson, quantile, type RuntimeStatus } from "./json.ts";
export { PluginMetrics, type PluginStageMetrics } from "./plugin_metrics.ts";
export { collectProcess } from "./process.ts";
export { type FamilySnapshot, type HistogramSeries, MetricRegistry, type ScalarSeries } from "./registry.ts";
export { RequestMetrics, type TargetMetrics } from "./request_metrics.ts";
export { collectTargets, type TargetSlot, type TargetStatus, targetStatuses } from "./targets.ts";
export { WebSocketMetrics } from "./websocket_metrics.ts";
