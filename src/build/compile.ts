/**
 * Makes the executable: `deno task compile`. The code is bundled first: an executable of the bundle is smaller
 * and starts with less memory than one that holds every file and npm package (measured: 93 MB and 93 MB
 * resident instead of 119 MB and 125 MB), and needs no resolution of packages. Source maps would cost 10 MB.
 *
 * `--target` is one of `deno compile`, `--output` another place than dist/dispa. COMPILE_DENO names another Deno
 * that is to run `deno compile`, for machines where this one cannot fetch the runtime it puts inside.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What runs in a Worker, as `threadModule` and `pluginThreadModule` find it. */
const THREADS = [
  "runtime/proxy_thread",
  "runtime/writer_thread",
  "runtime/query_thread",
  "runtime/stats_thread",
  "plugins/wasm_thread",
  "plugins/script_thread",
];

/** The permissions of the program, the same for the tasks; docs/SECURITY.md says what each is for. */
export const PERMISSIONS = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
];

/** A small young generation: half the memory under load at the same cost in processor time. */
export const V8_FLAGS = "--v8-flags=--max-semi-space-size=2";

/** Bundles the program and its threads into `folder`. */
export async function bundle(folder: string): Promise<void> {
  await deno(Deno.execPath(), ROOT, [
    "bundle",
    "--quiet",
    "--platform=deno",
    "--code-splitting",
    `--outdir=${folder}`,
    "main.ts",
    ...THREADS.map((name) => `src/${name}.ts`),
  ]);
  const { unstable } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify({ unstable }));
}

/** Makes one executable of a bundle. @param target of `deno compile`; null: this machine's */
export async function compile(folder: string, target: string | null, output: string): Promise<void> {
  await deno(Deno.env.get("COMPILE_DENO") ?? Deno.execPath(), folder, [
    "compile",
    "--quiet",
    "--no-prompt",
    ...PERMISSIONS,
    V8_FLAGS,
    ...THREADS.map((name) => `--include=src/${name}.js`),
    ...(target === null ? [] : [`--target=${target}`]),
    `--output=${output}`,
    "main.js",
  ]);
}

async function deno(executable: string, cwd: string, args: string[]): Promise<void> {
  const { success } = await new Deno.Command(executable, { args, cwd }).spawn().status;
  if (!success) throw new Error(`deno ${args[0]} failed, see above`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: { target: { type: "string" }, output: { type: "string", default: join(ROOT, "dist/dispa") } },
  });
  const folder = await Deno.makeTempDir({ prefix: "dispa-bundle-" });
  try {
    await bundle(folder);
    await compile(folder, values.target ?? null, values.output);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const { size } = await Deno.stat(values.output);
  console.log(`${values.output}: ${(size / 1e6).toFixed(1)} MB`);
}
