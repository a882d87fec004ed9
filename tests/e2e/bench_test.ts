import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { requires, requiresThat } from "../support/skip.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const needs = [
  requiresThat(Deno.build.os === "linux", "the bench reads Linux's /proc"),
  requires("wrk", "/usr/bin/wrk", "/usr/local/bin/wrk"),
  requires("nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"),
];

async function bench(args: string[], folder: string): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--config", join(ROOT, "deno.json"), join(ROOT, "bench/main.ts"), ...args],
    // Its temporary folder is made here, so that the test can see that nothing stays.
    env: { TMPDIR: folder, NO_COLOR: "1", PATH: `${Deno.env.get("PATH")}:/usr/sbin:/usr/local/sbin` },
    stdout: "null",
    stderr: "piped",
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test({
  name: "The bench measures nginx and Dispa, writes figures above zero and leaves no file behind",
  ignore: needs.some(({ ignore }) => ignore),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "bench-test-" });
    try {
      const json = join(folder, "results.json");
      const args = [
        "--quick",
        "--seconds",
        "1",
        "--only",
        "nginx,dispa",
        "--scenario",
        "small",
        "--json",
        json,
      ];
      const { code, stderr } = await bench(args, folder);
      assert.equal(code, 0, stderr);
      const { medians } = JSON.parse(await Deno.readTextFile(json));
      assert.deepEqual(Object.keys(medians.small), ["nginx", "dispa"]);
      for (const figures of [medians.small.nginx, medians.small.dispa]) {
        for (const key of ["cpuUs", "requestsPerSecond", "p50Ms", "p99Ms", "rssMb"]) {
          assert.ok(figures[key] > 0, `${key} is ${figures[key]}`);
        }
      }
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["results.json"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("The bench refuses names it does not know with exit code 64", async () => {
  for (
    const [flag, value] of [["--only", "nginy"], ["--scenario", "smal"], ["--rounds", "0"], ["--fast", ""]]
  ) {
    const { code, stderr } = await bench([flag, value], Deno.cwd());
    assert.equal(code, 64, stderr);
    assert.ok(stderr.includes(value === "" ? flag : `"${value}"`), stderr);
  }
});
