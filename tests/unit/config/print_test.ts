import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { checkConfig, type Config, printConfig, redactUrl } from "../../../src/config/mod.ts";
import { escapeVariables } from "../../../src/config/tree.ts";
import { parseFilePath, parseName } from "../../../src/config/text_values.ts";
import { accepted, check, ONE_TARGET } from "./support.ts";

/** A table with any subset of the keys. */
const some = <Keys extends Record<string, fc.Arbitrary<unknown>>>(keys: Keys) =>
  fc.record(keys, { requiredKeys: [] });
const milliseconds = (minimum = 1, maximum = 86_400_000) =>
  fc.integer({ min: minimum, max: maximum }).map((value) => value / 1000);
const bytes = fc.integer({ min: 65_536, max: 2 ** 30 });
const port = (base: number) => fc.integer({ min: base, max: base + 999 });
const names = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" })
  .filter((text) => parseName(text).ok).map((text) => text.toWellFormed());
const written = names.map(escapeVariables);
const domains = fc.array(
  fc.oneof(
    fc.domain(),
    fc.domain().map((name) => `*.${name}`),
    fc.domain().map((name) => `${name.split(".")[0]}.*`),
    fc.constant("*"),
    fc.ipV4(),
  ).filter((name) => name.length < 200),
  { maxLength: 4 },
);
const ranges = fc.array(fc.oneof(fc.ipV4(), fc.constantFrom("10.*", "10.1.0.0/16", "10.2.3.*")), {
  maxLength: 3,
});
const headers = fc.dictionary(
  fc.stringMatching(/^X-[a-z0-9]{1,8}$/),
  fc.constantFrom("", "generated", "a ${b} c", "{{uuid}}").map(escapeVariables),
  { maxKeys: 3, noNullPrototype: true },
);
const host = fc.constantFrom("App.Internal", "[0:0::1]", "10.0.0.1");
const path = fc.constantFrom("/", "/a/", "/\u00e9 x/${b}").map(escapeVariables);
/** A plugin's type with settings that it takes. */
const typed = fc.oneof(
  some({ request_headers: headers, response_headers: headers }).map((config) => ({
    type: "HeaderInjector",
    config,
  })),
  some({ request_headers: headers, remove_response_headers: fc.constant(["ETag"]) }).map((config) => ({
    type: "header_override",
    config,
  })),
  some({ hosts: fc.array(host), paths: fc.array(path) }).map((config) => ({ type: "blocklist", config })),
  fc.record({ from_prefix: path, to_prefix: path }).map((config) => ({ type: "pathrewrite", config })),
  fc.record({ to: host, from: host }, { requiredKeys: ["to"] }).map((config) => ({
    type: "hostrewrite",
    config,
  })),
);

const files = some({
  server: some({
    bind_address: port(1000).map((value) => `[::1]:${value}`),
    workers: fc.integer({ min: 1, max: 256 }),
    keep_alive_timeout: milliseconds(),
    header_timeout: milliseconds(),
    request_timeout: milliseconds(),
    send_timeout: milliseconds(),
    shutdown_timeout: milliseconds(0),
  }),
  domains: some({ intercept_domains: domains, exclude_domains: domains }),
  load_balancing: some({
    type: fc.constantFrom("roundrobin", "Weighted", "random", "least_connections"),
    sticky_sessions: fc.boolean(),
    max_queue: fc.nat(65_535),
    queue_timeout: milliseconds(),
  }),
  circuit_breaker: some({
    enabled: fc.boolean(),
    consecutive_failures: fc.nat(10_000),
    failure_ratio: fc.nat(1000).map((value) => value / 1000),
    slow_call_secs: milliseconds(),
    slow_call_ratio: fc.integer({ min: 10, max: 1000 }).map((value) => value / 1000),
    window_secs: milliseconds(1000, 3_600_000),
    min_requests: fc.integer({ min: 1, max: 1_000_000 }),
    failure_statuses: fc.array(fc.integer({ min: 400, max: 599 }), { maxLength: 4 }),
    open_secs: milliseconds(100, 100_000),
    max_open_secs: milliseconds(100_000, 86_400_000),
    half_open_requests: fc.integer({ min: 1, max: 1000 }),
    max_ejected_percent: fc.nat(100),
  }),
  slow_start: milliseconds(0),
  health_check: some({
    enabled: fc.boolean(),
    interval: milliseconds(2000, 60_000),
    timeout: milliseconds(1, 1999),
    healthy_threshold: fc.integer({ min: 1, max: 1000 }),
    unhealthy_threshold: fc.integer({ min: 1, max: 1000 }),
    path: fc.constantFrom("/", "/up?a=${b}").map(escapeVariables),
  }),
  logging: some({
    enabled: fc.boolean(),
    type: fc.constantFrom("file", "database", "both"),
    level: fc.constantFrom("debug", "info", "warn", "error"),
    retention_days: fc.nat(36_500),
    flush_interval: milliseconds(1, 60_000),
    overflow: fc.constantFrom("drop", "block"),
    queue_max_bytes: bytes,
    record_query: fc.boolean(),
    file: some({
      directory: names.filter((text) => parseFilePath(text).ok).map(escapeVariables),
      rotation: fc.boolean(),
      max_file_size: bytes,
    }),
    database: some({
      url: fc.constantFrom("sqlite::memory:", "sqlite:///a/b.db", "postgresql://u@h/d"),
      max_connections: fc.integer({ min: 1, max: 1000 }),
      connection_timeout: milliseconds(),
      required: fc.boolean(),
      spool_max_bytes: bytes,
      spool_directory: fc.constant("./x"),
    }),
  }),
  monitoring: some({
    enabled: fc.boolean(),
    bind_address: fc.constantFrom("::1", "localhost", "10.0.0.1"),
    metrics_port: port(20_000),
    health_check_port: port(30_000),
    histogram_buckets: fc.uniqueArray(
      fc.record({
        metric: fc.constantFrom("dispa_log_write_duration_ms", "dispa_request_duration_seconds"),
        buckets_ms: fc.uniqueArray(fc.integer({ min: 1, max: 9999 }), { minLength: 1, maxLength: 5 })
          .map((bounds) => bounds.sort((a, b) => a - b).map((bound) => bound / 8)),
      }),
      { selector: ({ metric }) => metric },
    ),
  }),
  http_client: some({
    transport: fc.constantFrom("auto", "http1", "fetch"),
    pool_max_idle_per_host: fc.nat(65_535),
    pool_idle_timeout_secs: milliseconds(),
    connect_timeout_secs: milliseconds(),
  }),
  error_pages: some({
    problem_json: fc.boolean(),
    pages: fc.uniqueArray(
      fc.record({
        status: fc.constantFrom(404, 502, "4xx", "5XX").map((status) => [status]),
        text: fc.constantFrom("", "{code} ${b}\n").map(escapeVariables),
        content_type: fc.constantFrom("text/html", "application/json; charset=utf-8"),
      }, { requiredKeys: ["status", "text"] }),
      { selector: ({ status }) => String(status[0]) },
    ),
  }),
  retry: some({
    enabled: fc.boolean(),
    attempts: fc.integer({ min: 1, max: 10 }),
    on: fc.tuple(
      fc.subarray(["connect", "reset", "timeout", "bad_response"]),
      fc.uniqueArray(fc.integer({ min: 400, max: 599 }), { maxLength: 4 }),
    ).map(([causes, statuses]) => [...causes, ...statuses]),
    methods: fc.subarray(["GET", "POST", "M-SEARCH"]),
    per_try_timeout: milliseconds(),
    total_timeout: milliseconds(),
    max_body_bytes: fc.nat(16_777_216),
    backoff: some({ base: milliseconds(0, 60_000), max: milliseconds(0, 60_000) }),
    budget: some({ percent: fc.nat(8000).map((value) => value / 8), min_per_sec: fc.nat(1_000_000) }),
  }),
  websocket: some({
    enabled: fc.boolean(),
    idle_timeout: milliseconds(),
    max_message_bytes: fc.integer({ min: 1, max: 67_108_864 }),
    ping_interval: milliseconds(),
    max_buffered_bytes: fc.integer({ min: 1024, max: 1_000_000 }),
  }),
  plugins: some({
    enabled: fc.boolean(),
    apply_before_domain_match: fc.boolean(),
    plugins: fc.uniqueArray(
      fc.tuple(
        typed,
        fc.record({
          name: written,
          enabled: fc.boolean(),
          stage: fc.constantFrom("request", "both"),
          error_strategy: fc.constantFrom("continue", "fail"),
        }, { requiredKeys: ["name"] }),
      ).map(([typed, rest]) => ({ ...typed, ...rest })),
      { selector: ({ name }) => name, maxLength: 3 },
    ),
  }),
  security: some({
    enabled: fc.boolean(),
    access_control: some({
      enabled: fc.boolean(),
      allowed_ips: ranges.filter((list) => list.length > 0),
      denied_ips: fc.array(fc.ipV6().map((ip) => `${ip}/128`), { maxLength: 3 }),
      trust_proxy_headers: fc.boolean(),
    }),
    rate_limit: fc.record({
      enabled: fc.boolean(),
      rate_per_sec: fc.integer({ min: 1, max: 10 ** 9 }).map((value) => value / 1000),
      burst: fc.integer({ min: 2, max: 2_000_000 }).map((value) => value / 2),
      store: fc.constantFrom("redis://h", "rediss://[::1]:7000/3"),
    }, { requiredKeys: ["rate_per_sec"] }),
    ddos: some({
      max_headers: fc.integer({ min: 1, max: 10_000 }),
      max_header_bytes: fc.integer({ min: 256, max: 1_048_576 }),
      max_body_bytes: fc.nat(),
      require_content_length: fc.boolean(),
      max_connections: fc.nat(1_000_000),
      max_connections_per_ip: fc.nat(1_000_000),
      min_body_bytes_per_sec: fc.nat(1_048_576),
    }),
  }),
  // What is enabled has files, which are read: see tls_test.ts.
  tls: fc.record({
    enabled: fc.constant(false),
    port: port(40_000),
    cert_file: fc.constant("/a.pem"),
    key_file: fc.constant("/a.key"),
    redirect_http: fc.boolean(),
    redirect_port: port(50_000),
    certificates: fc.constantFrom([], [{ domain: "*.b.de", cert_path: "b.pem", key_path: "b.key" }]),
  }, { requiredKeys: ["enabled", "cert_file", "key_file"] }),
});

const targets = fc.uniqueArray(
  fc.record({
    name: written,
    url: fc.constantFrom("http://h:81/", "https://[::1]/base/", "HTTP://Up.Stream"),
    weight: fc.integer({ min: 1, max: 10_000 }).map((value) => value / 1000),
    timeout: milliseconds(),
    max_connections: fc.integer({ min: 1, max: 1_000_000 }),
    backup: fc.boolean(),
  }, { requiredKeys: ["name", "url"] }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 4 },
);

async function configOf(text: string): Promise<Config> {
  const { config, errors } = await check(text, {}, { strict: true });
  assert.deepEqual(errors, [], text);
  assert.ok(config);
  return config;
}

Deno.test("a printed configuration loads back to the same, whatever keys were set", async () => {
  await fc.assert(
    fc.asyncProperty(
      files,
      targets,
      async ({ load_balancing, health_check, circuit_breaker, slow_start, ...file }, targets) => {
        const document = {
          ...file,
          targets: { targets, load_balancing, health_check, circuit_breaker, slow_start },
        };
        const config = await configOf(stringify(document));
        assert.deepEqual(await configOf(printConfig(config)), config);
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("a printed configuration tells every default, in the file's units", async () => {
  const printed = printConfig(await accepted(ONE_TARGET));
  for (
    const line of [
      'bind_address = "0.0.0.0:8080"',
      "keep_alive_timeout = 60",
      "flush_interval = 0.1",
      'type = "roundrobin"',
      "timeout = 5",
      "metrics_port = 9090",
      "trust_proxy_headers = false",
    ]
  ) assert.ok(printed.split("\n").includes(line), line);
});

Deno.test("the database's password is masked when printed, and the rest loads back", async () => {
  const config = await accepted(`logging.database.url = "postgresql://u:$\${x}geheim@h/d"\n${ONE_TARGET}`);
  assert.equal(config.logging.database.url, "postgresql://u:${x}geheim@h/d");
  const printed = printConfig(config);
  assert.ok(!printed.includes("geheim"));
  assert.ok(printed.includes('url = "postgresql://u:********@h/d"'));
  assert.equal(
    config.logging.database.url,
    "postgresql://u:${x}geheim@h/d",
    "the configuration itself is unchanged",
  );
  config.logging.database.url = redactUrl(config.logging.database.url);
  assert.deepEqual(await configOf(printed), config);
});

Deno.test("no secret is printed, wherever it stands, and everything else is", async () => {
  const text = `${ONE_TARGET}
[logging.database]
url = "postgresql://u:geheim@h/d?sslpassword=geheim&x=shown-1"
[security.rate_limit]
rate_per_sec = 1
store = "redis://:geheim@h:1/0"
[[plugins.plugins]]
name = "shown-2"
type = "command"
[plugins.plugins.config]
exec = "/bin/true"
args = ["--url", "https://u:geheim@h/shown-3", "--token=\${UPSTREAM_TOKEN}", "\${UPSTREAM_HOST}"]
[plugins.plugins.config.env]
ANY = "geheim"
[[routing.rules]]
name = "shown-4"
[[routing.rules.conditions.headers]]
name = "X-Auth-Token"
value = "geheim"
[[routing.rules.conditions.headers]]
name = "X-Other"
value = "shown-5"
[routing.rules.request_actions.headers]
set = { Authorization = "Bearer geheim", Accept = "shown-6" }
`;
  const environment = new Map([["UPSTREAM_TOKEN", "heimlich"], ["UPSTREAM_HOST", "shown-7"]]);
  const checked = await checkConfig(text, { path: "x.toml", environment });
  assert.ok(checked.ok, JSON.stringify(checked));
  const printed = printConfig(checked.config, text, environment);
  assert.ok(!/geheim|heimlich/.test(printed), printed);
  for (const shown of ["1", "2", "3", "4", "5", "6", "7"]) {
    assert.ok(printed.includes(`shown-${shown}`), shown);
  }
});
