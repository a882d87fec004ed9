/** How a test has a program run its threads from other modules. */
import { join } from "node:path";

/**
 * Writes an import map by which `replacement` stands in for `src/thread_module.ts`.
 * @returns its path
 */
export async function threadImportMap(folder: string, replacement: URL): Promise<string> {
  const root = new URL("../../", import.meta.url);
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const map = { imports: { ...imports, [new URL("src/thread_module.ts", root).href]: replacement.href } };
  const path = join(folder, "import_map.json");
  await Deno.writeTextFile(path, JSON.stringify(map));
  return path;
}
