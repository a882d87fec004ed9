import { deepEqual, match } from "node:assert/strict";
import { ALL_FAMILIES } from "../../../src/metrics/families.ts";

Deno.test("the metrics have the names, types and labels that dashboards rely on", () => {
  deepEqual(ALL_FAMILIES.map(({ name, type, labels }) => `${name}{${labels}} ${type}`), [
    "dispa_accept_errors_total{} counter",
    "dispa_active_connections{} gauge",
    "dispa_active_requests{} gauge",
    "dispa_build_info{version,deno} gauge",
    "dispa_config_last_reload_success{} gauge",
    "dispa_config_reloads_total{result} counter",
    "dispa_log_dropped_total{} counter",
    "dispa_log_write_duration_ms{sink} histogram",
    "dispa_log_write_errors_total{sink} counter",
    "dispa_log_writes_total{sink} counter",
    "dispa_mirror_requests_total{target,result} counter",
    "dispa_plugin_cmd_errors_total{plugin,kind} counter",
    "dispa_plugin_cmd_exec_duration_ms{plugin} histogram",
    "dispa_plugin_cmd_timeouts_total{plugin} counter",
    "dispa_plugin_duration_ms{plugin,stage} histogram",
    "dispa_plugin_errors_total{plugin,stage,kind} counter",
    "dispa_plugin_invocations_total{plugin,stage} counter",
    "dispa_plugin_short_circuits_total{plugin,stage} counter",
    "dispa_request_body_stream_bytes_total{limited} counter",
    "dispa_request_body_stream_chunks_total{limited} counter",
    "dispa_request_duration_seconds{} histogram",
    "dispa_requests_total{domain,method,status} counter",
    "dispa_retries_refused_total{reason} counter",
    "dispa_retries_total{cause} counter",
    "dispa_security_denied_total{kind} counter",
    "dispa_target_active_connections{target} gauge",
    "dispa_target_circuit_changes_total{target,to} counter",
    "dispa_target_circuit_state{target} gauge",
    "dispa_target_errors_total{target,kind} counter",
    "dispa_target_health_check_duration_ms{target} histogram",
    "dispa_target_healthy{target} gauge",
    "dispa_target_requests_total{target,status} counter",
    "dispa_tls_certificate_expiry_timestamp_seconds{domain} gauge",
    "dispa_uptime_seconds{} gauge",
    "dispa_waiting_requests{} gauge",
    "dispa_waits_refused_total{reason} counter",
    "dispa_websocket_bytes_total{direction} counter",
    "dispa_websocket_closed_total{cause} counter",
    "dispa_websocket_connections{} gauge",
    "dispa_websocket_messages_total{direction} counter",
    "dispa_worker_restarts_total{} counter",
    "process_cpu_seconds_total{} counter",
    "process_max_fds{} gauge",
    "process_open_fds{} gauge",
    "process_resident_memory_bytes{} gauge",
    "process_start_time_seconds{} gauge",
    "process_virtual_memory_bytes{} gauge",
  ]);
});

Deno.test("a metric's name tells its unit, and counters end in `_total`", () => {
  for (const { name, type, unit } of ALL_FAMILIES) {
    if (unit !== "none") match(name, new RegExp(`_${unit}(_total)?$`));
    if (type === "counter") match(name, /_total$/);
  }
});
