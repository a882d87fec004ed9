/** What docs/PLUGINS.md says is so. */
import assert from "node:assert/strict";
import { PLUGIN_SETTINGS } from "../../../src/config/plugins/mod.ts";
import { tableFields } from "../../../src/config/schema.ts";
import { FAMILIES } from "../../../src/metrics/mod.ts";
import { accepted, ONE_TARGET } from "../config/support.ts";

const root = new URL("../../../", import.meta.url);
const text = await Deno.readTextFile(new URL("docs/PLUGINS.md", root));

Deno.test("every configuration in the plugin guide loads without a warning", async () => {
  const blocks = [...text.matchAll(/^```toml\n(.*?)^```$/gms)].map(([, block]) => block);
  assert.ok(blocks.length >= 6, `only ${blocks.length} blocks found`);
  for (const block of blocks) {
    const { plugins } = await accepted(block + ONE_TARGET);
    assert.ok(plugins.enabled && plugins.plugins.every(({ enabled }) => enabled), block);
  }
});

Deno.test("the plugin guide has a section on every type, with each of its settings", () => {
  for (const [type, schema] of Object.entries(PLUGIN_SETTINGS)) {
    const section = new RegExp(`^### ${type}\\n(.*?)(?=^##)`, "ms").exec(text)?.[1];
    assert.ok(section !== undefined, `there is no section ### ${type}`);
    for (const key of Object.keys(tableFields(schema) ?? {})) {
      assert.ok(section.includes(`\`${key}\``), `${type} says nothing of ${key}`);
    }
  }
});

Deno.test("the metrics in the plugin guide are those that there are, with their labels", () => {
  const rows = [...text.matchAll(/^\| `(dispa_plugin_\w+)\{([a-z,]+)\}`/gm)];
  const { pluginInvocations, pluginShortCircuits, pluginDuration, pluginErrors } = FAMILIES;
  assert.deepEqual(
    rows.map(([, name, labels]) => [name, labels]),
    [pluginInvocations, pluginShortCircuits, pluginDuration, pluginErrors].map(({ name, labels }) => [
      name,
      labels.join(),
    ]),
  );
});
