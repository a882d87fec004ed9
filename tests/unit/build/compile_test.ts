import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { threadModules } from "../../../src/build/compile.ts";
import { RUN_FLAGS } from "../../../src/build/run_flags.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The program's sources; the build's own and the console's, which run elsewhere, left out. */
function sources(folder = "src"): string[] {
  return [...Deno.readDirSync(join(ROOT, folder))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return path === "src/build" || path === "src/admin/console" ? [] : sources(path);
    return name.endsWith(".ts") && name !== "console_assets.ts" ? [path] : [];
  });
}

Deno.test("the executable holds every module that the program starts in a thread, and no other", async () => {
  const started = new Set<string>();
  for (const path of sources()) {
    const text = Deno.readTextFileSync(join(ROOT, path));
    for (const [, module] of text.matchAll(/threadModule\(\s*"([^"]+)"/g)) started.add(`src/${module}.ts`);
  }
  assert.deepEqual([...started].sort(), await threadModules());
  assert.ok(started.size >= 3);
});

Deno.test("no source but thread_module.ts names a module by its own place, which a bundle does not keep", () => {
  const others = sources().filter((path) =>
    /import\.meta\.(url|dirname|filename|resolve)/.test(Deno.readTextFileSync(join(ROOT, path)))
  );
  assert.deepEqual(others, ["src/admin/console_build.ts", "src/thread_module.ts"]);
});

Deno.test("the tasks run the program with the flags of the executable", () => {
  const { tasks } = JSON.parse(Deno.readTextFileSync(join(ROOT, "deno.json")));
  assert.equal(tasks.start.command, `deno run ${RUN_FLAGS.join(" ")} main.ts`);
});
