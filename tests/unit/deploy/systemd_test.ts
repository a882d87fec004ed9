/** The systemd unit fits systemd and Dispa. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ExitCode } from "../../../src/cli/exit_codes.ts";
import { requires } from "../../support/skip.ts";
import { accepted, ONE_TARGET, withFolder } from "../config/support.ts";

const UNIT = await Deno.readTextFile(new URL("../../../deploy/systemd/dispa.service", import.meta.url));
const EXECUTABLE = "/usr/local/bin/dispa";
const SYSTEMD_ANALYZE = requires("systemd-analyze", "/usr/bin/systemd-analyze");

/** Of ten; 9.2 is a service without any protection. */
const MOST_EXPOSURE = 2;

function values(key: string): string[] {
  return [...UNIT.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value);
}

async function analyze(change: (unit: string) => string, ...args: string[]): Promise<[number, string]> {
  let outcome: [number, string] = [-1, ""];
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.service");
    // systemd looks whether the program is there.
    await Deno.writeTextFile(path, change(UNIT.replaceAll(EXECUTABLE, "/bin/true")));
    const command = new Deno.Command("systemd-analyze", { args: [...args, path] });
    const { code, stdout, stderr } = await command.output();
    outcome = [code, new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout)];
  });
  return outcome;
}

const verify = (change: (unit: string) => string) => analyze(change, "verify", "--man=no");
const security = (change: (unit: string) => string) =>
  analyze(change, "security", "--offline=true", "--no-pager", `--threshold=${MOST_EXPOSURE * 10}`);

Deno.test({
  name: "systemd understands every line of the unit",
  ...SYSTEMD_ANALYZE,
  fn: async () => {
    assert.deepEqual(await verify((unit) => unit), [0, ""]);
    const [, complaint] = await verify((unit) => unit.replace("PrivateTmp=", "PrivateTemp="));
    assert.match(complaint, /PrivateTemp/);
  },
});

Deno.test({
  name: "systemd finds the unit well protected",
  ...SYSTEMD_ANALYZE,
  fn: async () => {
    const [code, report] = await security((unit) => unit);
    assert.equal(code, 0, report);
    const [worse] = await security((unit) =>
      unit.replaceAll(/^(Protect|SystemCall|Restrict|Private).*\n/gm, "")
    );
    assert.notEqual(worse, 0);
  },
});

Deno.test("the unit's commands are commands of Dispa on one configuration file", () => {
  const commands = [...values("ExecStart"), ...values("ExecReload")].map((line) => line.split(" "));
  const own = commands.filter(([program]) => program === EXECUTABLE);
  const seen = own.map(([, ...args]) =>
    parseArgs({ args, allowPositionals: true, options: { config: { type: "string", short: "c" } } })
  ).map(({ positionals, values }) => [positionals, values.config]);
  assert.deepEqual(seen, [
    [["run"], "/etc/dispa/config.toml"],
    [["validate"], "/etc/dispa/config.toml"],
  ]);
  assert.deepEqual(values("ExecReload").at(-1), "/bin/kill -HUP $MAINPID");
});

Deno.test("the unit waits longer for the end than Dispa does, and starts it again unless that is in vain", async () => {
  const { server } = await accepted(ONE_TARGET);
  assert.ok(Number(values("TimeoutStopSec")) * 1000 > server.shutdownTimeoutMs);
  assert.deepEqual(values("RestartPreventExitStatus"), [`${ExitCode.ConfigError} ${ExitCode.Usage}`]);
});
