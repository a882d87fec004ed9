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

/** The formatter of documents moves code to the margin. */
const unindented = (code: string) => code.replace(/^ +/gm, "");

Deno.test("the code in the plugin guide is that of the file it names", async () => {
  const named = [...text.matchAll(/^`([a-z_/]+\.ts)`[^\n]*:\n\n```ts\n(.*?)^```$/gms)];
  assert.equal(named.length, text.split("```ts\n").length - 1, "every block has its file");
  for (const [, path, code] of named) {
    const file = await Deno.readTextFile(new URL(path, root));
    assert.ok(unindented(file).includes(unindented(code)), `${path} does not hold\n${code}`);
  }
});

Deno.test("the files that the plugin guide names are there", async () => {
  const paths = new Set([...text.matchAll(/`((?:src|tests|bench)\/[a-z_/]+\.ts)`/g)].map(([, path]) => path));
  assert.ok(paths.size > 5);
  for (const path of paths) assert.ok((await Deno.stat(new URL(path, root))).isFile, path);
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
