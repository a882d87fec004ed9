/**
 * The admin API as both of its sides see it: what every `/admin/*` endpoint takes and answers. The console
 * imports this file too, so it holds types and a few constants and nothing that runs. `docs/ADMIN.md` says
 * what each endpoint does, `openapi.ts` says the same to machines.
 *
 * Times are ISO 8601 in UTC, unless the name ends in a unit. Names are those of the wire.
 *
 * | endpoint                          | role   | request                | answer                      |
 * |-----------------------------------|--------|------------------------|-----------------------------|
 * | GET  /admin                       | -      |                        | the console                 |
 * | GET  /admin/assets/NAME           | -      |                        | the console's files         |
 * | GET  /admin/session               | -      |                        | Session                     |
 * | POST /admin/login                 | -      | LoginRequest           | Session, sets the cookie    |
 * | POST /admin/logout                | -      |                        | Session, clears the cookie  |
 * | GET  /admin/openapi.json          | -      |                        | OpenAPI 3.1                 |
 * | GET  /admin/status                | viewer |                        | Status                      |
 * | GET  /admin/targets               | viewer |                        | Targets                     |
 * | POST /admin/targets               | editor | TargetAction           | TargetChanged               |
 * | GET  /admin/config                | viewer |                        | TOML; ETag                  |
 * | PUT, POST /admin/config           | editor | TOML; If-Match, ?dry_run=true | ConfigApplied, ConfigChecked |
 * | GET  /admin/config/json           | viewer |                        | ConfigJson                  |
 * | GET  /admin/config/history        | viewer |                        | ConfigHistory               |
 * | GET  /admin/config/history/ID     | viewer |                        | TOML                        |
 * | GET  /admin/config/history/ID/diff| viewer |                        | ConfigDiff                  |
 * | POST /admin/config/rollback       | editor | RollbackRequest        | ConfigApplied               |
 * | GET  /admin/traffic               | viewer | TRAFFIC_QUERY          | TrafficRecords              |
 * | GET  /admin/traffic/stats         | viewer | TRAFFIC_QUERY, by      | TrafficStats                |
 * | GET  /admin/traffic/live          | viewer | TRAFFIC_QUERY          | server-sent LiveTrafficEvents |
 * | GET, POST /admin/explain          | viewer | EXPLAIN_QUERY          | Explained                   |
 * | GET  /admin/events                | viewer |                        | server-sent AdminEvents     |
 * | GET  /admin/audit                 | admin  | limit                  | AuditEntries                |
 *
 * Every answer that is not 2xx has the body `Failure`. 400 malformed request, 401 no or wrong token, 403 role
 * too low, 404, 409 not possible now, 412 the ETag is no longer the file's, 413 too large, 422 does not
 * validate, 429 too many attempts or listeners (with retry-after), 503 cannot be answered in time.
 */
import type { Explanation } from "../http/explanation.ts";
import type { TrafficRow } from "../traffic/record.ts";

export type Role = "viewer" | "editor" | "admin";

/** Roles in ascending order: each may do what those before it may. */
export const ROLES: readonly Role[] = ["viewer", "editor", "admin"];

/** State-changing calls that are authorised by the cookie must carry this field; any value will do. */
export const CSRF_HEADER = "x-dispa-console";

/** Name of the login cookie. HttpOnly: the console cannot read it and need not. */
export const SESSION_COOKIE = "dispa_session";

export interface Failure {
  error: {
    /** Stable, for programs: one of `FailureCode`. */
    code: FailureCode;
    /** One sentence for people. */
    message: string;
    /** With `invalid_config`, and only then. */
    problems?: ConfigProblem[];
  };
}

export type FailureCode =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "cross_site"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "stale"
  | "too_large"
  | "invalid_config"
  | "too_many_attempts"
  | "too_many_listeners"
  | "unavailable"
  | "internal";

// ---------------------------------------------------------------- session

/** Answer of /admin/session, /admin/login and /admin/logout. Never 401: `role` says what the caller is. */
export interface Session {
  /** Null: not logged in. */
  role: Role | null;
  /**
   * `tokens`: a token or a login is needed. `read_only`: no token is configured, so a client on this machine
   * is a viewer and nobody may change anything.
   */
  mode: "tokens" | "read_only";
  /** Roles that have a token; [] in read-only mode. */
  roles: Role[];
  /** When the login ends; null if the caller has not logged in by cookie. */
  expires_at: string | null;
  version: string;
}

/** JSON, or `token=…` as a form, which is answered by 303 to /admin. */
export interface LoginRequest {
  token: string;
}

// ---------------------------------------------------------------- status

export type OverallStatus = "healthy" | "degraded" | "unhealthy";
export type ComponentState = "ok" | "degraded" | "failed" | "off";

export interface Component {
  state: ComponentState;
  /** Why it is not `ok`; null if it is. */
  message: string | null;
}

export interface Components {
  proxy: Component;
  traffic_log: Component;
  config: Component;
  admin: Component;
}

/** A histogram's quantiles in milliseconds, estimated within their bucket; null without observations. */
export interface DurationQuantiles {
  count: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface Status {
  status: OverallStatus;
  version: string;
  deno: string;
  time: string;
  started_at: string;
  uptime_seconds: number;
  serving: boolean;
  /** `host:port` of each listener. */
  listeners: { proxy: string; metrics: string; health: string };
  components: Components;
  config: ConfigState;
  workers: { configured: number; running: number; restarts: number };
  memory: { rss_bytes: number };
  /** Client connections open now; null where the system does not tell. */
  connections: number | null;
  /** Since the start. */
  requests: {
    total: number;
    active: number;
    /** Answers with a status of 500 and above. */
    errors: number;
    by_status: Record<string, number>;
    by_method: Record<string, number>;
    by_domain: Record<string, number>;
    duration: DurationQuantiles;
  };
  load_balancer: LoadBalancer;
  targets: Target[];
  traffic_log: {
    enabled: boolean;
    type: "file" | "database" | "both";
    writes: Record<string, number>;
    write_errors: Record<string, number>;
    dropped: number;
    /** Records between proxy threads and the log, in bytes. */
    queued_bytes: number;
  };
  plugins: PluginStatus[];
  security: { denied: Record<string, number> };
}

export interface ConfigState {
  path: string;
  /** Counts the configurations in use since the start, from 1. */
  generation: number;
  loaded_at: string;
  /** Why the last reload was refused; null if it was taken. */
  last_error: string | null;
}

export interface LoadBalancer {
  type: "roundrobin" | "weighted" | "random" | "leastconnections";
  sticky_sessions: boolean;
}

export interface PluginStatus {
  name: string;
  type: string;
  enabled: boolean;
  stage: "request" | "response" | "both";
  error_strategy: "continue" | "fail";
  invocations: number;
  short_circuits: number;
  errors: number;
  errors_by_kind: Record<string, number>;
  duration: DurationQuantiles;
}

// ---------------------------------------------------------------- targets

export interface Target {
  name: string;
  /** Without a password, if it has one. */
  url: string;
  /** What counts now, an operator's word before the checks'. */
  state: "unknown" | "healthy" | "unhealthy";
  /** Whether new requests may go to it. */
  usable: boolean;
  draining: boolean;
  /** What its circuit breaker makes of it: open takes it out of use, half-open lets a few requests try it. */
  circuit: "closed" | "open" | "half_open";
  /** Used only when no other target is. */
  backup: boolean;
  /** An operator's word, in force for a while; null: the health checks decide. */
  forced: { state: "healthy" | "unhealthy"; until: string } | null;
  /** Of the configuration. */
  configured_weight: number;
  /** In use; another one if an operator has set it. */
  weight: number;
  /** Share of `weight` that counts now, above 0 to 1: below 1 while the target begins slowly. */
  slow_start: number;
  active_requests: number;
  /** Of the configuration; null: no limit. */
  max_connections: number | null;
  /** Since the start. */
  requests: number;
  errors: number;
  requests_by_status: Record<string, number>;
  errors_by_kind: Record<string, number>;
  /** What the checks found, whatever `forced` says. */
  health: {
    state: "unknown" | "healthy" | "unhealthy";
    since: string | null;
    last_check: string | null;
    last_duration_ms: number | null;
    last_error: string | null;
    consecutive_successes: number;
    consecutive_failures: number;
  };
}

export interface Targets {
  load_balancer: LoadBalancer;
  targets: Target[];
}

/**
 * What is to be done to a target. It lasts until it is undone, the program ends, or the target leaves the
 * configuration; a weight also ends when the configuration gives the target another one.
 */
export type TargetAction =
  /** No new requests; those in flight end in peace. */
  | { target: string; action: "drain" }
  | { target: string; action: "resume" }
  /** Above 0, up to MAX_WEIGHT; null: the configuration's again. */
  | { target: string; action: "weight"; weight: number | null }
  /** `seconds`: a whole number from 1 to MAX_FORCE_SECONDS. */
  | { target: string; action: "force"; state: "healthy" | "unhealthy"; seconds: number }
  /** Back to what the checks say. */
  | { target: string; action: "unforce" };

export const MAX_WEIGHT = 1_000_000;
export const MAX_FORCE_SECONDS = 86_400;

export interface TargetChanged {
  target: Target;
  /** What the operator might not expect, e.g. that round robin ignores weights; null if nothing. */
  note: string | null;
}

// ---------------------------------------------------------------- configuration

/**
 * GET /admin/config answers the file as it is, comments and all, but for its secrets: each is replaced by
 * `********` and a fingerprint, inside its quotation marks. Such a value left where it is means "unchanged"
 * when the text is sent back. The answer has `etag`, and `x-dispa-config-source: file`; `running` if the file
 * is not valid TOML: then the text is that of the configuration in use.
 *
 * PUT (or POST) takes such a text as text/plain or application/toml, with `if-match` and the etag of the GET:
 * 412 if the file has changed since, 422 with every problem if it does not validate. `?dry_run=true` only
 * checks and answers ConfigChecked.
 */
export const CONFIG_SOURCE_HEADER = "x-dispa-config-source";

export interface ConfigProblem {
  severity: "error" | "warning";
  /** In the text that was sent, from 1; null where there is none. */
  line: number | null;
  column: number | null;
  /** Full path of the key, "" where the trouble is no single key's. */
  key: string;
  message: string;
}

export interface ConfigChecked {
  valid: true;
  warnings: ConfigProblem[];
  /** From the file as it is to the text that was sent, secrets masked; [] if they are the same. */
  diff: DiffLine[];
}

export interface ConfigApplied {
  /** Of the configuration now in use. */
  generation: number;
  /** Of the file as it is now. */
  etag: string;
  /** Of the version that was replaced; null if the text was the same and nothing was written. */
  history_id: string | null;
  warnings: ConfigProblem[];
}

export interface DiffLine {
  kind: "same" | "removed" | "added";
  /** Line in the old text, from 1; null if added. */
  old_line: number | null;
  /** Line in the new text, from 1; null if removed. */
  new_line: number | null;
  text: string;
}

/** The effective configuration: every key with its value, defaults included, in the file's names and units. */
export interface ConfigJson extends ConfigState {
  config: Record<string, unknown>;
}

/** One earlier text of the file. */
export interface ConfigVersion {
  id: string;
  /** When it was replaced. */
  replaced_at: string;
  /** Who replaced it: role and token fingerprint. */
  replaced_by: string;
  /** By what: a new text, or a rollback. */
  replaced_through: "edit" | "rollback";
  bytes: number;
}

/** Newest first; the versions beyond HISTORY_LIMIT are removed. */
export interface ConfigHistory {
  versions: ConfigVersion[];
}

export const HISTORY_LIMIT = 50;

/** From that version to the file as it is. */
export interface ConfigDiff {
  id: string;
  diff: DiffLine[];
}

export interface RollbackRequest {
  id: string;
}

// ---------------------------------------------------------------- traffic

/** One record, as the traffic log writes it. */
export type TrafficRecord = TrafficRow;

/**
 * Query parameters of /admin/traffic, /admin/traffic/stats and /admin/traffic/live, as the flags of
 * `dispa traffic query`: all that are given must hold. `/live` knows no `since`, `until`, `limit`, `order`.
 *
 * since, until: `90s`, `30m`, `1h`, `2d` ago or a time. host, target, client_ip, request_id: exact.
 * path: prefix. status: `404`, `5xx` or `500-599`. min_duration: milliseconds. limit: 1 to
 * MAX_TRAFFIC_LIMIT, default 100. order: `newest` (default) or `slowest`. from: `file` or `database`.
 */
export const TRAFFIC_QUERY = [
  "since",
  "until",
  "host",
  "path",
  "status",
  "target",
  "client_ip",
  "min_duration",
  "request_id",
  "limit",
  "order",
  "from",
] as const;
export type TrafficQuery = { [Name in typeof TRAFFIC_QUERY[number]]?: string };

export const MAX_TRAFFIC_LIMIT = 1000;

export interface TrafficRecords {
  records: TrafficRecord[];
}

/**
 * What /admin/explain takes, as query parameters (`header` several times, `Name: value`) or as a JSON object
 * (`headers`: an object or a list of lines). host is needed unless request_id names a recorded request.
 */
export const EXPLAIN_QUERY: readonly string[] = [
  "host",
  "path",
  "method",
  "scheme",
  "client_ip",
  "header",
  "request_id",
];

/** What would become of a request now. With `request_id`: beside it the record of what became of it then. */
export interface Explained extends Explanation {
  record: TrafficRecord | null;
}

/** `by`: host, target, status or minute; without it one group of key "". */
export interface TrafficStats {
  groups: {
    key: string;
    requests: number;
    errors: number;
    bytes: number;
    p50_ms: number;
    p95_ms: number;
    p99_ms: number;
  }[];
}

/** Server-sent events of /admin/traffic/live: the `event:` field and what its `data:` parses to. */
export interface LiveTrafficEvents {
  /** Records as they come, at most LIVE_RECORDS_PER_SECOND of them. */
  records: {
    records: TrafficRecord[];
    /** Matching or not, records that were left out since the last event to keep to that. */
    skipped: number;
  };
  lost: LostEvent;
}

export const LIVE_RECORDS_PER_SECOND = 200;

// ---------------------------------------------------------------- events

/** Server-sent events of /admin/events: the `event:` field and what its `data:` parses to. */
export interface AdminEvents {
  /** Once a second, and at once the last one there is. */
  sample: Sample;
  /** After a change of a target: its health, an operator's action, a reload. */
  target: Target;
  /** After each reload, also a refused one. */
  config: ConfigState;
  lost: LostEvent;
}

/** The listener was too slow: so many events before this one were not sent. */
export interface LostEvent {
  events: number;
}

/** What happened in the `interval_ms` before `time`. */
export interface Sample {
  time: string;
  interval_ms: number;
  requests_per_second: number;
  /** Answers with a status of 500 and above. */
  errors_per_second: number;
  duration: DurationQuantiles;
  /** Rates by first digit of the status: `2xx`, `4xx` … */
  by_class: Record<string, number>;
  active_requests: number;
  connections: number | null;
  rss_bytes: number;
  workers: number;
  queued_bytes: number;
  targets: {
    name: string;
    usable: boolean;
    requests_per_second: number;
    errors_per_second: number;
    active_requests: number;
  }[];
}

// ---------------------------------------------------------------- audit

/** One line of `admin_audit.log`. */
export interface AuditEntry {
  time: string;
  /** `editor a1b2c3d4`: role and fingerprint of the token; `anonymous` without one. */
  who: string;
  /** Address of the client's connection. */
  from: string;
  /** What was asked for, e.g. `target.drain`, `config.put`, `login`. */
  action: string;
  /** On what: a target's name, a version's id; null if on nothing in particular. */
  subject: string | null;
  /** `ok`, or the `FailureCode`. */
  result: string;
  /** More about it, never a secret; null if there is nothing more. */
  detail: string | null;
}

/** Newest first. */
export interface AuditEntries {
  entries: AuditEntry[];
}

/** The bodies that the OpenAPI document describes, by their names. */
export interface Schemas {
  Failure: Failure;
  Session: Session;
  LoginRequest: LoginRequest;
  Status: Status;
  Targets: Targets;
  TargetAction: TargetAction;
  TargetChanged: TargetChanged;
  ConfigChecked: ConfigChecked;
  ConfigApplied: ConfigApplied;
  ConfigJson: ConfigJson;
  ConfigHistory: ConfigHistory;
  ConfigDiff: ConfigDiff;
  RollbackRequest: RollbackRequest;
  TrafficRecords: TrafficRecords;
  Explained: Explained;
  TrafficStats: TrafficStats;
  Sample: Sample;
  AuditEntries: AuditEntries;
}
