/**
 * Writes what is generated: docs/CONFIG.md and config/dispa.schema.json from the configuration's schema, and
 * THIRD_PARTY_LICENSES.md from the packages. `deno task docs`; with --check it only says what is stale.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { configReference } from "./config_reference.ts";
import { configJsonSchema } from "./config_schema.ts";
import { licencesDocument, shippedPackages } from "./packages.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The files of config/, in the order of their names. */
async function configFiles(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(ROOT, "config"))) {
    if (name.endsWith(".toml")) names.push(name);
  }
  return await Promise.all(names.sort().map((name) => Deno.readTextFile(join(ROOT, "config", name))));
}

/** Text by path. */
async function generate(): Promise<Record<string, string>> {
  return {
    "docs/CONFIG.md": configReference(await configFiles()),
    "config/dispa.schema.json": `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
    "THIRD_PARTY_LICENSES.md": licencesDocument(await shippedPackages(ROOT)),
  };
}

async function readOrNull(file: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(file);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return null;
    throw fault;
  }
}

if (import.meta.main) {
  const check = Deno.args.includes("--check");
  const stale: string[] = [];
  for (const [path, text] of Object.entries(await generate())) {
    const file = join(ROOT, path);
    if (await readOrNull(file) === text) continue;
    if (check) stale.push(path);
    else await Deno.writeTextFile(file, text);
  }
  if (stale.length > 0) {
    console.error(`older than what they are generated from: ${stale.join(", ")}; run: deno task docs`);
    Deno.exit(1);
  }
}
