/** `[monitoring]`: the health, metrics and admin listeners, and the buckets of histograms. */
import * as z from "zod";
import { parseHostname } from "../address.ts";
import { field, flag, list, parsedText, port, table } from "../fields.ts";
import type { MonitoringConfig } from "../model.ts";

/** The histograms that buckets can be set for (DESIGN 8). */
export const HISTOGRAMS = [
  "dispa_request_duration_seconds",
  "dispa_target_health_check_duration_ms",
  "dispa_log_write_duration_ms",
  "dispa_plugin_duration_ms",
  "dispa_plugin_cmd_exec_duration_ms",
];

const MAX_BUCKETS = 100;
const bucketsWanted = `1 to ${MAX_BUCKETS} rising numbers above 0, in milliseconds`;

export const histogramSchema = table({
  metric: field(
    z.string({ error: "a metric's name in quotes" })
      .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$/, { error: "a metric's name: letters, digits, _ and :" }),
    "Name of the histogram.",
  ),
  buckets_ms: field(
    z.array(z.number({ error: "a number above 0" }).gt(0, { error: "a number above 0" }), {
      error: bucketsWanted,
    })
      .min(1, { error: bucketsWanted })
      .max(MAX_BUCKETS, { error: bucketsWanted })
      .refine((bounds) => bounds.every((bound, index) => index === 0 || bound > bounds[index - 1]), {
        error: bucketsWanted,
      }),
    "Upper bounds of the buckets in milliseconds, rising, also for metrics in seconds.",
  ),
});

export const monitoringSchema = table({
  enabled: field(flag().prefault(true), "Whether the health and metrics listeners run."),
  bind_address: field(
    parsedText("a host name or IP address in quotes", parseHostname).prefault("0.0.0.0"),
    "Host name or IP address, without a port, that the health, metrics and admin listeners bind to.",
  ),
  metrics_port: field(port().prefault(9090), "Port of /metrics and /admin; 0 takes a free one."),
  health_check_port: field(port().prefault(8081), "Port of /health, /ready and /live; 0 takes a free one."),
  histogram_buckets: field(
    list(histogramSchema, 100, "[[monitoring.histogram_buckets]]").prefault([]),
    "Buckets of histograms that shall not have the built-in ones.",
  ),
});

export function monitoringFromFile(file: z.output<typeof monitoringSchema>): MonitoringConfig {
  return {
    enabled: file.enabled,
    bindHostname: file.bind_address,
    metricsPort: file.metrics_port,
    healthCheckPort: file.health_check_port,
    histogramBucketsMs: Object.fromEntries(
      file.histogram_buckets.map(({ metric, buckets_ms }) => [metric, buckets_ms]),
    ),
  };
}

export function monitoringToFile(monitoring: MonitoringConfig): z.input<typeof monitoringSchema> {
  return {
    enabled: monitoring.enabled,
    bind_address: monitoring.bindHostname,
    metrics_port: monitoring.metricsPort,
    health_check_port: monitoring.healthCheckPort,
    histogram_buckets: Object.entries(monitoring.histogramBucketsMs)
      .map(([metric, buckets_ms]) => ({ metric, buckets_ms })),
  };
}
