/**
 * Makes the executable: `deno task compile`. The code is bundled first: an executable of the bundle is smaller
 * and starts with less memory than one that holds every file and npm package (measured: 93 MB and 93 MB
 * resident instead of 119 MB and 125 MB), and needs no resolution of packages. Source maps would cost 10 MB.
 * Minified it would be 1 MB smaller and start no sooner, and the stack of a fault would tell nothing.
 *
 * `--target` is one of `deno compile`, `--output` another place than dist/dispa. COMPILE_DENO names another Deno
 * that is to run `deno compile`, for machines where this one cannot fetch the runtime it puts inside.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RUN_FLAGS } from "./run_flags.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The modules that run in a Worker, as `threadModule` finds them: every `…_thread.ts` below src. */
export async function threadModules(folder = "src"): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...await threadModules(path));
    else if (name.endsWith("_thread.ts")) found.push(path);
  }
  return found.sort();
}

/** Bundles the program and its threads into `folder`. */
export async function bundle(folder: string): Promise<void> {
  await deno(Deno.execPath(), ROOT, [
    "bundle",
    "--quiet",
    "--platform=deno",
    "--code-splitting",
    `--outdir=${folder}`,
    "main.ts",
    ...await threadModules(),
  ]);
  const { unstable } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify({ unstable }));
}

/** Makes one executable of a bundle. @param target of `deno compile`; null: this machine's */
export async function compile(folder: string, target: string | null, output: string): Promise<void> {
  await deno(Deno.env.get("COMPILE_DENO") ?? Deno.execPath(), folder, [
    "compile",
    "--quiet",
    ...RUN_FLAGS,
    // It would be kept in the temporary folder under a name that anybody can foresee, and trusted.
    "--no-code-cache",
    ...(await threadModules()).map((path) => `--include=${path.replace(/\.ts$/, ".js")}`),
    ...(target === null ? [] : [`--target=${target}`]),
    `--output=${output}`,
    "main.js",
  ]);
}

/** Runs `use` with a bundle, which is removed afterwards. */
export async function withBundle<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-bundle-" });
  try {
    await bundle(folder);
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function deno(executable: string, cwd: string, args: string[]): Promise<void> {
  const { success } = await new Deno.Command(executable, { args, cwd }).spawn().status;
  if (!success) throw new BuildFailure(`deno ${args[0]} failed, see above`);
}

/** Something that the output above explains: no stack trace is needed. */
export class BuildFailure extends Error {
  override name = "BuildFailure";
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: { target: { type: "string" }, output: { type: "string", default: join(ROOT, "dist/dispa") } },
  });
  try {
    await withBundle((folder) => compile(folder, values.target ?? null, values.output));
  } catch (fault) {
    if (!(fault instanceof BuildFailure)) throw fault;
    console.error(fault.message);
    Deno.exit(1);
  }
  const { size } = await Deno.stat(values.output);
  console.log(`${values.output}: ${(size / 1e6).toFixed(1)} MB`);
}
