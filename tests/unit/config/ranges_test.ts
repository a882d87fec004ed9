import assert from "node:assert/strict";
import { check, ONE_TARGET } from "./support.ts";

/** Values at the edges of what is allowed, and just beyond. */
const ranges: [key: string, allowed: string[], refused: string[]][] = [
  ["server.workers", ["1", "256"], ["0", "257", "1e9", "1.5", "-1", "nan", "inf", '"4"', "true"]],
  ...[
    "server.keep_alive_timeout",
    "server.header_timeout",
    "server.request_timeout",
    "server.send_timeout",
    "http_client.pool_idle_timeout_secs",
    "http_client.connect_timeout_secs",
    "logging.database.connection_timeout",
  ].map((key): [string, string[], string[]] => [
    key,
    ["0.001", "86400", "2.5"],
    ["0", "0.0009", "86400.1", "2147484", "-1", "nan", "inf", "-inf", '"5"', "1e300"],
  ]),
  ["security.ddos.max_headers", ["1", "10000"], ["0", "10001", "1.5"]],
  ["security.ddos.max_header_bytes", ["256", "1048576"], ["255", "1048577"]],
  ["security.ddos.max_body_bytes", ["0", "9007199254740991"], ["-1", "0.5", '"1MB"']],
  ["security.ddos.max_connections", ["0", "1000000"], ["-1", "1000001"]],
  ["security.ddos.max_connections_per_ip", ["0", "1000000"], ["-1", "1000001"]],
  ["security.ddos.min_body_bytes_per_sec", ["0", "1048576"], ["-1", "1048577"]],
  ["tls.port", ["1", "0", "65535"], ["-1", "65536", '"8443"']],
  ["tls.redirect_port", ["1", "65535"], ["0", "65536"]],
  ["tls.min_version", ['"1.2"', '"TLS1.2"', '"tlsv1_2"'], ['"1.1"', '"1.3"', '"SSLv3"', "1.2"]],
  ["http_client.insecure_skip_verify", ["false"], ["true"]],
  ["server.shutdown_delay", ["0", "86400"], ["-0.1", "86401", "nan"]],
  ["server.shutdown_timeout", ["0", "86400"], ["-0.1", "86401", "nan"]],
  ["targets.health_check.interval", ["0.05", "86400"], ["0.01", "0", "-30", "86401"]],
  ["targets.health_check.timeout", ["0.001", "29"], ["0", "-1", "30"]],
  ["targets.health_check.healthy_threshold", ["1", "1000"], ["0", "1001", "1.5"]],
  ["targets.health_check.unhealthy_threshold", ["1", "1000"], ["0", "1001", "-3"]],
  ["targets.health_check.path", ['"/"', '"/a?b=c"'], [
    '""',
    '"a"',
    '"/a b"',
    '"/a#b"',
    '"/a/../b"',
    '"/%2e%2E/b"',
    '"/ä"',
    '"/a\\nb"',
  ]],
  ["targets.slow_start", ["0", "86400"], ["-1", "86401", '"5"']],
  ["targets.load_balancing.max_queue", ["0", "65535"], ["-1", "65536", "1.5"]],
  ["targets.load_balancing.queue_timeout", ["0.001", "86400"], ["0", "-1"]],
  ["targets.circuit_breaker.consecutive_failures", ["0", "10000"], ["-1", "10001", "2.5"]],
  ["targets.circuit_breaker.failure_ratio", ["0", "1", "0.125"], ["-0.1", "1.1", "nan"]],
  ["targets.circuit_breaker.slow_call_secs", ["0.001", "86400"], ["0", "-1"]],
  ["targets.circuit_breaker.slow_call_ratio", ["0.01", "1"], ["0", "1.01"]],
  ["targets.circuit_breaker.window_secs", ["1", "3600"], ["0.9", "3601"]],
  ["targets.circuit_breaker.min_requests", ["1", "1000000"], ["0", "1000001"]],
  ["targets.circuit_breaker.failure_statuses", ["[]", "[400, 599]"], ["503", '"5xx"']],
  ["targets.circuit_breaker.open_secs", ["0.1", "120"], ["0.09", "3601"]],
  ["targets.circuit_breaker.max_open_secs", ["10", "86400"], ["0", "86401"]],
  ["targets.circuit_breaker.half_open_requests", ["1", "1000"], ["0", "1001"]],
  ["targets.circuit_breaker.max_ejected_percent", ["0", "100"], ["-1", "101", "0.5"]],
  ["retry.attempts", ["1", "10"], ["0", "11", "1.5"]],
  ["retry.on", ["[]", '["reset", 500]'], ['"reset"', "503"]],
  ["retry.methods", ["[]", '["GET", "M-SEARCH"]'], ['"GET"']],
  ["retry.per_try_timeout", ["0.001", "86400"], ["0", "-1"]],
  ["retry.total_timeout", ["0.001", "86400"], ["0", "-1"]],
  ["retry.max_body_bytes", ["0", "16777216"], ["-1", "16777217", "0.5"]],
  ["retry.backoff.base", ["0", "60"], ["-1", "61"]],
  ["retry.backoff.max", ["0", "60"], ["-1", "61"]],
  ["retry.budget.percent", ["0", "12.5", "1000"], ["-1", "1001"]],
  ["retry.budget.min_per_sec", ["0", "0.5", "1000000"], ["-1", "1000001"]],
  ["logging.retention_days", ["0", "36500"], ["-1", "36501", "0.5"]],
  ["logging.flush_interval", ["0.001", "60"], ["0", "61"]],
  ["logging.queue_max_bytes", ["65536", "1073741824"], ["65535", "1073741825", "-1"]],
  ["logging.overflow", ['"drop"', '"block"'], ['"wait"', "1"]],
  ["logging.level", ['"debug"', '"error"'], ['"loud"', '"trace"']],
  ["logging.file.directory", ['"logs"', '"/a/..b"'], [
    '""',
    '" "',
    '"../x"',
    '"/a/../b"',
    '"a\\\\..\\\\b"',
    '"a\\u0000b"',
    "1",
  ]],
  ["logging.file.max_file_size", ["1000", "1099511627776"], ["999", "1099511627777", "9007199254740993"]],
  ["logging.database.url", [
    '"sqlite::memory:"',
    '"sqlite:///abs/x.db"',
    '"postgres://h/d"',
    '"postgresql://u:p%40@h:5432/d?sslmode=require"',
  ], [
    '"sqlite://"',
    '"sqlite://../x.db"',
    '"sqlite://x.db?mode=rwc"',
    '"mysql://h/d"',
    '"postgresql://h:x/d"',
    '""',
  ]],
  ["logging.database.max_connections", ["1", "1000"], ["0", "1001"]],
  ["logging.database.spool_max_bytes", ["65536", "1099511627776"], ["0", "1e18"]],
  ["logging.database.spool_directory", ['"spool"'], ['"a/../../b"']],
  ["monitoring.metrics_port", ["0", "65535"], ["-1", "65536", "80.5"]],
  ["monitoring.health_check_port", ["0", "65535"], ["-1", "65536", '"8081"']],
  ["monitoring.bind_address", ['"localhost"', '"[::1]"', '"fe80::1"'], [
    '""',
    '"127.0.0.1:80"',
    '"1.2.3"',
    '"a b"',
  ]],
  ["http_client.pool_max_idle_per_host", ["0", "65535"], ["-1", "65536", "0.5"]],
  ["http_client.transport", ['"auto"', '"http1"', '"FETCH"'], ['"http2"', "true"]],
  ["security.enabled", ["true", "false"], ["0", '"yes"']],
  ["security.access_control.enabled", ["true", "false"], ["0", '"yes"']],
  ["security.rate_limit.rate_per_sec", ["0.001", "1000000", "2.5"], ["0", "-1", "1000001", "nan", '"5"']],
  ["websocket.idle_timeout", ["0", "86400"], ["-1", "86401", "nan"]],
  ["websocket.ping_interval", ["0", "0.5", "86400"], ["-1", "86401", '"30"']],
  ["websocket.max_message_bytes", ["1", "67108864"], ["0", "67108865", "1.5"]],
  ["websocket.max_buffered_bytes", ["1024", "1073741824"], ["1023", "1073741825"]],
  ["security.access_control.trust_proxy_headers", ["true", "false"], ["1", '"true"']],
];

for (const [key, allowed, refused] of ranges) {
  Deno.test(`${key} takes what is in its range, and refuses what is not`, async () => {
    for (const value of allowed) {
      const { errors } = await check(`${key} = ${value}\n${ONE_TARGET}`);
      assert.deepEqual(errors, [], value);
    }
    for (const value of refused) {
      const { errors } = await check(`${key} = ${value}\n${ONE_TARGET}`);
      assert.equal(errors.length, 1, `${value}: ${errors.join("; ")}`);
      // What the TOML parser itself refuses has no key.
      assert.ok(
        errors[0].startsWith(`x.toml:1:${key.length + 4} ${key}: found`) ||
          errors[0].includes("not valid TOML"),
        errors[0],
      );
    }
  });
}

const entries: [key: string, allowed: string[], refused: string[]][] = [
  ["name", ['"b"', '"back end"', '"后端"'], [
    '""',
    '" b"',
    '"a\\nb"',
    '"a\\u202eb"',
    `"${"x".repeat(129)}"`,
    "1",
  ]],
  ["weight", ["0.001", "1000000"], ["0", "-1", "0.0001", "1000001", "nan", "inf"]],
  ["timeout", ["0.001", "86400"], ["0", "86401", "-1"]],
  ["max_connections", ["1", "1000000"], ["0", "-1", "1000001", "1.5"]],
  ["backup", ["true", "false"], ["1", '"yes"']],
];

for (const [key, allowed, refused] of entries) {
  Deno.test(`a target's ${key} takes what is in its range, and refuses what is not`, async () => {
    const withValue = (value: string) =>
      `[[targets.targets]]\n${key} = ${value}\nurl = "http://h"\n${key === "name" ? "" : 'name = "t"\n'}`;
    for (const value of allowed) assert.deepEqual((await check(withValue(value))).errors, [], value);
    for (const value of refused) {
      const { errors } = await check(withValue(value));
      assert.equal(errors.length, 1, `${value}: ${errors.join("; ")}`);
      assert.ok(
        errors[0].startsWith(`x.toml:2:${key.length + 4} targets.targets[0].${key}: found`),
        errors[0],
      );
    }
  });
}

Deno.test("lists have an end", async () => {
  const targets = Array.from({ length: 4097 }, (_, i) => `{ name = "t${i}", url = "http://h" }`).join(", ");
  assert.deepEqual((await check(`targets.targets = [${targets}]`)).errors, [
    "x.toml:1:19 targets.targets: found a list of 4097 entries, wanted at most 4096 targets",
  ]);
  const buckets = Array.from({ length: 101 }, (_, i) => i + 1).join(", ");
  const histogram = (values: string) =>
    `monitoring.histogram_buckets = [{ metric = "dispa_log_write_duration_ms", buckets_ms = ${values} }]\n${ONE_TARGET}`;
  for (const values of [`[${buckets}]`, "[]", "[1, 1]", "[2, 1]", "[0, 1]", "[-1]", "[inf]", '["1"]', "3"]) {
    assert.equal((await check(histogram(values))).errors.length, 1, values);
  }
  assert.deepEqual((await check(histogram("[0.25, 1e3]"))).errors, []);
});
