/**
 * Builds the example modules: `deno task plugin-examples`. The .wat by wabt, the AssemblyScript by its compiler, which
 * npx fetches (100 MB, for this task only).
 */
import wabt from "wabt";

const FOLDER = new URL("./", import.meta.url);
const ASSEMBLYSCRIPT = "assemblyscript@0.28.20";

/** The module of a text in the WebAssembly text format. @throws Error that says where the text is wrong */
export async function assemble(name: string, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const { parseWat } = await wabt();
  const module = parseWat(name, text);
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}

if (import.meta.main) {
  const text = await Deno.readTextFile(new URL("stamp.wat", FOLDER));
  await Deno.writeFile(new URL("stamp.wasm", FOLDER), await assemble("stamp.wat", text));
  const args = [
    ...["--yes", `--package=${ASSEMBLYSCRIPT}`, "asc", "assemblyscript/block_agents.ts"],
    ...["--outFile", "block_agents.wasm", "--optimize", "--runtime", "incremental"],
  ];
  const { success } = await new Deno.Command("npx", { args, cwd: FOLDER }).spawn().status;
  if (!success) throw new Error(`${ASSEMBLYSCRIPT} failed, see above`);
}
