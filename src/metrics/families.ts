/**
 * Every metric of Dispa (DESIGN 8): the one place that knows a name, a label or a help text. A family that
 * has labels and was never counted is not exported at all, so a family of a feature that is off costs one
 * reserved cell a thread.
 */

interface FamilyOf<Type extends string> {
  type: Type;
  name: string;
  help: string;
  labels: readonly string[];
  unit: "seconds" | "ms" | "bytes" | "none";
}

export interface CounterFamily extends FamilyOf<"counter"> {
  /** Without labels and counted by Dispa itself: exported as 0 before anything has been counted. */
  fromZero?: true;
}

export interface GaugeFamily extends FamilyOf<"gauge"> {
  fromZero?: true;
}

export interface HistogramFamily extends FamilyOf<"histogram"> {
  fromZero?: true;
  unit: "seconds" | "ms";
  /** Default upper bounds in the family's unit; `[[monitoring.histogram_buckets]]` replaces them. */
  bounds: readonly number[];
}

export type ScalarFamily = CounterFamily | GaugeFamily;
export type MetricFamily = ScalarFamily | HistogramFamily;

/** One value for each label of a family, in the family's order. */
export type LabelValues<Labels extends readonly string[]> = { readonly [Index in keyof Labels]: string };

/** A family whose label names the compiler knows, so that it can check the label values against them. */
export type Labelled<Family extends MetricFamily, Labels extends readonly string[]> =
  & Family
  & { labels: Labels };

/** What every label value becomes beyond the cap on label sets. */
export const OTHER = "other";

const TARGET_CHECK_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];
const IN_PROCESS_BOUNDS_MS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000];

export const FAMILIES = {
  requests: {
    type: "counter",
    name: "dispa_requests_total",
    help: "Requests answered, by the domain rule that matched, method and status sent to the client.",
    labels: ["domain", "method", "status"],
    unit: "none",
  },
  requestDuration: {
    type: "histogram",
    name: "dispa_request_duration_seconds",
    help: "Time from a request's arrival to the end of its answer's body.",
    labels: [],
    unit: "seconds",
    bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    fromZero: true,
  },
  activeConnections: {
    type: "gauge",
    name: "dispa_active_connections",
    help: "Client connections open now.",
    labels: [],
    unit: "none",
  },
  acceptErrors: {
    type: "counter",
    name: "dispa_accept_errors_total",
    help: "Attempts to accept a client connection that failed, mostly for want of file descriptors.",
    labels: [],
    unit: "none",
    fromZero: true,
  },
  tlsCertificateExpiry: {
    type: "gauge",
    name: "dispa_tls_certificate_expiry_timestamp_seconds",
    help:
      "When the certificate for a domain expires, since the Unix epoch; * is the one for all other names.",
    labels: ["domain"],
    unit: "seconds",
  },
  activeRequests: {
    type: "gauge",
    name: "dispa_active_requests",
    help: "Requests in flight now.",
    labels: [],
    unit: "none",
    fromZero: true,
  },
  targetHealthy: {
    type: "gauge",
    name: "dispa_target_healthy",
    help: "1 unless the health checks found the target unhealthy, then 0.",
    labels: ["target"],
    unit: "none",
  },
  targetRequests: {
    type: "counter",
    name: "dispa_target_requests_total",
    help: "Answers received from a target, by status.",
    labels: ["target", "status"],
    unit: "none",
  },
  targetErrors: {
    type: "counter",
    name: "dispa_target_errors_total",
    help: "Attempts to reach a target that ended without a whole answer, by kind of failure.",
    labels: ["target", "kind"],
    unit: "none",
  },
  targetActiveConnections: {
    type: "gauge",
    name: "dispa_target_active_connections",
    help: "Requests in flight to a target now.",
    labels: ["target"],
    unit: "none",
  },
  targetCircuitState: {
    type: "gauge",
    name: "dispa_target_circuit_state",
    help: "Circuit of a target: 0 closed, 1 half-open, 2 open.",
    labels: ["target"],
    unit: "none",
  },
  targetCircuitChanges: {
    type: "counter",
    name: "dispa_target_circuit_changes_total",
    help: "Changes of a target's circuit, by the state it came into: open, half_open or closed.",
    labels: ["target", "to"],
    unit: "none",
  },
  waitingRequests: {
    type: "gauge",
    name: "dispa_waiting_requests",
    help: "Requests that wait now because every usable target is at its max_connections.",
    labels: [],
    unit: "none",
  },
  waitsRefused: {
    type: "counter",
    name: "dispa_waits_refused_total",
    help: "Requests that found every usable target at its max_connections and got none, by reason.",
    labels: ["reason"],
    unit: "none",
  },
  bodyStreamChunks: {
    type: "counter",
    name: "dispa_request_body_stream_chunks_total",
    help: "Pieces that bodies of requests came in, by whether security.ddos.max_body_bytes limits them.",
    labels: ["limited"],
    unit: "none",
  },
  bodyStreamBytes: {
    type: "counter",
    name: "dispa_request_body_stream_bytes_total",
    help: "Bytes of bodies of requests, by whether security.ddos.max_body_bytes limits them.",
    labels: ["limited"],
    unit: "bytes",
  },
  mirrorRequests: {
    type: "counter",
    name: "dispa_mirror_requests_total",
    help: "Copies of requests by the mirror of a routing rule: answered, failed, too_large, too_many, cut.",
    labels: ["target", "result"],
    unit: "none",
  },
  retries: {
    type: "counter",
    name: "dispa_retries_total",
    help: "Attempts after the first one, by what went wrong before: a kind of failure, or status.",
    labels: ["cause"],
    unit: "none",
  },
  retriesRefused: {
    type: "counter",
    name: "dispa_retries_refused_total",
    help: "Failed attempts of a kind that is tried again, but were not, by reason.",
    labels: ["reason"],
    unit: "none",
  },
  targetHealthCheckDuration: {
    type: "histogram",
    name: "dispa_target_health_check_duration_ms",
    help: "Time of one health check of a target, in milliseconds.",
    labels: ["target"],
    unit: "ms",
    bounds: TARGET_CHECK_BOUNDS_MS,
  },
  logWriteDuration: {
    type: "histogram",
    name: "dispa_log_write_duration_ms",
    help: "Time of one batch written to a sink of the traffic log, in milliseconds.",
    labels: ["sink"],
    unit: "ms",
    bounds: [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000],
  },
  logWrites: {
    type: "counter",
    name: "dispa_log_writes_total",
    help: "Traffic records written to a sink.",
    labels: ["sink"],
    unit: "none",
  },
  logWriteErrors: {
    type: "counter",
    name: "dispa_log_write_errors_total",
    help: "Writes to a sink of the traffic log that failed.",
    labels: ["sink"],
    unit: "none",
  },
  logDropped: {
    type: "counter",
    name: "dispa_log_dropped_total",
    help: "Traffic records lost because a queue or the spool was full.",
    labels: [],
    unit: "none",
    fromZero: true,
  },
  pluginInvocations: {
    type: "counter",
    name: "dispa_plugin_invocations_total",
    help: "Calls of a plugin.",
    labels: ["plugin", "stage"],
    unit: "none",
  },
  pluginShortCircuits: {
    type: "counter",
    name: "dispa_plugin_short_circuits_total",
    help: "Requests that a plugin answered itself.",
    labels: ["plugin", "stage"],
    unit: "none",
  },
  pluginDuration: {
    type: "histogram",
    name: "dispa_plugin_duration_ms",
    help: "Time of one call of a plugin, in milliseconds.",
    labels: ["plugin", "stage"],
    unit: "ms",
    bounds: IN_PROCESS_BOUNDS_MS,
  },
  pluginErrors: {
    type: "counter",
    name: "dispa_plugin_errors_total",
    help: "Calls of a plugin that failed, by kind of failure.",
    labels: ["plugin", "stage", "kind"],
    unit: "none",
  },
  pluginCommandDuration: {
    type: "histogram",
    name: "dispa_plugin_cmd_exec_duration_ms",
    help: "Time of one run of a command plugin's program, in milliseconds.",
    labels: ["plugin"],
    unit: "ms",
    bounds: TARGET_CHECK_BOUNDS_MS,
  },
  pluginCommandErrors: {
    type: "counter",
    name: "dispa_plugin_cmd_errors_total",
    help: "Runs of a command plugin's program that failed, by kind of failure.",
    labels: ["plugin", "kind"],
    unit: "none",
  },
  pluginCommandTimeouts: {
    type: "counter",
    name: "dispa_plugin_cmd_timeouts_total",
    help: "Runs of a command plugin's program that were ended by its time-out.",
    labels: ["plugin"],
    unit: "none",
  },
  securityDenied: {
    type: "counter",
    name: "dispa_security_denied_total",
    help: "Requests refused by a security rule, by the rule's kind.",
    labels: ["kind"],
    unit: "none",
  },
  websocketConnections: {
    type: "gauge",
    name: "dispa_websocket_connections",
    help: "WebSockets open now.",
    labels: [],
    unit: "none",
    fromZero: true,
  },
  websocketMessages: {
    type: "counter",
    name: "dispa_websocket_messages_total",
    help: "WebSocket messages passed on, by direction (to_target, to_client).",
    labels: ["direction"],
    unit: "none",
  },
  websocketBytes: {
    type: "counter",
    name: "dispa_websocket_bytes_total",
    help: "Payload bytes of the WebSocket messages passed on, by direction (to_target, to_client).",
    labels: ["direction"],
    unit: "bytes",
  },
  websocketClosed: {
    type: "counter",
    name: "dispa_websocket_closed_total",
    help: "WebSockets that have ended, by cause.",
    labels: ["cause"],
    unit: "none",
  },
  configReloads: {
    type: "counter",
    name: "dispa_config_reloads_total",
    help: "Reloads of the configuration, by result.",
    labels: ["result"],
    unit: "none",
  },
  configLastReloadSuccess: {
    type: "gauge",
    name: "dispa_config_last_reload_success",
    help: "1 if the last reload of the configuration was taken, 0 if it was refused.",
    labels: [],
    unit: "none",
  },
  workerRestarts: {
    type: "counter",
    name: "dispa_worker_restarts_total",
    help: "Threads that died and were replaced.",
    labels: [],
    unit: "none",
    fromZero: true,
  },
  buildInfo: {
    type: "gauge",
    name: "dispa_build_info",
    help: "Always 1; the labels say which version runs on which Deno.",
    labels: ["version", "deno"],
    unit: "none",
  },
  uptime: {
    type: "gauge",
    name: "dispa_uptime_seconds",
    help: "Time since Dispa started.",
    labels: [],
    unit: "seconds",
  },
  processCpu: {
    type: "counter",
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent.",
    labels: [],
    unit: "seconds",
  },
  processResidentMemory: {
    type: "gauge",
    name: "process_resident_memory_bytes",
    help: "Resident memory size.",
    labels: [],
    unit: "bytes",
  },
  processVirtualMemory: {
    type: "gauge",
    name: "process_virtual_memory_bytes",
    help: "Virtual memory size.",
    labels: [],
    unit: "bytes",
  },
  processOpenFds: {
    type: "gauge",
    name: "process_open_fds",
    help: "Number of open file descriptors.",
    labels: [],
    unit: "none",
  },
  processMaxFds: {
    type: "gauge",
    name: "process_max_fds",
    help: "Maximum number of open file descriptors.",
    labels: [],
    unit: "none",
  },
  processStartTime: {
    type: "gauge",
    name: "process_start_time_seconds",
    help: "Start time of the process since the Unix epoch.",
    labels: [],
    unit: "seconds",
  },
} as const satisfies Record<string, MetricFamily>;

/** All families, by name in ascending order: the order of the export. */
export const ALL_FAMILIES: readonly MetricFamily[] = Object.values<MetricFamily>(FAMILIES)
  .sort((a, b) => a.name < b.name ? -1 : 1);

/** Identifies a label set within its family. */
export function labelKey(labels: readonly string[]): string {
  return JSON.stringify(labels);
}
