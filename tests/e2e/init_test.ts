/** `dispa init`, and the program with no file but the one that it writes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { runDispa } from "../support/dispa.ts";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "dispa-init-" });
  try {
    await use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("without a configuration every command that needs one names dispa init, and exits 1", async () => {
  await inFolder(async (cwd) => {
    for (const command of ["run", "validate"]) {
      const { code, stderr } = await runDispa([command], { cwd });
      assert.equal(code, 1);
      assert.match(stderr, /^config\/config\.toml: .*no such file.*"dispa init config\/config\.toml"/m);
    }
  });
});

Deno.test("what init writes is where the other commands look for it, is valid, and is explained by comments", async () => {
  await inFolder(async (cwd) => {
    for (const [flags, keys] of [[[], 10], [["--full", "--force"], 80]] as const) {
      const { code, stdout } = await runDispa(["init", ...flags], { cwd });
      assert.equal(code, 0);
      assert.match(stdout, /^config\/config\.toml: written$/m);
      assert.match(stdout, /^ +\d\. dispa run$/m);
      const text = Deno.readTextFileSync(join(cwd, "config/config.toml"));
      assert.doesNotMatch(text, /schema\.json/);
      assert.ok(text.match(/^#/gm)!.length >= 2, "few comments");
      assert.ok(text.match(/^[a-z_]+ = /gm)!.length >= keys, "few keys");
      const { code: validated, stderr } = await runDispa(["validate", "--strict"], { cwd });
      assert.equal(validated, 0, stderr);
    }
  });
});

Deno.test("init writes to the file that is named, making its folder, and says how to use it", async () => {
  await inFolder(async (cwd) => {
    const { code, stdout } = await runDispa(["init", "etc/dispa/my.toml"], { cwd });
    assert.equal(code, 0);
    assert.match(stdout, /dispa run -c etc\/dispa\/my\.toml/);
    assert.equal((await runDispa(["validate", "-c", "etc/dispa/my.toml"], { cwd })).code, 0);
    // As every command, it looks at the environment for the usual file.
    const named = await runDispa(["init"], { cwd, env: { DISPA_CONFIG: "other.toml" } });
    assert.equal(named.code, 0);
    assert.ok(Deno.statSync(join(cwd, "other.toml")).isFile);
  });
});

Deno.test("init leaves a file that is there as it is, but with --force", async () => {
  await inFolder(async (cwd) => {
    Deno.writeTextFileSync(join(cwd, "mine.toml"), "# mine\n");
    const refused = await runDispa(["init", "mine.toml"], { cwd });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^mine\.toml: .*already.*--force/);
    assert.equal(Deno.readTextFileSync(join(cwd, "mine.toml")), "# mine\n");
    assert.equal((await runDispa(["init", "--force", "mine.toml"], { cwd })).code, 0);
    assert.notEqual(Deno.readTextFileSync(join(cwd, "mine.toml")), "# mine\n");
  });
});

Deno.test("init says in words why it cannot write", async () => {
  await inFolder(async (cwd) => {
    const { code, stderr } = await runDispa(["init", "--force", "."], { cwd });
    assert.equal(code, 1);
    assert.match(stderr, /^\.: cannot write the configuration: /);
    assert.doesNotMatch(stderr, /\n\s+at /);
    assert.equal((await runDispa(["init", "one", "two"], { cwd })).code, 64);
  });
});
