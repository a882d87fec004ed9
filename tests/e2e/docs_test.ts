/** What the documents tell a newcomer to type does what they show. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { Dispa, dispaCommand, runDispa } from "../support/dispa.ts";
import { blocksOf, type Command, commandsOf, dispaArguments, DOCUMENTS } from "../support/documents.ts";
import { readDocument, ROOT, simpleCommands } from "../support/documents.ts";
import { eventually } from "../support/eventually.ts";
import { Lines } from "../support/lines.ts";
import { freePort } from "../support/ports.ts";
import { runsOn } from "../support/runtime.ts";
import { requires } from "../support/skip.ts";

const README = readDocument("README.md");
const QUICKSTART = readDocument("docs/QUICKSTART.md");
const [QUICKSTART_CONFIG, QUICKSTART_RULE] = configurationsOf(QUICKSTART);

function configurationsOf(document: string): string[] {
  return blocksOf(document).filter(({ language }) => language === "toml").map(({ text }) => text);
}

/** The files that commands name by `-c`, by the documents that show them. */
const FILES: Record<string, string> = {
  "config/config.toml": Deno.readTextFileSync(join(ROOT, "config/config.toml")),
  "config/dev.toml": Deno.readTextFileSync(join(ROOT, "config/dev.toml")),
  "shop.toml": configurationsOf(readDocument("docs/ROUTING.md"))[0],
  "my.toml": QUICKSTART_CONFIG,
  "dispa.toml": QUICKSTART_CONFIG,
};

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-docs-" });
  try {
    for (const [name, text] of Object.entries(FILES)) {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await Deno.writeTextFile(join(folder, name), text);
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface DispaUse extends Command {
  args: string[];
  where: string;
}

/** Every command of the documents that starts Dispa, once. */
function usesOfDispa(): DispaUse[] {
  const uses = new Map<string, DispaUse>();
  for (const path of DOCUMENTS) {
    for (const command of commandsOf(readDocument(path))) {
      for (const words of simpleCommands(command.text)) {
        const args = dispaArguments(words);
        if (args !== null) {
          const where = `${path}:${command.line}: ${command.text}`;
          uses.set(`${args.join("\n")}\n${command.output ?? ""}`, { ...command, args, where });
        }
      }
    }
  }
  return [...uses.values()];
}

/** Absolute paths are in the folder, ports are those of the running program. */
function placed(args: string[], healthPort: number): string[] {
  return args.map((arg) =>
    arg.replace(/^\/etc\/dispa\//, "").replace(/:8[01]81\//, `:${healthPort}/`)
      .replace(/^127\.0\.0\.1:\d+$/, "127.0.0.1:0")
  );
}

const isStart = ({ args: [first] }: DispaUse) =>
  first === undefined || first === "run" || first === "-c" || first === "-b";
/** They wait for what is yet to come. */
const isEndless = ({ args }: DispaUse) => args[0] === "traffic" && args[1] === "tail";

Deno.test("every command of the documents that asks something ends with success beside a proxy that runs", async () => {
  await using dispa = await Dispa.start({ toml: QUICKSTART_CONFIG, isWhole: true });
  await dispa.fetch("example.com");
  await dispa.record("of the request", () => true);
  const env = {
    DISPA_HEALTH_CHECK_PORT: String(dispa.healthPort),
    DISPA_METRICS_PORT: String(dispa.metricsPort),
    DISPA_LOG_DIRECTORY: dispa.logs,
  };
  const asked = usesOfDispa().filter((use) => !isStart(use) && !isEndless(use));
  assert.ok(asked.length >= 20, `${asked.length} commands`);
  for (const { args, where } of asked) {
    await inFolder(async (cwd) => {
      if (args[0] === "init") { for (const name of Object.keys(FILES)) await Deno.remove(join(cwd, name)); }
      const { code, stdout, stderr } = await runDispa(placed(args, dispa.healthPort), { cwd, env });
      assert.equal(code, 0, `${where}\n${stdout}${stderr}`);
    });
  }
});

Deno.test("validate and explain print what the documents show", async () => {
  const shown = usesOfDispa().filter(({ args, output }) =>
    output !== null && output !== "" && ["validate", "explain"].includes(args[0])
  );
  assert.ok(shown.length >= 2, `${shown.length} commands with their output`);
  for (const { args, output, where } of shown) {
    await inFolder(async (cwd) => {
      const { stdout } = await runDispa(args, { cwd });
      assert.equal(stdout.trimEnd(), output, where);
    });
  }
});

Deno.test("every command of the documents that starts Dispa starts it", async () => {
  const starts = usesOfDispa().filter(isStart);
  assert.ok(starts.length >= 4, `${starts.length} commands`);
  for (const { args, where } of starts) {
    await inFolder(async (cwd) => {
      const env = {
        DISPA_BIND_ADDRESS: "127.0.0.1:0",
        DISPA_HEALTH_CHECK_PORT: "0",
        DISPA_METRICS_PORT: "0",
        DISPA_ADMIN_TOKEN: "0123456789abcdef0123456789abcdef",
      };
      const child = dispaCommand(placed(args, 0), { cwd, env }).spawn();
      const [stderr, stdout] = [new Lines(child.stderr), new Lines(child.stdout)];
      try {
        await stderr.waitFor(/serving on http/).catch((fault) => assert.fail(`${where}\n${fault}`));
      } finally {
        child.kill("SIGTERM");
        await Promise.all([child.status, stderr.done, stdout.done]);
      }
      assert.equal((await child.status).code, 0, where);
    });
  }
});

/** A demo target of the repository, as the documents start it. */
class DemoTarget implements AsyncDisposable {
  readonly port = freePort();
  readonly #child: Deno.ChildProcess;
  readonly #lines: Lines[];

  constructor(name: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", join(ROOT, "examples/dev/target.ts"), name, String(this.port)],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = [new Lines(this.#child.stdout), new Lines(this.#child.stderr)];
  }

  listens(): Promise<string> {
    return this.#lines[0].waitFor(/listens on/);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch (fault) {
      // It was ended by the test already.
      if (!(fault instanceof TypeError)) throw fault;
    }
    await Promise.all([this.#child.status, ...this.#lines.map((lines) => lines.done)]);
  }
}

/** What is different each time: ids, times, versions and sizes. */
function masked(text: string): string {
  return text.replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}/g, "ID").replace(/curl\/[\d.]+/g, "curl")
    .replace(/^date: .*$/gm, "date").replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, "TIME").replace(/\r/g, "")
    .replace(/"(duration_ms|upstream_ms|worker)":[\d.]+/g, '"$1":N').replace(/demo-[12]/g, "demo-N")
    .trimEnd();
}

Deno.test({
  name: "README.md: the first five minutes are as they are printed",
  ...requires("curl", "/usr/bin/curl", "/usr/local/bin/curl"),
  fn: async () => {
    await using one = new DemoTarget("demo-1");
    await using two = new DemoTarget("demo-2");
    await Promise.all([one.listens(), two.listens()]);
    const toml = FILES["config/dev.toml"].replace(":3001", `:${one.port}`).replace(":3002", `:${two.port}`);
    await using dispa = await Dispa.start({ toml, isWhole: true });
    await dispa.stderr.waitFor(/target "demo-1" is healthy/);
    await dispa.stderr.waitFor(/target "demo-2" is healthy/);
    const five = README.slice(README.indexOf("## The first five minutes"), README.indexOf("## Your own"));
    const commands = commandsOf(five).filter(({ output }) => output !== null);
    assert.equal(commands.length, 6);
    /** A command's output, as a shell at the folder of the program has it. */
    const run = async ({ text }: Command) => {
      const line = text.replaceAll(":8080", `:${dispa.port}`).replaceAll(":8081", `:${dispa.healthPort}`)
        .replaceAll(":9090", `:${dispa.metricsPort}`);
      const { stdout } = await new Deno.Command("sh", { args: ["-c", line], cwd: dispa.directory }).output();
      return new TextDecoder().decode(stdout);
    };
    const [ordinary, other, record, counted, health, healthy] = commands;
    assert.equal(masked(await run(ordinary)), masked(ordinary.output!));
    // Several proxy threads write in no order between them.
    await dispa.record("of the first request", ({ host }) => host === "example.com");
    // Deno 2.6 adds it to every text; what is printed is of Deno 2.9.
    const answered = (await run(other)).replace(runsOn(2, 9) ? "" : "vary: Accept-Encoding\r\n", "");
    assert.equal(masked(answered), masked(other.output!));
    await dispa.record("of the second request", ({ host }) => host === "other.com");
    assert.equal(masked(await run(record)), masked(record.output!));
    assert.equal(masked(await run(counted)), masked(counted.output!));

    await one[Symbol.asyncDispose]();
    for (let request = 0; request < 2; request++) assert.match(await run(ordinary), /^Hello from demo-2\n/);
    await dispa.stderr.waitFor(/target "demo-1" is unhealthy/);
    assert.equal((await run(healthy)).trimEnd(), healthy.output);
    const state = JSON.parse(await run(health));
    assert.match(health.output!, new RegExp(`"status":"${state.status}","version":"${state.version}"`));
    assert.match(health.output!, new RegExp(`"last_error":"${state.targets[0].last_error}"`));
    assert.deepEqual(
      state.targets.map((target: Record<string, string>) => [target.name, target.state]),
      [...health.output!.matchAll(/"name":"([^"]+)".*?"state":"([^"]+)"/gs)].map((
        [, name, state],
      ) => [name, state]),
    );
  },
});

Deno.test("docs/QUICKSTART.md: what is added is taken into use, and a name that is wrong is explained as it says", async () => {
  await using one = new DemoTarget("one");
  await using two = new DemoTarget("two");
  await Promise.all([one.listens(), two.listens()]);
  const config = QUICKSTART_CONFIG.replace(":3001", `:${one.port}`).replace(":3002", `:${two.port}`);
  await using dispa = await Dispa.start({ toml: config, isWhole: true });
  await dispa.reload(`${config}\n${QUICKSTART_RULE}`);
  for (let request = 0; request < 3; request++) {
    assert.match(await (await dispa.fetch("example.com", "/two/x")).text(), /^Hello from two\n/);
  }
  const from = dispa.stderr.all.length;
  dispa.writeConfig(`${config}\n${QUICKSTART_RULE.replace('target = "two"', 'target = "tow"')}`);
  const line = await dispa.stderr.waitFor(/configuration not reloaded/, from);
  const told = blocksOf(QUICKSTART).find(({ text }) => text.includes("configuration not reloaded"))!.text
    .trimEnd();
  const withoutTime = (text: string) => text.slice(text.indexOf("ERROR"));
  assert.equal(withoutTime(line).replace(dispa.configPath, "my.toml"), withoutTime(told));
});

Deno.test({
  name: "two proxies of one user share the address, and the older one hands over when it stops",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using target = new DemoTarget("one");
    await target.listens();
    const toml = QUICKSTART_CONFIG.replace(/:300[12]/g, `:${target.port}`);
    await using older = await Dispa.start({ toml, isWhole: true });
    const env = { DISPA_BIND_ADDRESS: `127.0.0.1:${older.port}` };
    await using newer = await Dispa.start({ toml, isWhole: true, env });
    assert.equal((await older.fetch("example.com")).status, 200);
    assert.equal(await older.stop(), 0);
    // The address is the older one's.
    for (let request = 0; request < 5; request++) {
      assert.equal((await older.fetch("example.com", `/after/${request}`)).status, 200);
    }
    await eventually("records of the newer one", () => newer.records().length >= 5);
  },
});
