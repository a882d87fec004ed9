import assert from "node:assert/strict";
import type { PluginConfig, PluginsConfig } from "../../../src/config/model.ts";
import { FAMILIES } from "../../../src/metrics/mod.ts";
import { buildPlugins, sharedPluginBytes } from "../../../src/plugins/mod.ts";
import type { PluginContext, PluginType } from "../../../src/plugins/plugin.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { now, Observed, pluginsOf } from "./support.ts";

/** Plugins that mark what they see, by name; `stage` and `enabled` as given. */
const THREE = `[plugins]
enabled = true
[[plugins.plugins]]
name = "a"
type = "headerinjector"
stage = "both"
config = { request_headers = { x-a = "1" }, response_headers = { x-a = "1" } }
[[plugins.plugins]]
name = "off"
type = "headerinjector"
enabled = false
stage = "both"
config = { request_headers = { x-off = "1" }, response_headers = { x-off = "1" } }
[[plugins.plugins]]
name = "b"
type = "headeroverride"
config = { request_headers = { x-b = "1" } }
[[plugins.plugins]]
name = "c"
type = "headeroverride"
stage = "response"
config = { remove_response_headers = ["x-a"] }
`;

Deno.test("plugins run in declared order at their stages, switched-off ones not at all", async () => {
  const observed = new Observed();
  const set = await pluginsOf(THREE, observed);
  assert.deepEqual([set.requestChain?.names, set.responseChain?.names], [["a", "b"], ["a", "c"]]);
  const request = requestMessage();
  const response = responseMessage();
  assert.equal(now(set.requestChain!.runRequest(request)), null);
  assert.equal(now(set.responseChain!.runResponse(request, response)), null);
  assert.deepEqual(request.headers, ["host", "example.com", "x-a", "1", "x-b", "1"]);
  assert.deepEqual(response.headers, [], "c has removed what a had set");
  assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), {
    "a,request": 1,
    "b,request": 1,
    "a,response": 1,
    "c,response": 1,
  });
});

Deno.test("there is no chain where no plugin is on", async () => {
  const off = await pluginsOf(THREE.replace("enabled = true", "enabled = false"));
  assert.deepEqual([off.requestChain, off.responseChain], [null, null]);
  assert.equal(off.chainOf(["a", "b"], "request"), null);
  const none = await pluginsOf("[plugins]\nenabled = true");
  assert.deepEqual([none.requestChain, none.responseChain], [null, null]);
});

Deno.test("a route's chain has the plugins it names, in its order, but not what is off or of another stage", async () => {
  const set = await pluginsOf(THREE);
  assert.deepEqual(set.chainOf(["b", "off", "c", "a", "b"], "request")?.names, ["b", "a", "b"]);
  assert.deepEqual(set.chainOf(["c", "a"], "response")?.names, ["c", "a"]);
  assert.equal(set.chainOf(["c"], "request"), null);
  assert.equal(set.chainOf([], "response"), null);
  assert.throws(() => set.chainOf(["a", "x"], "request"), /no plugin is called "x"/);
});

Deno.test("a plugin of a route that already runs for every request can be kept from running twice", async () => {
  const observed = new Observed();
  const set = await pluginsOf(THREE, observed);
  assert.equal(set.chainOf(["a", "b"], "request")!.without(set.requestChain!.names), null);
  // At the response stage the route's chain comes first, so that it is the other that must skip.
  const route = set.chainOf(["c"], "response")!;
  assert.deepEqual(set.responseChain!.without(route.names)?.names, ["a"]);
  const request = requestMessage();
  set.requestChain!.runRequest(request);
  set.chainOf(["a"], "request")!.runRequest(request);
  assert.deepEqual(
    observed.counts(FAMILIES.pluginInvocations),
    { "a,request": 2, "b,request": 1 },
    "without that, it runs twice, as one instance with one set of counters",
  );
});

/** A configuration of plugins that need no schema, all enabled. */
function configOf(...plugins: Partial<PluginConfig>[]): PluginsConfig {
  const defaults = {
    type: "t",
    enabled: true,
    stage: "both",
    scope: "all",
    errorStrategy: "continue",
    config: {},
  } as const;
  return {
    enabled: true,
    applyBeforeDomainMatch: true,
    plugins: plugins.map((plugin, index) => ({
      ...defaults,
      name: `p${index}`,
      settings: null,
      ...plugin,
    })),
  };
}

/** A type that notes what becomes of its plugins; its settings say how large their memory is, or `"bad"`. */
function noting(): { notes: string[]; contexts: PluginContext[]; typeOf: () => PluginType<unknown> } {
  const notes: string[] = [];
  const contexts: PluginContext[] = [];
  const type: PluginType<unknown> = {
    sharedBytes: (settings) => Number(settings),
    create(settings, context) {
      if (settings === "bad") return Promise.reject(new Error("the module lacks the export alloc"));
      notes.push(`made ${context.name}`);
      contexts.push(context);
      return {
        onRequest: () => null,
        dispose: async () => {
          await Promise.resolve();
          notes.push(`disposed of ${context.name}`);
          if (settings === 13) throw new Error("cannot end");
        },
      };
    },
  };
  return { notes, contexts, typeOf: () => type };
}

Deno.test("a plugin that cannot be made is told with its name and type, and the others are disposed of", async () => {
  const { notes, typeOf } = noting();
  const config = configOf({}, { settings: "bad", type: "wasm" }, {});
  await assert.rejects(buildPlugins(config, new Observed(), typeOf), {
    message: 'cannot make the plugin "p1" of the type wasm: the module lacks the export alloc',
  });
  assert.deepEqual(notes, ["made p0", "made p2", "disposed of p0", "disposed of p2"]);
});

Deno.test("dispose ends every plugin, although one of them fails to end", async () => {
  const { notes, typeOf } = noting();
  const observed = new Observed();
  const set = await buildPlugins(configOf({ settings: 13 }, { enabled: false }, {}), observed, typeOf);
  await set.dispose();
  assert.deepEqual(notes, ["made p0", "made p2", "disposed of p0", "disposed of p2"]);
  assert.deepEqual(observed.lines, [
    ["error", "cannot end a plugin", { plugin: "p0", error: "Error: cannot end" }],
  ]);
});

Deno.test("a plugin is given the shared memory that its settings ask for, and a log that names it", async () => {
  const { contexts, typeOf } = noting();
  const observed = new Observed();
  const config = configOf({ settings: 64 }, { settings: 0 }, { settings: 8, enabled: false });
  const bytes = sharedPluginBytes(config, typeOf);
  assert.deepEqual([...bytes], [["p0", 64]]);
  assert.deepEqual([...sharedPluginBytes({ ...config, enabled: false }, typeOf)], []);
  const blocks = new Map([...bytes].map(([name, size]) => [name, new SharedArrayBuffer(size)]));
  const { log, metrics } = observed;
  await buildPlugins(config, { log, metrics, shared: (name) => blocks.get(name) ?? null }, typeOf);
  assert.deepEqual(contexts.map(({ shared }) => shared?.byteLength), [64, undefined]);
  contexts[0].log("info", "ready", { module: "m" });
  assert.deepEqual(observed.lines, [["info", "ready", { plugin: "p0", module: "m" }]]);
});

Deno.test("a plugin that could do something at both stages runs at those of its configuration", async () => {
  const able: PluginType<unknown> = { create: () => ({ onRequest: () => null, onResponse: () => null }) };
  const config = configOf({ stage: "request" }, { stage: "response" }, {});
  const set = await buildPlugins(config, new Observed(), () => able);
  assert.deepEqual([set.requestChain?.names, set.responseChain?.names], [["p0", "p2"], ["p1", "p2"]]);
  assert.equal(set.chainOf(["p0"], "response"), null);
});

Deno.test("a failure is logged with the plugin's name and stage, at the level of its strategy", async () => {
  const observed = new Observed();
  const failing: PluginType<unknown> = {
    create: () => ({
      onRequest: () => {
        throw new Error("broken");
      },
    }),
  };
  const config = configOf({}, { errorStrategy: "fail" });
  const set = await buildPlugins(config, observed, () => failing);
  assert.equal(now(set.requestChain!.runRequest(requestMessage()))?.kind, "refuse");
  assert.deepEqual(observed.lines.map(([level, , fields]) => [level, fields?.plugin, fields?.stage]), [
    ["warn", "p0", "request"],
    ["error", "p1", "request"],
  ]);
});
