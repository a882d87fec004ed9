import assert from "node:assert/strict";
import { type Config, configPathFromEnvironment } from "../../../src/config/mod.ts";
import { accepted, check, ONE_TARGET } from "./support.ts";

const variables: [name: string, text: string, pick: (config: Config) => unknown, value: unknown][] = [
  ["DISPA_BIND_ADDRESS", "[::1]:81", (c) => c.server.bind, { hostname: "::1", port: 81 }],
  ["DISPA_BIND", ":81", (c) => c.server.bind, { hostname: "0.0.0.0", port: 81 }],
  ["DISPA_WORKERS", "7", (c) => c.server.workers, 7],
  ["DISPA_REQUEST_TIMEOUT", "1.5", (c) => c.server.requestTimeoutMs, 1500],
  ["DISPA_METRICS_PORT", "1234", (c) => c.monitoring.metricsPort, 1234],
  ["DISPA_HEALTH_CHECK_PORT", "1235", (c) => c.monitoring.healthCheckPort, 1235],
  ["DISPA_LOGGING_ENABLED", "false", (c) => c.logging.enabled, false],
  ["DISPA_LOGGING_ENABLED", "0", (c) => c.logging.enabled, false],
  ["DISPA_LOGGING_ENABLED", "Yes", (c) => c.logging.enabled, true],
  ["DISPA_LOGGING_TYPE", "Both", (c) => c.logging.type, "both"],
  ["DISPA_LOG_DIRECTORY", "/var/log/x", (c) => c.logging.file.directory, "/var/log/x"],
  ["DISPA_LOG_LEVEL", "debug", (c) => c.logging.level, "debug"],
  ["DISPA_HTTP_POOL_MAX_IDLE_PER_HOST", "0", (c) => c.httpClient.poolMaxIdlePerHost, 0],
  ["DISPA_HTTP_POOL_IDLE_TIMEOUT_SECS", "8", (c) => c.httpClient.poolIdleTimeoutMs, 8000],
  ["DISPA_HTTP_CONNECT_TIMEOUT_SECS", "9", (c) => c.httpClient.connectTimeoutMs, 9000],
];

const FILE = `server = { bind = "127.0.0.1:80", workers = 2, request_timeout = 2 }
monitoring = { metrics_port = 2, health_check_port = 3 }
logging = { enabled = true, log_type = "file", level = "error", file.directory = "./other" }
http_client = { pool_max_idle_per_host = 4, pool_idle_timeout_secs = 4, connect_timeout_secs = 4 }
${ONE_TARGET}`;

for (const [name, text, pick, value] of variables) {
  Deno.test(`${name}=${text} goes before the file and before the default`, async () => {
    assert.deepEqual(pick(await accepted(FILE, { [name]: text })), value);
    assert.deepEqual(pick(await accepted(ONE_TARGET, { [name]: text })), value);
  });
}

Deno.test("a variable that is empty counts as not set", async () => {
  assert.equal((await accepted(FILE, { DISPA_WORKERS: "" })).server.workers, 2);
});

Deno.test("a malformed variable is an error that names it, not the file", async () => {
  const { errors } = await check(FILE, {
    DISPA_BIND_ADDRESS: "here",
    DISPA_WORKERS: "many",
    DISPA_METRICS_PORT: "70000",
    DISPA_REQUEST_TIMEOUT: "1e999",
    DISPA_LOGGING_ENABLED: "perhaps",
    DISPA_LOG_LEVEL: "loud",
  });
  assert.deepEqual(errors.sort(), [
    'environment DISPA_BIND_ADDRESS: found "here", wanted HOST:PORT, [IPV6]:PORT or :PORT, such as "0.0.0.0:8080"',
    'environment DISPA_LOGGING_ENABLED: found "perhaps", wanted true or false',
    'environment DISPA_LOG_LEVEL: found "loud", wanted one of debug, info, warn, error',
    "environment DISPA_METRICS_PORT: found 70000, wanted a port from 0 to 65535",
    'environment DISPA_REQUEST_TIMEOUT: found "1e999", wanted a number of seconds from 0.001 to 86400',
    'environment DISPA_WORKERS: found "many", wanted a whole number from 1 to 256',
  ]);
});

Deno.test("two variables for one key must agree", async () => {
  const same = await accepted(ONE_TARGET, { DISPA_BIND: ":81", DISPA_BIND_ADDRESS: ":81" });
  assert.equal(same.server.bind.port, 81);
  const { errors } = await check(ONE_TARGET, { DISPA_BIND: ":81", DISPA_BIND_ADDRESS: ":82" });
  assert.deepEqual(errors, [
    'environment DISPA_BIND: found ":81", but DISPA_BIND_ADDRESS is ":82": wanted the same value or only one of them',
  ]);
});

Deno.test("a flag goes before the environment, and is named when it is malformed", async () => {
  const environment = { DISPA_WORKERS: "3", DISPA_BIND: ":81" };
  const good = await check(FILE, environment, { overrides: { bind: ":82", workers: "4" } });
  assert.deepEqual([good.config?.server.bind.port, good.config?.server.workers], [82, 4]);
  assert.equal((await check(FILE, {}, { overrides: { workers: 5 } })).config?.server.workers, 5);
  const bad = await check(FILE, environment, { overrides: { bind: "x", workers: 0 } });
  assert.deepEqual(bad.errors, [
    'command line --bind: found "x", wanted HOST:PORT, [IPV6]:PORT or :PORT, such as "0.0.0.0:8080"',
    "command line --workers: found 0, wanted a whole number from 1 to 256",
  ]);
});

Deno.test("a value of the file that a variable takes the place of is not complained about", async () => {
  const text = 'server = { bind = "${NOT_SET}", workers = 999 }\n' + ONE_TARGET;
  for (const spelling of ["bind", "bind_address"]) {
    const config = await accepted(text.replace("bind", spelling), { DISPA_BIND: ":81", DISPA_WORKERS: "2" });
    assert.deepEqual([config.server.bind.port, config.server.workers], [81, 2]);
  }
});

Deno.test("a port of the environment that another listener has is told by its variable", async () => {
  const { errors } = await check(ONE_TARGET, { DISPA_METRICS_PORT: "8080" });
  assert.deepEqual(errors, [
    "environment DISPA_METRICS_PORT: found port 8080, which server.bind_address has too by default, wanted another",
  ]);
});

Deno.test("a section that is no table is an error, whatever the environment says", async () => {
  const { errors } = await check("server = 1\n" + ONE_TARGET, { DISPA_WORKERS: "2" });
  assert.deepEqual(errors, ["x.toml:1:10 server: found 1, wanted a table"]);
});

Deno.test("variables are replaced in strings, with defaults and a way to write them literally", async () => {
  const text = `[[targets.targets]]
name = "\${NAME:-fallback}-\${EMPTY:-x:-y}-$\${NAME}-$5-{a}"
url = "http://\${HOST}:\${PORT}"
`;
  const config = await accepted(text, { HOST: "h.internal", PORT: "81", EMPTY: "" });
  assert.equal(config.targets.targets[0].name, "fallback-x:-y-${NAME}-$5-{a}");
  assert.equal(config.targets.targets[0].url, "http://h.internal:81");
  assert.equal(
    (await accepted(text, { HOST: "h", PORT: "1", NAME: "${HOST}" })).targets.targets[0].name,
    "${HOST}-x:-y-${NAME}-$5-{a}",
  );
});

Deno.test("variables are replaced inside lists and plugin settings, too", async () => {
  const config = await accepted(
    'domains.intercept_domains = ["${D}.de"]\n' +
      'plugins.plugins = [{ name = "p", type = "command", config = { exec = "/bin/true", args = ["${D}"] } }]\n' +
      ONE_TARGET,
    { D: "shop" },
  );
  assert.deepEqual(config.domains.intercept, ["shop.de"]);
  assert.deepEqual(config.plugins.plugins[0].config, { exec: "/bin/true", args: ["shop"] });
});

Deno.test("a missing or malformed variable is one error at its place", async () => {
  const { errors } = await check(`[logging.database]
url = "postgresql://u:\${DB_PASSWORD}@h/d"
[logging.file]
directory = "\${1}"
[logging]
level = "\${UNCLOSED"
${ONE_TARGET}`);
  assert.deepEqual(errors, [
    "x.toml:2:7 logging.database.url: environment variable DB_PASSWORD is not set, wanted a value for it or " +
    "${DB_PASSWORD:-default}",
    'x.toml:4:13 logging.file.directory: found "${1}", wanted ${NAME} or ${NAME:-default}; a literal ${ is written $${',
    'x.toml:6:9 logging.level: found "${UNCLOSED", wanted ${NAME} or ${NAME:-default}; a literal ${ is written $${',
  ]);
});

Deno.test("the environment may name the configuration file", () => {
  const path = (variables: Record<string, string>) =>
    configPathFromEnvironment(new Map(Object.entries(variables)));
  assert.equal(path({}), undefined);
  assert.equal(path({ DISPA_CONFIG_FILE: "b.toml" }), "b.toml");
  assert.equal(path({ DISPA_CONFIG: "a.toml", DISPA_CONFIG_FILE: "b.toml" }), "a.toml");
});
