import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withFolder } from "../config/support.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Runs the task; what it is given is refused before anything is built. */
async function release(targets: string, env: Record<string, string> = {}): Promise<[number, string]> {
  let outcome: [number, string] = [-1, ""];
  await withFolder(async (folder) => {
    const output = join(folder, "release");
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        "--no-check",
        "src/build/release.ts",
        "--output",
        output,
        "--targets",
        targets,
      ],
      cwd: ROOT,
      env: { ...env, NO_COLOR: "1" },
    }).output();
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    outcome = [code, new TextDecoder().decode(stderr)];
  });
  return outcome;
}

Deno.test("a release for a target that deno compile does not have is wrong usage", async () => {
  const [code, message] = await release("x86_64-unknown-linux-gnu,riscv64gc-unknown-linux-gnu");
  assert.equal(code, 64);
  assert.match(
    message,
    /^--targets names "riscv64gc-unknown-linux-gnu", allowed are x86_64-unknown-linux-gnu,/,
  );
});

Deno.test("a runtime of this machine is not put into the executable of another", async () => {
  const other = Deno.build.os === "windows" ? "x86_64-unknown-linux-gnu" : "x86_64-pc-windows-msvc";
  const [code, message] = await release(other, { DENORT_BIN: Deno.execPath() });
  assert.equal(code, 1);
  assert.match(message, new RegExp(`^cannot build for ${other} with DENORT_BIN, which is a runtime for `));
});
