/**
 * The checked configuration as the rest of Dispa reads it: every default filled in, every duration in
 * milliseconds, every size in bytes, every alias resolved. `schema.ts` makes it from the TOML file.
 * It holds plain data only, so that it can be posted to other threads as it is.
 */

/** A listening or dialled socket address. `hostname` is an IP or a name; IPv6 without brackets. */
export interface SocketAddress {
  hostname: string;
  port: number;
}

export interface ServerConfig {
  bind: SocketAddress;
  /** Number of proxy threads, 1 to 256. */
  workers: number;
  /** An idle client connection is closed after this time. */
  keepAliveTimeoutMs: number;
  /** A client has this long to send a whole request header. */
  headerTimeoutMs: number;
  /** Longest wait for an upstream's response header, and longest silence inside a body. */
  requestTimeoutMs: number;
  /** How long a shutdown waits for requests in flight. */
  shutdownTimeoutMs: number;
}

export interface DomainsConfig {
  /** Lower-case patterns: `example.com`, `*.example.com`, `example.*`, `*`. */
  intercept: string[];
  exclude: string[];
}

export type BalancingType = "roundrobin" | "weighted" | "random" | "leastconnections";

export interface TargetConfig {
  /** Unique; the value of the `target` label and of the record's `target`. */
  name: string;
  /** Origin with an optional base path, never a query or fragment, e.g. `http://10.0.0.1:8080`. */
  url: string;
  protocol: "http" | "https";
  /** Host name or IP to dial (IPv6 without brackets) and the port, from `url`. */
  hostname: string;
  port: number;
  /** Path of `url` without its trailing slash ("" for none); put before the request's path. */
  basePath: string;
  /** What routing rules may call it together with others; null: it is in no group. */
  group: string | null;
  /** Share of the traffic relative to the other targets; above 0, fractions allowed. */
  weight: number;
  /** Overrides `server.request_timeout` for this target; null: no override. */
  timeoutMs: number | null;
}

export interface HealthCheckConfig {
  enabled: boolean;
  intervalMs: number;
  timeoutMs: number;
  /** Consecutive successes that make an unhealthy target healthy. */
  healthyThreshold: number;
  /** Consecutive failures that make a healthy target unhealthy. */
  unhealthyThreshold: number;
  /** Path to ask for; null: `/health`, `/healthz`, `/ping`, `/` in turn. */
  path: string | null;
}

export interface TargetsConfig {
  targets: TargetConfig[];
  balancing: { type: BalancingType; stickySessions: boolean };
  healthCheck: HealthCheckConfig;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** What happens to a traffic record when the queue to the writer is full. */
export type OverflowPolicy = "drop" | "block";

export interface LoggingConfig {
  /** Whether traffic records are kept at all. */
  enabled: boolean;
  type: "file" | "database" | "both";
  /** Level of the program's own log on stderr. */
  level: LogLevel;
  /** Days that files and rows are kept; 0: for ever. */
  retentionDays: number;
  /** A record waits at most this long before it is written. */
  flushIntervalMs: number;
  overflow: OverflowPolicy;
  /** Bound of the queue between proxy threads and the writer, in bytes. */
  queueMaxBytes: number;
  /** Whether the query string is part of the recorded path. */
  recordQuery: boolean;
  file: {
    directory: string;
    /** Whether a file that reaches `maxFileSizeBytes` is followed by a numbered one. */
    rotation: boolean;
    maxFileSizeBytes: number;
  };
  database: {
    /** `sqlite://PATH`, `sqlite::memory:` or `postgresql://…`. Secret: may hold a password. */
    url: string;
    maxConnections: number;
    connectionTimeoutMs: number;
    /** Whether a database that cannot be reached at start ends the program (exit 3). */
    required: boolean;
    /** Bound of the on-disk spool that holds records while the database is away. */
    spoolMaxBytes: number;
    spoolDirectory: string;
  };
}

export interface MonitoringConfig {
  enabled: boolean;
  /** Address the health, metrics and admin listeners bind to. */
  bindHostname: string;
  metricsPort: number;
  healthCheckPort: number;
  /** Bucket bounds in milliseconds by metric name. */
  histogramBucketsMs: Record<string, number[]>;
}

export type TransportChoice = "auto" | "http1" | "fetch";

export interface HttpClientConfig {
  transport: TransportChoice;
  poolMaxIdlePerHost: number;
  poolIdleTimeoutMs: number;
  connectTimeoutMs: number;
}

export interface PluginConfig {
  name: string;
  type: string;
  enabled: boolean;
  stage: "request" | "response" | "both";
  errorStrategy: "continue" | "fail";
  config: Record<string, unknown>;
}

export interface PluginsConfig {
  enabled: boolean;
  applyBeforeDomainMatch: boolean;
  plugins: PluginConfig[];
}

export interface SecurityConfig {
  /** Whether a client's own X-Forwarded-* fields are believed (from loopback and private peers). */
  trustProxyHeaders: boolean;
}

/** One text that has to satisfy all that is not empty or null; in a list one entry has to fit. */
export interface TextCondition {
  exact: string[];
  prefix: string[];
  suffix: string[];
  contains: string[];
  /** In the syntax of `regex_syntax.ts`. */
  regex: string | null;
}

/** A header field or a query parameter; with several values one of them has to satisfy `value`. */
export interface NamedCondition {
  /** Of a header field in lower case. */
  name: string;
  /** Whether it has to be there; false: it must not be, and `value` is empty. */
  exists: boolean;
  value: TextCondition;
}

/** All of them have to hold; what is empty or null always does. */
export interface RouteConditions {
  /** Case counts. */
  methods: string[];
  /** Without prefix and suffix; lower case, as in `RequestMessage.host`. */
  host: TextCondition;
  path: TextCondition;
  /** IP addresses and networks (`ip_range.ts`), one of which has to hold the client's. */
  clientIps: string[];
  headers: NamedCondition[];
  queryParams: NamedCondition[];
}

export interface FieldText {
  /** In lower case. */
  name: string;
  value: string;
}

/** Applied in this order. */
export interface HeaderActions {
  remove: string[];
  set: FieldText[];
  add: FieldText[];
}

export interface TextReplacement {
  pattern: string;
  replacement: string;
}

/** On a path in its matching form, applied in this order. */
export interface PathActions {
  replacePrefix: TextReplacement | null;
  replaceSuffix: TextReplacement | null;
  regexReplace: TextReplacement | null;
  addPrefix: string;
  addSuffix: string;
}

/** Which targets a request may go to; `all`: the rule does not say. */
export type TargetChoice =
  | { by: "all" }
  | { by: "target"; target: string }
  | { by: "targets"; targets: string[] }
  | { by: "group"; group: string }
  | { by: "split"; parts: SplitPart[]; sticky: SplitKey | null };

export interface SplitPart {
  choice: { by: "target"; target: string } | { by: "group"; group: string };
  /** Share relative to the other parts; 0 or more. */
  weight: number;
}

/** What keeps a client on its part of a split. Header names are in lower case. */
export type SplitKey = { by: "ip" } | { by: "header"; name: string } | { by: "cookie"; name: string };

export interface MirrorConfig {
  /** Name of the target that gets the copies. */
  target: string;
  /** 0 to 100. */
  percent: number;
  /** Requests with a longer body are not copied. */
  maxBodyBytes: number;
}

export interface CustomResponse {
  /** 200 to 599. */
  status: number;
  headers: FieldText[];
  body: string;
  contentType: string;
}

export interface RedirectConfig {
  /** With `{scheme}`, `{host}`, `{path}` and `{query}` to be filled in. */
  to: string;
  status: number;
}

export interface RouteRule {
  name: string;
  /** The largest is tried first. */
  priority: number;
  enabled: boolean;
  conditions: RouteConditions;
  targets: TargetChoice;
  mirror: MirrorConfig | null;
  requestHeaders: HeaderActions;
  requestPath: PathActions;
  responseHeaders: HeaderActions;
  customResponse: CustomResponse | null;
  redirect: RedirectConfig | null;
  /** Names as the file lists them; `pluginsOrder` and `pluginsDedup` are still to be applied. */
  pluginsRequest: string[];
  pluginsResponse: string[];
  pluginsOrder: "as_listed" | "name_asc" | "name_desc";
  pluginsDedup: boolean;
}

export interface RoutingConfig {
  /** Whether the rules and the default target are used at all. */
  enabled: boolean;
  /** Whether every decision is written to the program's log, at level debug. */
  enableLogging: boolean;
  /** Where requests go whose rule names no target, or that no rule takes; null: to all targets. */
  defaultTarget: string | null;
  /** In the order of the file. */
  rules: RouteRule[];
}

export interface Config {
  server: ServerConfig;
  domains: DomainsConfig;
  targets: TargetsConfig;
  logging: LoggingConfig;
  monitoring: MonitoringConfig;
  httpClient: HttpClientConfig;
  plugins: PluginsConfig;
  security: SecurityConfig;
  routing: RoutingConfig;
}
