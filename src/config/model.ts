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

export interface WebSocketConfig {
  enabled: boolean;
  /** A WebSocket on which no message passes for so long is closed; 0: never. */
  idleTimeoutMs: number;
  /** Longest message, its fragments added up. */
  maxMessageBytes: number;
  /** Silence after which a side is pinged; without an answer for as long again it counts as gone. 0: no pings. */
  pingIntervalMs: number;
  /** Bytes that may wait for the slower side, in each direction. */
  maxBufferedBytes: number;
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

export interface Config {
  server: ServerConfig;
  domains: DomainsConfig;
  targets: TargetsConfig;
  logging: LoggingConfig;
  monitoring: MonitoringConfig;
  httpClient: HttpClientConfig;
  websocket: WebSocketConfig;
  plugins: PluginsConfig;
  security: SecurityConfig;
}
