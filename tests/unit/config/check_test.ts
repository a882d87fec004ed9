import assert from "node:assert/strict";
import { accepted, check, ONE_TARGET } from "./support.ts";

Deno.test("a configuration with one target and nothing else has every default", async () => {
  const config = await accepted(ONE_TARGET, { DISPA_WORKERS: "3" });
  assert.deepEqual(config, {
    server: {
      bind: { hostname: "0.0.0.0", port: 8080 },
      workers: 3,
      keepAliveTimeoutMs: 60_000,
      headerTimeoutMs: 10_000,
      requestTimeoutMs: 30_000,
      sendTimeoutMs: 60_000,
      shutdownDelayMs: 200,
      shutdownTimeoutMs: 30_000,
    },
    domains: { intercept: ["*"], exclude: [] },
    targets: {
      targets: [{
        name: "t",
        url: "http://127.0.0.1:3000",
        protocol: "http",
        hostname: "127.0.0.1",
        port: 3000,
        basePath: "",
        group: null,
        weight: 1,
        timeoutMs: null,
        maxConnections: null,
        backup: false,
      }],
      balancing: { type: "roundrobin", stickySessions: false, maxQueue: 1000, queueTimeoutMs: 5000 },
      healthCheck: {
        enabled: true,
        intervalMs: 30_000,
        timeoutMs: 5_000,
        healthyThreshold: 2,
        unhealthyThreshold: 3,
        path: null,
      },
      circuitBreaker: {
        enabled: false,
        consecutiveFailures: 5,
        failureRatio: 0.5,
        slowCallMs: null,
        slowCallRatio: 0.5,
        windowMs: 10_000,
        minRequests: 20,
        failureStatuses: [502, 503, 504],
        openMs: 10_000,
        maxOpenMs: 120_000,
        halfOpenRequests: 3,
        maxEjectedPercent: 50,
      },
      slowStartMs: 0,
    },
    logging: {
      enabled: true,
      type: "file",
      level: "info",
      retentionDays: 0,
      flushIntervalMs: 100,
      overflow: "drop",
      queueMaxBytes: 16 * 1024 ** 2,
      recordQuery: false,
      file: { directory: "./logs", rotation: true, maxFileSizeBytes: 100_000_000 },
      database: {
        url: "sqlite://./data/traffic.db",
        maxConnections: 10,
        connectionTimeoutMs: 30_000,
        required: true,
        spoolMaxBytes: 1024 ** 3,
        spoolDirectory: "./data/spool",
      },
    },
    monitoring: {
      enabled: true,
      bindHostname: "0.0.0.0",
      metricsPort: 9090,
      healthCheckPort: 8081,
      histogramBucketsMs: {},
    },
    httpClient: {
      transport: "auto",
      poolMaxIdlePerHost: 32,
      poolIdleTimeoutMs: 90_000,
      connectTimeoutMs: 5_000,
      caPath: null,
      clientCertificate: null,
    },
    websocket: {
      enabled: true,
      idleTimeoutMs: 0,
      maxMessageBytes: 67108864,
      pingIntervalMs: 30000,
      maxBufferedBytes: 1048576,
    },
    retry: {
      enabled: false,
      attempts: 3,
      onCauses: ["connect", "reset", "timeout"],
      onStatuses: [502, 503, 504],
      methods: ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"],
      perTryTimeoutMs: null,
      totalTimeoutMs: 30_000,
      maxBodyBytes: 65_536,
      backoff: { baseMs: 25, maxMs: 250 },
      budget: { percent: 20, minPerSecond: 3 },
    },
    plugins: { enabled: false, applyBeforeDomainMatch: true, plugins: [] },
    security: {
      enabled: true,
      accessControl: {
        enabled: true,
        allowedIps: [],
        deniedIps: [],
        trustProxyHeaders: false,
        trustedProxies: null,
      },
      rateLimit: null,
      exemptPaths: [],
      auth: null,
      jwt: null,
      ddos: {
        maxHeaders: 100,
        maxHeaderBytes: 32_768,
        maxBodyBytes: 0,
        requireContentLength: false,
        maxConnections: 20_000,
        maxConnectionsPerIp: 0,
        minBodyBytesPerSecond: 50,
      },
    },
    tls: {
      enabled: false,
      port: 8443,
      plainHttp: true,
      defaultCertificate: null,
      certificates: [],
      minVersion: "1.2",
      redirectHttp: false,
      redirectPort: 8443,
    },
    routing: { enabled: true, enableLogging: false, defaultTarget: null, rules: [] },
    errorPages: { problemJson: true, pages: [] },
  });
});

Deno.test("workers defaults to one per core", async () => {
  assert.equal((await accepted(ONE_TARGET)).server.workers, Math.min(256, navigator.hardwareConcurrency));
});

Deno.test("the checked configuration is plain data that can be posted to another thread", async () => {
  const config = await accepted(
    '[plugins]\nplugins = [{ name = "p", type = "headeroverride", config = { request_headers = { A = "b" } } }]\n' +
      ONE_TARGET,
  );
  assert.deepEqual(structuredClone(config), config);
});

Deno.test("every key can be set, and seconds become milliseconds", async () => {
  const config = await accepted(`
[server]
bind_address = "[::1]:8000"
workers = 2
keep_alive_timeout = 60
header_timeout = 10
request_timeout = 1.001
shutdown_delay = 0.5
shutdown_timeout = 0
[domains]
intercept_domains = ["Example.COM.", "*.Test.com", "shop.*"]
exclude_domains = ["health.example.com"]
[targets]
slow_start = 45
targets = [
  { name = "a", url = "https://[2001:DB8::1]/api/", group = "main", weight = 0.5, timeout = 7, max_connections = 12, backup = true },
  { name = "b", url = "http://b.internal", weight = 2 },
]
load_balancing = { type = "weighted", sticky_sessions = true, max_queue = 9, queue_timeout = 1.5 }
health_check = { enabled = false, interval = 9, timeout = 3, healthy_threshold = 4, unhealthy_threshold = 5, path = "/up?deep=1" }
[targets.circuit_breaker]
enabled = true
consecutive_failures = 6
failure_ratio = 0.25
slow_call_secs = 0.75
slow_call_ratio = 0.9
window_secs = 5
min_requests = 7
failure_statuses = [500, 599]
open_secs = 8
max_open_secs = 64
half_open_requests = 2
max_ejected_percent = 34
[logging]
enabled = false
type = "both"
level = "debug"
retention_days = 30
flush_interval = 1
overflow = "block"
queue_max_bytes = 1_000_000
record_query = true
[logging.file]
directory = "/var/log/dispa"
rotation = false
max_file_size = 2_000
[logging.database]
url = "postgresql://u:p@db/dispa"
max_connections = 3
connection_timeout = 4
required = false
spool_max_bytes = 100_000
spool_directory = "/var/spool/dispa"
[monitoring]
enabled = false
bind_address = "::1"
metrics_port = 9
health_check_port = 10
[[monitoring.histogram_buckets]]
metric = "dispa_request_duration_seconds"
buckets_ms = [0.5, 1, 20]
[http_client]
transport = "http1"
pool_max_idle_per_host = 0
pool_idle_timeout_secs = 11
connect_timeout_secs = 12
[retry]
enabled = true
attempts = 4
on = ["Bad_Response", "connect", 503]
methods = ["GET", "PURGE"]
per_try_timeout = 0.5
total_timeout = 2
max_body_bytes = 1000
backoff = { base = 0.01, max = 1 }
budget = { percent = 12.5, min_per_sec = 0.5 }
[plugins]
enabled = false
apply_before_domain_match = false
[[plugins.plugins]]
name = "p"
type = "blocklist"
enabled = false
stage = "both"
error_strategy = "fail"
config = { paths = ["/a/"] }
[security]
exempt_paths = ["/health/"]
[security.auth]
enabled = true
mode = "apikey"
header_name = "X-Key"
keys = ["0123456789abcdef"]
[security.jwt]
enabled = true
algorithm = "ES256"
secret = "unused"
es256_keys = [{ kid = "k", x = "azmS65cEw4QZijv5X5jodTJ4f-1B9gdhmplJciK4oZk", y = "sAijc8sbnfg1UXfb-X_RSQ0bhBd6WqJVUyxzVdO2TJ8" }]
jwks_url = "https://login.example.com/jwks"
jwks_cache_secs = 30
jwks_stale_secs = 0
leeway_secs = 0.5
issuer = "https://login.example.com/"
audience = ["a", "b"]
cache_enabled = false
claims_to_headers = { sub = "X-User-Id" }
[security.access_control]
allowed_ips = ["10.0.0.0/8"]
denied_ips = ["10.0.0.1"]
trust_proxy_headers = true
trusted_proxies = ["10.0.0.2"]
[security.rate_limit]
rate_per_sec = 13
burst = 14
store = "redis://h"
store_timeout = 0.015
[routing]
enabled = false
enable_logging = true
default_target = "a"
[security.ddos]
max_headers = 1
max_header_bytes = 1000
max_body_bytes = 2
require_content_length = true
max_connections = 3
max_connections_per_ip = 4
min_body_bytes_per_sec = 0
[tls]
enabled = false
port = 8444
cert_path = "/c.pem"
key_path = "/c.key"
min_version = "TLSv1.2"
redirect_http = true
redirect_port = 443
certificates = [{ domain = "*.Example.org", cert_file = "/o.pem", key_file = "/o.key" }]
[error_pages]
problem_json = false
pages = [{ status = [404, "5XX"], text = "{code}", content_type = "text/html" }]
`);
  assert.deepEqual(config, {
    server: {
      bind: { hostname: "::1", port: 8000 },
      workers: 2,
      keepAliveTimeoutMs: 60_000,
      headerTimeoutMs: 10_000,
      requestTimeoutMs: 1001,
      sendTimeoutMs: 60_000,
      shutdownDelayMs: 500,
      shutdownTimeoutMs: 0,
    },
    domains: { intercept: ["example.com", "*.test.com", "shop.*"], exclude: ["health.example.com"] },
    targets: {
      targets: [
        {
          name: "a",
          url: "https://[2001:db8::1]/api",
          protocol: "https",
          hostname: "2001:db8::1",
          port: 443,
          basePath: "/api",
          group: "main",
          weight: 0.5,
          timeoutMs: 7000,
          maxConnections: 12,
          backup: true,
        },
        {
          name: "b",
          url: "http://b.internal",
          protocol: "http",
          hostname: "b.internal",
          port: 80,
          basePath: "",
          group: null,
          weight: 2,
          timeoutMs: null,
          maxConnections: null,
          backup: false,
        },
      ],
      balancing: { type: "weighted", stickySessions: true, maxQueue: 9, queueTimeoutMs: 1500 },
      healthCheck: {
        enabled: false,
        intervalMs: 9000,
        timeoutMs: 3000,
        healthyThreshold: 4,
        unhealthyThreshold: 5,
        path: "/up?deep=1",
      },
      circuitBreaker: {
        enabled: true,
        consecutiveFailures: 6,
        failureRatio: 0.25,
        slowCallMs: 750,
        slowCallRatio: 0.9,
        windowMs: 5000,
        minRequests: 7,
        failureStatuses: [500, 599],
        openMs: 8000,
        maxOpenMs: 64_000,
        halfOpenRequests: 2,
        maxEjectedPercent: 34,
      },
      slowStartMs: 45_000,
    },
    logging: {
      enabled: false,
      type: "both",
      level: "debug",
      retentionDays: 30,
      flushIntervalMs: 1000,
      overflow: "block",
      queueMaxBytes: 1_000_000,
      recordQuery: true,
      file: { directory: "/var/log/dispa", rotation: false, maxFileSizeBytes: 2000 },
      database: {
        url: "postgresql://u:p@db/dispa",
        maxConnections: 3,
        connectionTimeoutMs: 4000,
        required: false,
        spoolMaxBytes: 100_000,
        spoolDirectory: "/var/spool/dispa",
      },
    },
    monitoring: {
      enabled: false,
      bindHostname: "::1",
      metricsPort: 9,
      healthCheckPort: 10,
      histogramBucketsMs: { dispa_request_duration_seconds: [0.5, 1, 20] },
    },
    httpClient: {
      transport: "http1",
      poolMaxIdlePerHost: 0,
      poolIdleTimeoutMs: 11_000,
      connectTimeoutMs: 12_000,
      caPath: null,
      clientCertificate: null,
    },
    websocket: {
      enabled: true,
      idleTimeoutMs: 0,
      maxMessageBytes: 67108864,
      pingIntervalMs: 30000,
      maxBufferedBytes: 1048576,
    },
    retry: {
      enabled: true,
      attempts: 4,
      onCauses: ["bad_response", "connect"],
      onStatuses: [503],
      methods: ["GET", "PURGE"],
      perTryTimeoutMs: 500,
      totalTimeoutMs: 2000,
      maxBodyBytes: 1000,
      backoff: { baseMs: 10, maxMs: 1000 },
      budget: { percent: 12.5, minPerSecond: 0.5 },
    },
    plugins: {
      enabled: false,
      applyBeforeDomainMatch: false,
      plugins: [{
        name: "p",
        type: "blocklist",
        enabled: false,
        stage: "both",
        scope: "all",
        errorStrategy: "fail",
        config: { paths: ["/a/"] },
        settings: { hosts: [], paths: ["/a"] },
      }],
    },
    security: {
      enabled: true,
      accessControl: {
        enabled: true,
        allowedIps: ["10.0.0.0/8"],
        deniedIps: ["10.0.0.1"],
        trustProxyHeaders: true,
        trustedProxies: ["10.0.0.2"],
      },
      rateLimit: { ratePerSec: 13, burst: 14, store: "redis://h", storeTimeoutMs: 15 },
      exemptPaths: ["/health"],
      auth: { mode: "apikey", headerName: "x-key", keys: ["0123456789abcdef"] },
      jwt: {
        algorithm: "ES256",
        secret: "unused",
        keys: [{
          kid: "k",
          jwk: {
            kty: "EC",
            crv: "P-256",
            x: "azmS65cEw4QZijv5X5jodTJ4f-1B9gdhmplJciK4oZk",
            y: "sAijc8sbnfg1UXfb-X_RSQ0bhBd6WqJVUyxzVdO2TJ8",
          },
        }],
        jwksUrl: "https://login.example.com/jwks",
        jwksCacheMs: 30_000,
        jwksStaleMs: 0,
        leewayMs: 500,
        issuers: ["https://login.example.com/"],
        audiences: ["a", "b"],
        cacheEnabled: false,
        claimHeaders: [{ claim: "sub", header: "x-user-id" }],
      },
      ddos: {
        maxHeaders: 1,
        maxHeaderBytes: 1000,
        maxBodyBytes: 2,
        requireContentLength: true,
        maxConnections: 3,
        maxConnectionsPerIp: 4,
        minBodyBytesPerSecond: 0,
      },
    },
    tls: {
      enabled: false,
      port: 8444,
      plainHttp: true,
      defaultCertificate: { certPath: "/c.pem", keyPath: "/c.key" },
      certificates: [{ domain: "*.example.org", certPath: "/o.pem", keyPath: "/o.key" }],
      minVersion: "1.2",
      redirectHttp: true,
      redirectPort: 443,
    },
    routing: { enabled: false, enableLogging: true, defaultTarget: "a", rules: [] },
    errorPages: {
      problemJson: false,
      pages: [{ statuses: [404, "5xx"], file: null, text: "{code}", contentType: "text/html" }],
    },
  });
});

Deno.test("every problem of a file is reported at once, with line, column, key, what was found and what is wanted", async () => {
  const { errors, warnings } = await check(`[sever]
x = 1
[server]
bind = "::1:8080"
workers = 1e9
keep_alive_timeout = -1
request_timeout = nan
header_timout = 3
[domains]
intercept_domains = ["a*b.com", "ok.com"]
[[targets.targets]]
name = "a"
url = "ftp://x"
weight = 0
[[targets.targets]]
name = "a"
adress = "http://x"
[targets.load_balancing]
type = "weigted"
[targets.health_check]
interval = 2
timeout = 2
[logging]
database = { max_connections = 1.5 }
file.directory = "../logs"
[monitoring]
metrics_port = 8081
[[monitoring.histogram_buckets]]
metric = "dispa_log_write_duration"
buckets_ms = [3, 2]
`);
  assert.deepEqual(errors, [
    'x.toml:4:8 server.bind: found "::1:8080", wanted HOST:PORT, [IPV6]:PORT or :PORT, such as "0.0.0.0:8080": ' +
    "an IPv6 address needs [ ] here",
    "x.toml:5:11 server.workers: found 1000000000, wanted a whole number from 1 to 256",
    "x.toml:6:22 server.keep_alive_timeout: found -1, wanted a number of seconds from 0.001 to 86400",
    "x.toml:7:19 server.request_timeout: found nan, wanted a finite number",
    'x.toml:10:22 domains.intercept_domains[0]: found "a*b.com", wanted a domain such as "example.com", ' +
    '"*.example.com", "example.*" or "*": * stands only for the first or the last part',
    'x.toml:13:7 targets.targets[0].url: found "ftp://x", wanted an http:// or https:// URL such as ' +
    '"http://10.0.0.1:8080"',
    "x.toml:14:10 targets.targets[0].weight: found 0, wanted a number from 0.001 to 1000000",
    "x.toml:15:3 targets.targets[1].url: missing, wanted an http:// or https:// URL in quotes",
    'x.toml:16:8 targets.targets[1].name: found "a" again after targets.targets[0].name, wanted unique names',
    'x.toml:19:8 targets.load_balancing.type: found "weigted", wanted one of roundrobin, weighted, random, ' +
    "leastconnections",
    "x.toml:22:11 targets.health_check.timeout: found 2, wanted less than interval, which is 2",
    "x.toml:24:32 logging.database.max_connections: found 1.5, wanted a whole number from 1 to 1000",
    'x.toml:25:18 logging.file.directory: found "../logs", wanted a path of 1 to 4096 characters without ".." parts',
    "x.toml:27:16 monitoring.metrics_port: found port 8081, which monitoring.health_check_port has too by default, " +
    "wanted another",
    "x.toml:30:14 monitoring.histogram_buckets[0].buckets_ms: found a list of 2 entries, wanted 1 to 100 rising " +
    "numbers above 0, in milliseconds",
  ]);
  assert.deepEqual(warnings, [
    "x.toml:1:2 sever: unknown key, did you mean server?",
    "x.toml:8:1 server.header_timout: unknown key, did you mean header_timeout?",
    "x.toml:17:1 targets.targets[1].adress: unknown key, did you mean address?",
    'x.toml:29:10 monitoring.histogram_buckets[0].metric: no histogram is called "dispa_log_write_duration", ' +
    "did you mean dispa_log_write_duration_ms?",
  ]);
});

const texts: [title: string, text: string, errors: string[]][] = [
  ["an empty file names the missing target", "", [
    "x.toml:1:1 targets.targets: missing, wanted at least one [[targets.targets]] with a name and a url",
  ]],
  ["an empty list of targets is refused", "[targets]\ntargets = []\n", [
    "x.toml:2:11 targets.targets: found a list of 0 entries, wanted at least one [[targets.targets]] with a name and a url",
  ]],
  ["a list in the place of a section is refused", '[[targets]]\nname = "a"\n', [
    "x.toml:1:3 targets: found a list of 1 entry, wanted a table",
  ]],
  ["a value in the place of a section is refused", "server = 3\n" + ONE_TARGET, [
    "x.toml:1:10 server: found 3, wanted a table",
  ]],
  ["bad TOML is told with its place", "[server]\nworkers = \n", [
    "x.toml:2:11: not valid TOML: invalid value",
  ]],
  ["an unclosed string is told in plain words", 'a = "x\n', [
    "x.toml:1:7: not valid TOML: control characters are not allowed in strings; is a closing quotation mark missing?",
  ]],
  ["a key that would reach into objects is refused", "[server.__proto__]\nworkers = 1\n", [
    "x.toml:1:2: not valid TOML: document contains an unsafe property",
  ]],
  [
    "dates are refused even where any value may stand",
    "plugins.plugins = [{ name = 'p', type = 'wasm', config.d = 1979-05-27 }]\n" + ONE_TARGET,
    [
      "x.toml:1:49 plugins.plugins[0].config.d: unknown key, known in plugins.plugins[0].config are module_path, " +
      "timeout_ms, max_concurrency, memory_max_bytes, max_output_bytes, threads",
      "x.toml:1:49 plugins.plugins[0].config.module_path: missing, wanted a path in quotes",
      "x.toml:1:60 plugins.plugins[0].config.d: found a date, wanted a string, number, true, false, list or table",
    ],
  ],
  ["deep nesting is refused", "a" + ".a".repeat(20_000) + " = 1\n" + ONE_TARGET, [
    `x.toml:1:1 a${".a".repeat(31)}: nested more than 32 levels deep`,
  ]],
  [
    "terminal escapes and long values are not echoed",
    `[server]\nbind = "\\u001b[31m${"x".repeat(200)}\\u009b"\n` + ONE_TARGET,
    [
      `x.toml:2:8 server.bind: found "\\u001b[31m${
        "x".repeat(95)
      }…", wanted HOST:PORT, [IPV6]:PORT or :PORT, such as "0.0.0.0:8080"`,
    ],
  ],
  [
    "a password is not echoed",
    '[logging.database]\nurl = "mysql://root:p@ss#w@db/x?password=y"\n' + ONE_TARGET,
    [
      'x.toml:2:7 logging.database.url: found "mysql://root:********@db/x?password=********", wanted sqlite://PATH, ' +
      "sqlite::memory: or postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    ],
  ],
  [
    "protections that are misspelt end the start",
    `[security]
ddos.max_header = 3
[security.access_control]
trust_proxy_headers = true
alowed_ips = []
[security.waf]
` + ONE_TARGET,
    [
      "x.toml:2:1 security.ddos.max_header: unknown key, did you mean max_headers?",
      "x.toml:5:1 security.access_control.alowed_ips: unknown key, did you mean allowed_ips?",
      "x.toml:6:2 security.waf: unknown key, known in security are enabled, access_control, " +
      "exempt_paths, auth, jwt, rate_limit, ddos",
    ],
  ],
  [
    "patterns with * need enable_wildcard",
    '[domains]\nwildcard_support = false\nintercept_domains = ["a.de", "*.b.de"]\nexclude_domains = ["c.*"]\n' +
    ONE_TARGET,
    [
      'x.toml:3:30 domains.intercept_domains[1]: found "*.b.de", wanted a name without *, because domains.enable_wildcard is false',
      'x.toml:4:20 domains.exclude_domains[0]: found "c.*", wanted a name without *, because domains.enable_wildcard is false',
    ],
  ],
  ["the default pattern needs enable_wildcard, too", "[domains]\nenable_wildcard = false\n" + ONE_TARGET, [
    'x.toml:2:19 domains.enable_wildcard: found false, wanted intercept_domains beside it, whose default is ["*"]',
  ]],
  [
    "plugin names and histograms are unique",
    `[plugins]
plugins = [{ name = "p", type = "blocklist" }, { name = "p", type = "blocklist" }]
[monitoring]
histogram_buckets = [
  { metric = "dispa_log_write_duration_ms", buckets_ms = [1] },
  { metric = "dispa_log_write_duration_ms", buckets_ms = [2] },
]
` + ONE_TARGET,
    [
      'x.toml:2:57 plugins.plugins[1].name: found "p" again after plugins.plugins[0].name, wanted unique names',
      'x.toml:6:14 monitoring.histogram_buckets[1].metric: found "dispa_log_write_duration_ms" again after ' +
      "monitoring.histogram_buckets[0].metric, wanted unique names",
    ],
  ],
  [
    "a circuit's longest time is no shorter than its first",
    "[targets.circuit_breaker]\nenabled = true\nopen_secs = 20\nmax_open_secs = 19\n" + ONE_TARGET,
    ["x.toml:4:17 targets.circuit_breaker.max_open_secs: found 19, wanted no less than open_secs, which is 20"],
  ],
  [
    "a circuit's first time is no longer than its longest, by default too",
    "[targets.circuit_breaker]\nenabled = true\nopen_secs = 300\n" + ONE_TARGET,
    [
      "x.toml:3:13 targets.circuit_breaker.open_secs: found 300, wanted no more than max_open_secs, which is 120 by default",
    ],
  ],
  [
    "what is tried again is named by known causes and by statuses of failures",
    '[retry]\nenabled = true\non = ["conect", 200, 503]\nmethods = ["GET POST"]\n' + ONE_TARGET,
    [
      'x.toml:3:7 retry.on[0]: found "conect", wanted one of connect, reset, timeout, bad_response in quotes, or a ' +
      "status from 400 to 599",
      "x.toml:3:17 retry.on[1]: found 200, wanted a status from 400 to 599",
      'x.toml:4:12 retry.methods[0]: found "GET POST", wanted a method such as "GET", of 1 to 32 characters without ' +
      "spaces",
    ],
  ],
  ["the proxy's port differs from the others", '[server]\nbind = ":9090"\n' + ONE_TARGET, [
    "x.toml:2:8 server.bind: found port 9090, which monitoring.metrics_port has too by default, wanted another",
  ]],
];

for (const [title, text, expected] of texts) {
  Deno.test(title, async () => {
    const { config, errors } = await check(text);
    assert.deepEqual(errors, expected);
    assert.equal(config, null);
  });
}

Deno.test("port 0 may be given to every listener", async () => {
  const config = await accepted(
    '[server]\nbind = "127.0.0.1:0"\n[monitoring]\nmetrics_port = 0\nhealth_check_port = 0\n' + ONE_TARGET,
  );
  assert.deepEqual(
    [config.server.bind.port, config.monitoring.metricsPort, config.monitoring.healthCheckPort],
    [0, 0, 0],
  );
});

Deno.test("ports of listeners that are switched off do not collide", async () => {
  await accepted("[monitoring]\nenabled = false\nmetrics_port = 8080\n" + ONE_TARGET);
});

Deno.test("an unknown key is a warning, and an error where that is asked for", async () => {
  const text = "[http_client]\nzzz = 1\nmax_idle = 2\n" + ONE_TARGET;
  const expected = [
    "x.toml:2:1 http_client.zzz: unknown key, known in http_client are transport, pool_max_idle_per_host, " +
    "pool_idle_timeout_secs, connect_timeout_secs, ca_file, client_cert_file, client_key_file, insecure_skip_verify",
    "x.toml:3:1 http_client.max_idle: unknown key, known in http_client are transport, pool_max_idle_per_host, " +
    "pool_idle_timeout_secs, connect_timeout_secs, ca_file, client_cert_file, client_key_file, insecure_skip_verify",
  ];
  const lenient = await check(text);
  assert.deepEqual([lenient.config !== null, lenient.errors, lenient.warnings], [true, [], expected]);
  const strict = await check(text, {}, { strict: true });
  assert.deepEqual([strict.config, strict.errors, strict.warnings], [null, expected, []]);
});

const idle: [title: string, text: string, warning: string][] = [
  [
    "an empty list of domains is told to intercept nothing",
    "[domains]\nintercept_domains = []\n" + ONE_TARGET,
    'x.toml:2:21 domains.intercept_domains: the list is empty, so that no request is forwarded; all is ["*"]',
  ],
  [
    "an exclusion of everything is told to intercept nothing",
    '[domains]\nexclude_domains = ["*"]\n' + ONE_TARGET,
    'x.toml:2:19 domains.exclude_domains: excludes "*", so that no request is forwarded',
  ],
  [
    "weights that play no part are told",
    ONE_TARGET + 'weight = 2\n[[targets.targets]]\nname = "u"\nurl = "http://u"\n',
    "x.toml:1:3 targets.load_balancing.type: roundrobin gives every target the same share, their different weights " +
    "play no part: use weighted",
  ],
  [
    "backups that are no backups are told",
    ONE_TARGET + "backup = true\n",
    "x.toml:4:10 targets.targets[0].backup: every target is a backup, so that all of them are used at any time",
  ],
  [
    "a circuit breaker without its switch is told",
    "[targets.circuit_breaker]\nopen_secs = 5\n" + ONE_TARGET,
    "x.toml:1:2 targets.circuit_breaker: plays no part: add enabled = true to it, or enabled = false to keep it for later",
  ],
  [
    "retries without their switch are told",
    "[retry]\nattempts = 5\n" + ONE_TARGET,
    "x.toml:1:2 retry: plays no part: add enabled = true to it, or enabled = false to keep it for later",
  ],
  [
    "a share of slow requests without a measure of slow is told",
    "[targets.circuit_breaker]\nenabled = true\nslow_call_ratio = 0.3\n" + ONE_TARGET,
    "x.toml:3:19 targets.circuit_breaker.slow_call_ratio: plays no part without slow_call_secs",
  ],
  [
    "a circuit breaker that never opens is told",
    "[targets.circuit_breaker]\nenabled = true\nconsecutive_failures = 0\nfailure_ratio = 0\n" + ONE_TARGET,
    "x.toml:3:24 targets.circuit_breaker.consecutive_failures: no circuit ever opens: consecutive_failures and " +
    "failure_ratio are 0, and slow_call_secs is not set",
  ],
  [
    "an attempt that takes all the time is told",
    "[server]\nrequest_timeout = 10\n[retry]\nenabled = true\nper_try_timeout = 10\n" + ONE_TARGET,
    "x.toml:5:19 retry.per_try_timeout: leaves no time for another attempt after a timeout: total_timeout is 10",
  ],
];

for (const [title, text, warning] of idle) {
  Deno.test(title, async () => {
    const { config, warnings } = await check(text);
    assert.deepEqual(warnings, [warning]);
    assert.ok(config);
  });
}

Deno.test("a flood of problems is cut short, and counted", async () => {
  const { warnings } = await check(
    Array.from({ length: 700 }, (_, i) => `k${i} = 1`).join("\n") + "\n" + ONE_TARGET,
  );
  assert.equal(warnings.length, 501);
  assert.equal(warnings[500], "x.toml: and 200 more of these");
});

Deno.test("the time of a health check is half the interval where 5 s would be too long", async () => {
  const short = await accepted("[targets.health_check]\ninterval = 3\n" + ONE_TARGET);
  assert.equal(short.targets.healthCheck.timeoutMs, 1500);
  const { errors } = await check("[targets.health_check]\ninterval = 3\ntimeout = 5\n" + ONE_TARGET);
  assert.deepEqual(errors, [
    "x.toml:3:11 targets.health_check.timeout: found 5, wanted less than interval, which is 3",
  ]);
  const off = await accepted(
    "[targets.health_check]\nenabled = false\ninterval = 3\ntimeout = 5\n" + ONE_TARGET,
  );
  assert.equal(off.targets.healthCheck.timeoutMs, 5000);
});
