import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { parse } from "smol-toml";
import { configJsonSchema } from "../../../src/build/config_schema.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

const validate = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true })
  .compile(configJsonSchema());

function problems(toml: string): string {
  return validate(parse(toml))
    ? ""
    : validate.errors!.map(({ instancePath, message, params }) =>
      `${instancePath} ${message} ${JSON.stringify(params)}`
    ).join("\n");
}

function tomlFiles(folder: string): string[] {
  return [...Deno.readDirSync(join(ROOT, folder))].map(({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".toml")).sort();
}

Deno.test("the JSON schema accepts every configuration that comes with the program, and the seed's", () => {
  const paths = [...tomlFiles("config"), ...tomlFiles("tests/data/seed")];
  assert.ok(paths.length > 5);
  for (const path of paths) assert.equal(problems(Deno.readTextFileSync(join(ROOT, path))), "", path);
});

Deno.test("the JSON schema accepts every configuration in the documents", () => {
  let blocks = 0;
  for (const { name } of Deno.readDirSync(join(ROOT, "docs"))) {
    if (!name.endsWith(".md")) continue;
    const text = Deno.readTextFileSync(join(ROOT, "docs", name));
    for (const [, block] of text.matchAll(/^```toml\n(.*?)^```$/gms)) {
      blocks++;
      assert.equal(problems(block), "", `${name}: ${block}`);
    }
  }
  assert.ok(blocks > 20, `${blocks} blocks found`);
});

Deno.test("the JSON schema accepts other names, spellings and short forms", () => {
  assert.equal(
    problems(`
[server]
bind = ":8080"
[targets.load_balancing]
algorithm = "Least_Connections"
[logging]
level = "warning"
[[routing.rules]]
name = "a"
target = "t"
[routing.rules.conditions]
headers = { "x-version" = "v1" }
query_params = [{ name = "q", value = ["a", "b"] }]
`),
    "",
  );
});

Deno.test("the JSON schema refuses misspelt keys, wrong types, wrong words and settings of another plugin", () => {
  for (
    const [toml, key] of [
      ["[server]\nworkres = 2", "workres"],
      ['[server]\nworkers = "two"', "workers"],
      ["[server]\nworkers = 0", "workers"],
      ['[targets.load_balancing]\ntype = "fastest"', "load_balancing"],
      ['[[plugins.plugins]]\nname = "a"\ntype = "Block-List"\nconfig = { host = "a" }', "config"],
    ]
  ) {
    const found = problems(toml);
    assert.ok(found.includes(key), `${toml}: ${found}`);
  }
});
