/** The TOML blocks of the user's own description, as they stand there, load unchanged. */
import assert from "node:assert/strict";
import type { Config } from "../../../src/config/mod.ts";
import { check, ONE_TARGET } from "./support.ts";

/** Loads a block; one that is only a section goes before a target. */
async function loadBlock(name: string): Promise<{ config: Config; warnings: string[] }> {
  const block = await Deno.readTextFile(new URL(`../../data/seed/${name}.toml`, import.meta.url));
  const text = block.includes("[[targets.targets]]") ? block : `${block}\n${ONE_TARGET}`;
  const { config, errors, warnings } = await check(text, {}, { strict: true });
  assert.deepEqual(errors, []);
  assert.ok(config);
  return { config, warnings };
}

Deno.test("the seed's quick start loads", async () => {
  const { config, warnings } = await loadBlock("quick_start");
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.domains.intercept, ["example.com", "*.test.com"]);
  assert.deepEqual(config.targets.targets.map(({ name, url, weight }) => ({ name, url, weight })), [
    { name: "backend1", url: "http://192.168.1.100:3000", weight: 3 },
    { name: "backend2", url: "http://192.168.1.101:3000", weight: 2 },
  ]);
  assert.equal(config.targets.balancing.type, "weighted");
  assert.deepEqual([config.targets.healthCheck.enabled, config.targets.healthCheck.intervalMs], [
    true,
    30_000,
  ]);
  assert.deepEqual(config.httpClient, {
    transport: "auto",
    poolMaxIdlePerHost: 32,
    poolIdleTimeoutMs: 90_000,
    connectTimeoutMs: 5000,
    caPath: null,
    clientCertificate: null,
  });
});

Deno.test("the seed's histogram buckets load", async () => {
  const { config, warnings } = await loadBlock("histogram_buckets");
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.monitoring, {
    enabled: true,
    bindHostname: "0.0.0.0",
    metricsPort: 9090,
    healthCheckPort: 8081,
    histogramBucketsMs: {
      dispa_log_write_duration_ms: [0.5, 1, 2, 5, 10, 20, 50, 100, 200],
      dispa_target_health_check_duration_ms: [5, 10, 25, 50, 100, 250, 500, 1000],
      dispa_request_duration_seconds: [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000],
    },
  });
});

Deno.test("the seed's plugins load, inline tables over several lines included", async () => {
  const { config, warnings } = await loadBlock("plugins");
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /config\.module_path: there is no file ".*plugins\/filter\.wasm", without which/);
  assert.deepEqual([config.plugins.enabled, config.plugins.applyBeforeDomainMatch], [true, true]);
  assert.deepEqual(config.plugins.plugins.map(({ name, type, stage }) => [name, type, stage]), [
    ["inject", "headerinjector", "both"],
    ["block", "blocklist", "request"],
    ["rewrite-path", "pathrewrite", "request"],
    ["limit-global", "ratelimiter", "request"],
    ["cmd", "command", "request"],
    ["wasm-filter", "wasm", "request"],
  ]);
  assert.ok(config.plugins.plugins.every(({ errorStrategy }) => errorStrategy === "continue"));
  assert.deepEqual(config.plugins.plugins[4].config, {
    exec: "/usr/local/bin/myplugin",
    args: ["--opt"],
    timeout_ms: 200,
    max_concurrency: 8,
    exec_allowlist: ["/usr/local/bin/myplugin"],
    cwd: "/var/run",
    env: { RUST_LOG: "info" },
  });
});

Deno.test("the seed's development example loads", async () => {
  const { config, warnings } = await loadBlock("development");
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.domains.intercept, ["*.local.dev"]);
  assert.deepEqual(config.targets.targets.map(({ name, url }) => [name, url]), [
    ["dev-server", "http://localhost:3000"],
  ]);
});

Deno.test("the seed's production example loads, and says that its weights play no part", async () => {
  const { config, warnings } = await loadBlock("production");
  assert.deepEqual(warnings, [
    "x.toml:4:3 targets.load_balancing.type: roundrobin gives every target the same share, their different weights " +
    "play no part: use weighted",
  ]);
  assert.deepEqual(config.domains.intercept, ["api.myapp.com"]);
  assert.deepEqual(config.targets.targets.map(({ url, weight }) => [url, weight]), [
    ["http://10.0.1.10:8080", 3],
    ["http://10.0.1.11:8080", 2],
  ]);
  assert.equal(config.targets.healthCheck.intervalMs, 10_000);
});
