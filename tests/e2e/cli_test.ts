/** The command line: what it prints and what it ends with. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Dispa, runDispa } from "../support/dispa.ts";
import { freePort } from "../support/ports.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const TARGET = `[[targets.targets]]\nname = "one"\nurl = "http://127.0.0.1:1"\n`;

/** Runs `use` with a folder that is removed afterwards. */
async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "dispa-cli-" });
  try {
    await use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("--version and --help tell the version and the commands, exit 0", async () => {
  const version = await runDispa(["--version"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^dispa \d+\.\d+\.\d+ /);
  const help = await runDispa(["--help"]);
  assert.equal(help.code, 0);
  for (const word of ["validate", "traffic", "healthcheck", "Examples:", "--log-format"]) {
    assert.ok(help.stdout.includes(word), word);
  }
});

Deno.test("wrong usage names the flag or command, hints at the right one, and exits 64", async () => {
  for (
    const [args, message] of [
      [["run", "--wrokers", "2"], /unknown flag --wrokers, did you mean --workers\?/],
      [["vaildate"], /unknown command "vaildate", did you mean "validate"\?/],
      [["--log-format", "xml"], /--log-format is "xml", allowed are text and json/],
      [["run", "stray"], /unexpected argument "stray"/],
      [["healthcheck", "--timeout", "-1"], /--timeout/],
      [["run", "--hlep"], /unknown flag --hlep, did you mean --help\?\nTry "dispa --help"/],
      [["traffic", "query", "--since", "yesterday"], /--since is "yesterday".*\nTry "dispa traffic --help"/],
    ] as const
  ) {
    const { code, stderr } = await runDispa([...args]);
    assert.equal(code, 64, args.join(" "));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
});

Deno.test("help COMMAND is the same as COMMAND --help", async () => {
  for (const command of ["validate", "explain", "traffic", "healthcheck", "init"]) {
    const help = await runDispa(["help", command]);
    assert.equal(help.code, 0);
    assert.match(help.stdout, new RegExp(`^Usage: dispa ${command} `));
    assert.equal(help.stdout, (await runDispa([command, "--help"])).stdout);
  }
});

Deno.test("--validate may stand among the flags of a start", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "good.toml");
    Deno.writeTextFileSync(path, TARGET);
    const args = ["-c", path, "-v", "--log-format", "json", "--validate"];
    assert.equal((await runDispa(args)).code, 0);
    assert.equal((await runDispa(["validate", "-c", path, "-v"])).code, 64);
  });
});

Deno.test("validate lists every problem with file, line and key, and exits 1", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "bad.toml");
    Deno.writeTextFileSync(
      path,
      `[server]\nworkers = 0\nbind_address = "nowhere"\n[domains]\nintercept_domains = ["a*b.com"]\n${TARGET}${TARGET}`,
    );
    for (const args of [["validate", "-c", path], ["--validate", "-c", path]]) {
      const { code, stderr } = await runDispa(args);
      assert.equal(code, 1);
      assert.match(stderr, /bad\.toml:2:\d+ server\.workers: /);
      assert.match(stderr, /bad\.toml:3:\d+ server\.bind_address: /);
      assert.match(stderr, /bad\.toml:5:\d+ domains\.intercept_domains\[0\]: /);
      assert.match(stderr, /targets\.targets\[1\]\.name: /);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
  });
});

Deno.test("an unknown key is a warning with the nearest known one, and an error with --strict", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "typo.toml");
    Deno.writeTextFileSync(path, `[server]\nworkres = 2\n${TARGET}`);
    const lenient = await runDispa(["validate", "-c", path]);
    assert.equal(lenient.code, 0);
    assert.match(lenient.stderr, /typo\.toml:2:\d+ server\.workres: .*workers/);
    const strict = await runDispa(["validate", "-c", path, "--strict"]);
    assert.equal(strict.code, 1);
  });
});

Deno.test("validate --print prints what validates to the same again", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.toml");
    Deno.writeTextFileSync(path, TARGET);
    const first = await runDispa(["validate", "-c", path, "--print"]);
    assert.equal(first.code, 0);
    const again = join(folder, "b.toml");
    Deno.writeTextFileSync(again, first.stdout);
    const second = await runDispa(["validate", "-c", again, "--print", "--strict"]);
    assert.equal(second.code, 0, second.stderr);
    assert.equal(second.stdout, first.stdout);
  });
});

Deno.test("validate --print shows no secret, of the file or of the environment", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.toml");
    Deno.writeTextFileSync(
      path,
      `${TARGET}
[security.rate_limit]
rate_per_sec = 1
store = "redis://:geheim@localhost:1/0"
[[routing.rules]]
name = "a"
[routing.rules.request_actions.headers]
set = { Authorization = "Bearer geheim", X-Key = "\${SOME_KEY}" }
`,
    );
    const printed = await runDispa(["validate", "-c", path, "--print"], { env: { SOME_KEY: "heimlich" } });
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(printed.stdout, /store = "redis:\/\/:\*{8}@localhost:1\/0"/);
    assert.doesNotMatch(printed.stdout + printed.stderr, /geheim|heimlich/);
  });
});

Deno.test("files that are no configuration give a clear error and exit 1, never a stack trace", async () => {
  await inFolder(async (folder) => {
    const files: Record<string, string | Uint8Array> = {
      "empty.toml": "",
      "broken.toml": "[server\nworkers = 1\n",
      "garbage.toml": crypto.getRandomValues(new Uint8Array(65536)),
      "huge.toml": new Uint8Array(5_000_000).fill(0x61),
    };
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, name);
      if (typeof content === "string") Deno.writeTextFileSync(path, content);
      else Deno.writeFileSync(path, content);
    }
    for (
      const path of [
        ...Object.keys(files).map((name) => join(folder, name)),
        join(folder, "missing.toml"),
        folder,
      ]
    ) {
      for (const command of ["validate", "run"]) {
        const { code, stderr } = await runDispa([command, "-c", path]);
        assert.equal(code, 1, path);
        assert.ok(stderr.includes(path), `${path} is not named in: ${stderr}`);
        assert.doesNotMatch(stderr, /\n\s+at /);
      }
    }
  });
});

Deno.test("a byte order mark and CRLF line ends are no problem", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "windows.toml");
    Deno.writeTextFileSync(path, "\ufeff" + TARGET.replaceAll("\n", "\r\n"));
    assert.equal((await runDispa(["validate", "-c", path, "--strict"])).code, 0);
  });
});

Deno.test("a malformed environment variable is an error that names it", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.toml");
    Deno.writeTextFileSync(path, TARGET);
    for (
      const [name, value] of [["DISPA_WORKERS", "many"], ["DISPA_METRICS_PORT", "99999"], [
        "DISPA_LOGGING_ENABLED",
        "maybe",
      ]]
    ) {
      const { code, stderr } = await runDispa(["validate", "-c", path], { env: { [name]: value } });
      assert.equal(code, 1, name);
      assert.ok(stderr.includes(name), stderr);
    }
  });
});

Deno.test("flag beats environment beats file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a.toml");
    Deno.writeTextFileSync(path, `[server]\nworkers = 1\n${TARGET}`);
    const workers = async (args: string[], env: Record<string, string>) => {
      const { stdout } = await runDispa(["validate", "--print", ...args], {
        env: { DISPA_CONFIG: path, ...env },
      });
      return /^workers = (\d+)$/m.exec(stdout)?.[1];
    };
    assert.equal(await workers([], {}), "1");
    assert.equal(await workers([], { DISPA_WORKERS: "2" }), "2");
    assert.equal(await workers(["-w", "3"], { DISPA_WORKERS: "2" }), "3");
  });
});

Deno.test("an address in use ends the start with exit 2 and names key and address", async () => {
  await inFolder(async (folder) => {
    const blocker = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const taken = blocker.addr.port;
    for (const key of ["server.bind_address", "monitoring.metrics_port", "monitoring.health_check_port"]) {
      const port = (name: string) => (name === key ? taken : freePort());
      const path = join(folder, "a.toml");
      Deno.writeTextFileSync(
        path,
        `[server]\nbind_address = "127.0.0.1:${port("server.bind_address")}"\nworkers = 2
[monitoring]\nbind_address = "127.0.0.1"\nmetrics_port = ${port("monitoring.metrics_port")}
health_check_port = ${port("monitoring.health_check_port")}
[logging]\nenabled = false\n${TARGET}`,
      );
      const { code, stderr } = await runDispa(["run", "-c", path]);
      assert.equal(code, 2, key);
      assert.ok(stderr.includes(key) && stderr.includes(String(taken)), stderr);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
    blocker.close();
  });
});

Deno.test("healthcheck exits 0 for a healthy proxy and 1 otherwise", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: `[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n`,
  });
  assert.equal((await runDispa(["healthcheck", "-c", dispa.configPath])).code, 0);
  const gone = await runDispa(["healthcheck", "--url", `http://127.0.0.1:${freePort()}/health`]);
  assert.equal(gone.code, 1);
  assert.notEqual(gone.stderr, "");
});
