/** The configuration files that come with the program. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "smol-toml";
import * as z from "zod";
import { configSchema, loadConfig } from "../../../src/config/mod.ts";
import { innerSchema, tableFields } from "../../../src/config/schema.ts";
import { Authority } from "../../support/certificates.ts";
import { accepted, check, withFolder } from "./support.ts";

const fileUrl = (name: string) => new URL(`../../../config/${name}`, import.meta.url);
const readConfig = (name: string) => Deno.readTextFile(fileUrl(name));

interface Leaf {
  path: string;
  schema: z.ZodType;
}

/** Every key that is no table itself; a list of tables counts by the keys of its entries. */
function leaves(schema: z.ZodType, path: string): Leaf[] {
  const inner = innerSchema(schema);
  const fields = tableFields(inner instanceof z.ZodArray ? inner.element as z.ZodType : schema);
  if (fields === null) return inner instanceof z.ZodNever ? [] : [{ path, schema }];
  return Object.entries(fields).flatMap(([key, field]) =>
    leaves(field, path === "" ? key : `${path}.${key}`)
  );
}

/** Dotted path -> value, lists of tables by their entries, the first of which counts where several have a key. */
function flatten(value: unknown, path: string, into: Map<string, unknown>): Map<string, unknown> {
  const isTable = (entry: unknown): entry is object =>
    typeof entry === "object" && entry !== null && !Array.isArray(entry);
  if (!into.has(path)) into.set(path, value);
  for (const table of [value].flat().filter(isTable)) {
    for (const [key, entry] of Object.entries(table)) {
      flatten(entry, path === "" ? key : `${path}.${key}`, into);
    }
  }
  return into;
}

/** The example with the keys that it shows commented out. */
function uncommented(text: string): string {
  return text.replace(/^# (?=\[\[|[a-z0-9_.]+ = )/gm, "")
    // Without it the trusted proxies play no part, which is worth a warning.
    .replace("trust_proxy_headers = false", "trust_proxy_headers = true");
}

Deno.test("config.toml intercepts the quick start's domains and runs on one machine", async () => {
  const config = await accepted(await readConfig("config.toml"));
  assert.deepEqual(config.domains.intercept, ["example.com", "*.test.com"]);
  assert.deepEqual(config.targets.targets.map(({ url }) => url), [
    "http://127.0.0.1:3000",
    "http://127.0.0.1:3001",
  ]);
});

Deno.test("dev.toml has what the dev task and its demo targets rely on", async () => {
  const config = await accepted(await readConfig("dev.toml"));
  assert.deepEqual(config.server.bind, { hostname: "127.0.0.1", port: 8080 });
  assert.deepEqual(config.domains.intercept, ["example.com", "*.local.dev", "localhost"]);
  assert.deepEqual(config.targets.targets.map(({ name, url }) => [name, url]), [
    ["demo-1", "http://127.0.0.1:3001"],
    ["demo-2", "http://127.0.0.1:3002"],
  ]);
  const { enabled, intervalMs, timeoutMs, healthyThreshold, unhealthyThreshold } = config.targets.healthCheck;
  assert.deepEqual([enabled, intervalMs, timeoutMs, healthyThreshold, unhealthyThreshold], [
    true,
    2000,
    1000,
    1,
    1,
  ]);
  assert.equal(config.logging.file.directory, "./logs");
});

Deno.test("the example loads as it is, and with all that it shows commented out", async () => {
  const text = await readConfig("config.example.toml");
  await accepted(text);
  await withFolder(async (folder) => {
    const authority = await Authority.make(folder);
    Deno.copyFileSync(authority.caPath, join(folder, "targets-ca.pem"));
    await authority.leaf({ names: ["client"] });
    await Deno.writeTextFile(join(folder, "404.html"), "<p>{message}</p>");
    const there = uncommented(text).replaceAll("/etc/dispa", folder);
    const { config, errors, warnings } = await check(there, {}, { strict: true });
    assert.deepEqual([errors, warnings], [[], []]);
    assert.equal(config?.plugins.plugins.length, 1);
    assert.equal(config?.tls.certificates.length, 1);
    assert.deepEqual(config?.errorPages.pages.map(({ statuses }) => statuses), [[502, "5xx"], [404]]);
  });
});

Deno.test("the example shows every key of the schema", async () => {
  const shown = flatten(parse(uncommented(await readConfig("config.example.toml"))), "", new Map());
  const missing = leaves(configSchema, "").map(({ path }) => path).filter((path) => !shown.has(path));
  assert.deepEqual(missing, []);
});

Deno.test("a key that the example does not comment out has its default there", async () => {
  const shown = flatten(parse(await readConfig("config.example.toml")), "", new Map());
  let compared = 0;
  for (const { path, schema } of leaves(configSchema, "")) {
    if (!shown.has(path) || !(schema instanceof z.ZodPrefault)) continue;
    assert.deepEqual(shown.get(path), schema.def.defaultValue, path);
    compared++;
  }
  // All but the keys of lists, workers, and what has no fixed default.
  assert.ok(compared >= 35, `only ${compared} defaults compared`);
});

Deno.test("a key with a fixed default is not commented out in the example, but in lists", async () => {
  const shown = flatten(parse(await readConfig("config.example.toml")), "", new Map());
  const hidden = leaves(configSchema, "")
    .filter(({ path, schema }) => schema instanceof z.ZodPrefault && !shown.has(path))
    .map(({ path }) => path).filter((path) => !path.startsWith("routing.rules."));
  assert.deepEqual(hidden, [
    "server.workers",
    "targets.targets.backup",
    ...["enabled", "stage", "scope", "error_strategy", "config"].map((key) => `plugins.plugins.${key}`),
  ]);
});

Deno.test("every key is documented, and the schema can be published as JSON Schema", () => {
  for (const { path, schema } of leaves(configSchema, "")) {
    assert.match(schema.description ?? "", /^\S.{10,}\.$/s, path);
  }
  const json = z.toJSONSchema(configSchema, { io: "input" });
  const server = json.properties?.server;
  assert.ok(typeof server === "object" && typeof server.properties?.keep_alive_timeout === "object");
  assert.deepEqual(server.properties.keep_alive_timeout, {
    description:
      "Seconds after which a client connection without a request in flight is closed. On a connection that has " +
      "served a request it is also the time for the whole header of the next one.",
    default: 60,
    type: "number",
    minimum: 0.001,
    maximum: 86400,
  });
});

Deno.test("the files load by path, too", async () => {
  for (const name of ["config.toml", "dev.toml", "config.example.toml"]) {
    const result = await loadConfig(fileUrl(name).pathname, { environment: new Map(), strict: true });
    assert.ok(result.ok, name);
  }
});
