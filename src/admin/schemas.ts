/** The types of `api.ts` as schemas, for the OpenAPI document and for tests that hold real answers against them. */
import * as z from "zod";
import { ERROR_STATUS, type ErrorCode } from "../http/refusal.ts";
import type * as api from "./api.ts";

const counts = z.record(z.string(), z.number());
const time = z.iso.datetime();
const targetState = z.enum(["unknown", "healthy", "unhealthy"]);
const forcedState = z.enum(["healthy", "unhealthy"]);
const role = z.enum(["viewer", "editor", "admin"]);
const stage = z.enum(["request", "response", "both"]);

const configProblem = z.strictObject({
  severity: z.enum(["error", "warning"]),
  line: z.int().nullable(),
  column: z.int().nullable(),
  key: z.string(),
  message: z.string(),
});

const failure = z.strictObject({
  error: z.strictObject({
    code: z.enum([
      "bad_request",
      "unauthorized",
      "forbidden",
      "cross_site",
      "not_found",
      "method_not_allowed",
      "conflict",
      "stale",
      "too_large",
      "invalid_config",
      "too_many_attempts",
      "too_many_listeners",
      "unavailable",
      "internal",
    ]),
    message: z.string(),
    problems: z.array(configProblem).optional(),
  }),
});

const component = z.strictObject({
  state: z.enum(["ok", "degraded", "failed", "off"]),
  message: z.string().nullable(),
});

const quantiles = z.strictObject({
  count: z.number(),
  p50_ms: z.number().nullable(),
  p95_ms: z.number().nullable(),
  p99_ms: z.number().nullable(),
});

const configState = z.strictObject({
  path: z.string(),
  generation: z.int(),
  loaded_at: time,
  last_error: z.string().nullable(),
});

const loadBalancer = z.strictObject({
  type: z.enum(["roundrobin", "weighted", "random", "leastconnections"]),
  sticky_sessions: z.boolean(),
});

const target = z.strictObject({
  name: z.string(),
  url: z.string(),
  state: targetState,
  usable: z.boolean(),
  draining: z.boolean(),
  circuit: z.enum(["closed", "open", "half_open"]),
  backup: z.boolean(),
  forced: z.strictObject({ state: forcedState, until: time }).nullable(),
  configured_weight: z.number(),
  weight: z.number(),
  slow_start: z.number(),
  active_requests: z.number(),
  max_connections: z.number().nullable(),
  requests: z.number(),
  errors: z.number(),
  requests_by_status: counts,
  errors_by_kind: counts,
  health: z.strictObject({
    state: targetState,
    since: time.nullable(),
    last_check: time.nullable(),
    last_duration_ms: z.number().nullable(),
    last_error: z.string().nullable(),
    consecutive_successes: z.int(),
    consecutive_failures: z.int(),
  }),
});

const pluginStatus = z.strictObject({
  name: z.string(),
  type: z.string(),
  enabled: z.boolean(),
  stage,
  error_strategy: z.enum(["continue", "fail"]),
  invocations: z.number(),
  short_circuits: z.number(),
  errors: z.number(),
  errors_by_kind: counts,
  duration: quantiles,
});

const status = z.strictObject({
  status: z.enum(["healthy", "degraded", "unhealthy"]),
  version: z.string(),
  deno: z.string(),
  time,
  started_at: time,
  uptime_seconds: z.number(),
  serving: z.boolean(),
  listeners: z.strictObject({ proxy: z.string(), metrics: z.string(), health: z.string() }),
  components: z.strictObject({
    proxy: component,
    traffic_log: component,
    config: component,
    admin: component,
  }),
  config: configState,
  workers: z.strictObject({ configured: z.int(), running: z.int(), restarts: z.number() }),
  memory: z.strictObject({ rss_bytes: z.number() }),
  connections: z.number().nullable(),
  requests: z.strictObject({
    total: z.number(),
    active: z.number(),
    errors: z.number(),
    by_status: counts,
    by_method: counts,
    by_domain: counts,
    duration: quantiles,
  }),
  load_balancer: loadBalancer,
  targets: z.array(target),
  traffic_log: z.strictObject({
    enabled: z.boolean(),
    type: z.enum(["file", "database", "both"]),
    writes: counts,
    write_errors: counts,
    dropped: z.number(),
    queued_bytes: z.number(),
  }),
  plugins: z.array(pluginStatus),
  security: z.strictObject({ denied: counts }),
});

const diffLine = z.strictObject({
  kind: z.enum(["same", "removed", "added"]),
  old_line: z.int().nullable(),
  new_line: z.int().nullable(),
  text: z.string(),
});

const trafficRecord = z.strictObject({
  id: z.string(),
  timestamp: time,
  request_id: z.string(),
  client_ip: z.string(),
  host: z.string(),
  method: z.string(),
  path: z.string(),
  target: z.string().nullable(),
  status_code: z.int(),
  duration_ms: z.number(),
  request_size: z.number(),
  response_size: z.number(),
  user_agent: z.string().nullable(),
  error_message: z.string().nullable(),
  route: z.string().nullable(),
  upstream_ms: z.number().nullable(),
  retries: z.int(),
  protocol: z.string(),
  worker: z.int(),
});

const rates = z.strictObject({
  name: z.string(),
  usable: z.boolean(),
  requests_per_second: z.number(),
  errors_per_second: z.number(),
  active_requests: z.number(),
});

/** By the type's name in `api.ts`. The annotation holds each schema to its type. */
export const SCHEMAS = {
  Failure: failure,
  Session: z.strictObject({
    role: role.nullable(),
    mode: z.enum(["tokens", "read_only"]),
    roles: z.array(role),
    expires_at: time.nullable(),
    version: z.string(),
  }),
  LoginRequest: z.strictObject({ token: z.string() }),
  Status: status,
  Targets: z.strictObject({ load_balancer: loadBalancer, targets: z.array(target) }),
  TargetAction: z.discriminatedUnion("action", [
    z.strictObject({ target: z.string(), action: z.literal("drain") }),
    z.strictObject({ target: z.string(), action: z.literal("resume") }),
    z.strictObject({ target: z.string(), action: z.literal("weight"), weight: z.number().nullable() }),
    z.strictObject({
      target: z.string(),
      action: z.literal("force"),
      state: forcedState,
      seconds: z.int(),
    }),
    z.strictObject({ target: z.string(), action: z.literal("unforce") }),
  ]),
  TargetChanged: z.strictObject({ target, note: z.string().nullable() }),
  ConfigChecked: z.strictObject({
    valid: z.literal(true),
    warnings: z.array(configProblem),
    diff: z.array(diffLine),
  }),
  ConfigApplied: z.strictObject({
    generation: z.int(),
    etag: z.string(),
    history_id: z.string().nullable(),
    warnings: z.array(configProblem),
  }),
  ConfigJson: z.strictObject({ ...configState.shape, config: z.record(z.string(), z.unknown()) }),
  ConfigHistory: z.strictObject({
    versions: z.array(z.strictObject({
      id: z.string(),
      replaced_at: time,
      replaced_by: z.string(),
      replaced_through: z.enum(["edit", "rollback"]),
      bytes: z.int(),
    })),
  }),
  ConfigDiff: z.strictObject({ id: z.string(), diff: z.array(diffLine) }),
  RollbackRequest: z.strictObject({ id: z.string() }),
  TrafficRecords: z.strictObject({ records: z.array(trafficRecord) }),
  Explained: z.strictObject({
    outcome: z.enum(["forward", "refuse", "answer"]),
    status: z.int().nullable(),
    code: z.enum(Object.keys(ERROR_STATUS) as ErrorCode[]).nullable(),
    message: z.string().nullable(),
    domain: z.string().nullable(),
    route: z.string().nullable(),
    target: z.string().nullable(),
    steps: z.array(z.strictObject({
      step: z.string(),
      outcome: z.enum(["passed", "refused", "answered", "chose"]),
      summary: z.string(),
      details: z.record(z.string(), z.unknown()).optional(),
    })),
    upstream: z.strictObject({
      target: z.string(),
      url: z.string(),
      method: z.string(),
      headers: z.array(z.tuple([z.string(), z.string()])),
    }).nullable(),
    record: trafficRecord.nullable(),
  }),
  TrafficStats: z.strictObject({
    groups: z.array(z.strictObject({
      key: z.string(),
      requests: z.number(),
      errors: z.number(),
      bytes: z.number(),
      p50_ms: z.number(),
      p95_ms: z.number(),
      p99_ms: z.number(),
    })),
  }),
  Sample: z.strictObject({
    time,
    interval_ms: z.number(),
    requests_per_second: z.number(),
    errors_per_second: z.number(),
    duration: quantiles,
    by_class: counts,
    active_requests: z.number(),
    connections: z.number().nullable(),
    rss_bytes: z.number(),
    workers: z.number(),
    queued_bytes: z.number(),
    targets: z.array(rates),
  }),
  AuditEntries: z.strictObject({
    entries: z.array(z.strictObject({
      time,
      who: z.string(),
      from: z.string(),
      action: z.string(),
      subject: z.string().nullable(),
      result: z.string(),
      detail: z.string().nullable(),
    })),
  }),
} satisfies { [Name in SchemaName]: z.ZodType<api.Schemas[Name]> };

export type SchemaName = keyof api.Schemas;
