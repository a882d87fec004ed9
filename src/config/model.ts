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
  /** A client may take nothing of an answer for this long. */
  sendTimeoutMs: number;
  /** How long a shutdown goes on accepting connections. */
  shutdownDelayMs: number;
  /** How long a shutdown waits for requests in flight after that. */
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
  /** Most requests in flight to it at once; null: no limit. */
  maxConnections: number | null;
  /** Whether it is used only when no other target is. */
  backup: boolean;
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

export interface CircuitBreakerConfig {
  enabled: boolean;
  /** Failures in a row that open a target's circuit; 0: any number may be. */
  consecutiveFailures: number;
  /** Share of failed requests in the window that opens it, above 0 to 1; 0: no share does. */
  failureRatio: number;
  /** From when on a request counts as slow; null: none does. */
  slowCallMs: number | null;
  /** Share of slow requests in the window that opens it, above 0 to 1. */
  slowCallRatio: number;
  windowMs: number;
  /** The shares count from so many requests in the window on. */
  minRequests: number;
  /** Statuses of a target's answers that are failures. */
  failureStatuses: number[];
  /** How long a circuit stays open at first, and at most: it doubles each time in a row. */
  openMs: number;
  maxOpenMs: number;
  /** Requests that a half-open target gets, all of which must go well. */
  halfOpenRequests: number;
  /** Share of the targets that open circuits may take out, 0 to 100. */
  maxEjectedPercent: number;
}

export interface TargetsConfig {
  targets: TargetConfig[];
  balancing: {
    type: BalancingType;
    stickySessions: boolean;
    /** Requests of the whole process that may wait for a target at its `maxConnections`. */
    maxQueue: number;
    queueTimeoutMs: number;
  };
  healthCheck: HealthCheckConfig;
  circuitBreaker: CircuitBreakerConfig;
  /** Over how long a target that returns takes up its share of the traffic; 0: it has it at once. */
  slowStartMs: number;
}

/** What went wrong on the way to a target, as `retry.on` names it. */
export type RetryCause = "connect" | "reset" | "timeout" | "bad_response";

export interface RetryConfig {
  /** Off: only what no target can have seen is tried again. */
  enabled: boolean;
  /** Attempts at the most, the first one included. */
  attempts: number;
  onCauses: RetryCause[];
  onStatuses: number[];
  /** Methods that may be sent again when a target may have acted on them. */
  methods: string[];
  /** Longest wait of one attempt for the response header; null: no wait of its own. */
  perTryTimeoutMs: number | null;
  /** No attempt begins later than this after the request came. */
  totalTimeoutMs: number;
  /** Longest body that is kept so that it can be sent again. */
  maxBodyBytes: number;
  backoff: { baseMs: number; maxMs: number };
  /** Retries may be this share of the requests, and so many a second besides. */
  budget: { percent: number; minPerSecond: number };
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
  /** PEM file of certificate authorities that https targets may be signed by, beside the well-known ones. */
  caPath: string | null;
  /** Shown to https targets that ask for a certificate. */
  clientCertificate: CertificateFiles | null;
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
  /** `routes`: it runs only where a routing rule names it. */
  scope: "all" | "routes";
  errorStrategy: "continue" | "fail";
  /** `config` as the file has it: to be printed. */
  config: Record<string, unknown>;
  /** `config` checked by the schema of `type`, in the form the plugin takes (`config/plugins/`). */
  settings: unknown;
}

export interface PluginsConfig {
  enabled: boolean;
  applyBeforeDomainMatch: boolean;
  plugins: PluginConfig[];
}

/** Lists of ranges as `formatIpRange` spells them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. */
export interface AccessControlConfig {
  /** False: nobody is refused, and nobody's X-Forwarded-* fields are believed. */
  enabled: boolean;
  /** Clients that may come in; empty: all. */
  allowedIps: string[];
  /** Clients that may not, whatever `allowedIps` says. */
  deniedIps: string[];
  /** Whether X-Forwarded-* fields of trusted peers are believed. */
  trustProxyHeaders: boolean;
  /** The trusted peers; null: those with loopback, private and link-local addresses. */
  trustedProxies: string[] | null;
}

export interface RateLimitConfig {
  /** Requests a client may make each second in the long run, 0.001 to 1,000,000. */
  ratePerSec: number;
  /** Requests a client may make at once after a rest, at least 1. */
  burst: number;
  /** `redis://…` or `rediss://…` to share the limit between instances. Secret: may hold a password. */
  store: string | null;
  /** Longest wait for the store; after it the process counts by itself. */
  storeTimeoutMs: number;
}

/** Bounds on clients. A 0 means no bound, but for `maxHeaders` and `maxHeaderBytes`, which always have one. */
export interface DdosConfig {
  maxHeaders: number;
  maxHeaderBytes: number;
  maxBodyBytes: number;
  requireContentLength: boolean;
  /** Over all threads and ports. */
  maxConnections: number;
  /** Per IPv4 address or IPv6 /64 network, over all threads and ports. */
  maxConnectionsPerIp: number;
  minBodyBytesPerSecond: number;
}

export interface AuthConfig {
  mode: "apikey" | "bearer";
  /** Field that holds the key, in lower case; `authorization` in mode bearer. */
  headerName: string;
  /** Secret. At least one, each of visible ASCII characters. */
  keys: string[];
}

export type JwtAlgorithm = "HS256" | "HS384" | "HS512" | "RS256" | "RS384" | "RS512" | "ES256";

/** The public members of a JSON web key, checked to be a key of a kind and size that we verify with. */
export type PublicJwk =
  | { kty: "RSA"; n: string; e: string }
  | { kty: "EC"; crv: "P-256"; x: string; y: string };

export interface JwtKeyConfig {
  kid: string;
  jwk: PublicJwk;
}

/** A claim that targets get as a field, its name in lower case. */
export interface ClaimHeader {
  claim: string;
  header: string;
}

export interface JwtConfig {
  /** The only one accepted. */
  algorithm: JwtAlgorithm;
  /** Secret. For HS256, HS384 and HS512; null: none. */
  secret: string | null;
  /** Static keys, of all types. */
  keys: JwtKeyConfig[];
  /** `https://…` or `http://…`; null: none. */
  jwksUrl: string | null;
  /** The keys of `jwksUrl` are fetched again after this time … */
  jwksCacheMs: number;
  /** … and used for this much longer while they cannot be. */
  jwksStaleMs: number;
  leewayMs: number;
  /** Accepted values of `iss`; empty: any. */
  issuers: string[];
  /** Accepted values of `aud`; empty: any. */
  audiences: string[];
  cacheEnabled: boolean;
  claimHeaders: ClaimHeader[];
}

export interface SecurityConfig {
  /** False: all of the section is off, whatever the rest says. */
  enabled: boolean;
  accessControl: AccessControlConfig;
  /** Null: off. */
  rateLimit: RateLimitConfig | null;
  /** Paths in their matching form that need neither key nor token, each with all below it. */
  exemptPaths: string[];
  /** Null: off. */
  auth: AuthConfig | null;
  /** Null: off. */
  jwt: JwtConfig | null;
  ddos: DdosConfig;
}

/** A certificate with its intermediates and its private key, both PEM files. */
export interface CertificateFiles {
  certPath: string;
  keyPath: string;
}

export type TlsMinVersion = "1.2";

export interface TlsConfig {
  enabled: boolean;
  /** On the host of `server.bind`. */
  port: number;
  /** Whether `server.bind` serves plain HTTP; true where `enabled` is false. */
  plainHttp: boolean;
  /** For names without an entry of their own; null: the first of `certificates`. */
  defaultCertificate: CertificateFiles | null;
  /** `domain`: `example.com` or `*.example.com`, lower case, unique. */
  certificates: (CertificateFiles & { domain: string })[];
  minVersion: TlsMinVersion;
  redirectHttp: boolean;
  /** Port that redirects name. */
  redirectPort: number;
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

export interface ErrorPageConfig {
  /** Statuses, and classes for those that have no page of their own. */
  statuses: (number | "4xx" | "5xx")[];
  /** Where `text` was read; null: it stands in the configuration. */
  file: string | null;
  /** With placeholders in braces. */
  text: string;
  contentType: string;
}

export interface ErrorPagesConfig {
  /** Whether clients that put JSON first get problem details. */
  problemJson: boolean;
  pages: ErrorPageConfig[];
}

export interface Config {
  server: ServerConfig;
  domains: DomainsConfig;
  targets: TargetsConfig;
  logging: LoggingConfig;
  monitoring: MonitoringConfig;
  httpClient: HttpClientConfig;
  retry: RetryConfig;
  websocket: WebSocketConfig;
  plugins: PluginsConfig;
  security: SecurityConfig;
  routing: RoutingConfig;
  tls: TlsConfig;
  errorPages: ErrorPagesConfig;
}
