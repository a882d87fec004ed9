import assert from "node:assert/strict";
import { join } from "node:path";
import type * as z from "zod";
import { commandSettings } from "../../../src/config/plugins/command.ts";
import { command } from "../../../src/plugins/command.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { eventually } from "../../support/eventually.ts";
import { Foreign, withFolder } from "./foreign_support.ts";

/** Longer than any program of these tests takes on a busy machine. */
const PATIENT = { timeout_ms: 20_000 };

type Settings = z.input<typeof commandSettings>;

function open(settings: Settings): Promise<Foreign> {
  return Foreign.open(command, commandSettings, { ...PATIENT, ...settings });
}

/** A plugin that runs a shell script with `$1` and so on being `args`. */
function shell(text: string, settings: Partial<Settings> = {}, args: string[] = []): Promise<Foreign> {
  return open({ exec: "/bin/sh", args: ["-c", text, "sh", ...args], ...settings });
}

const lives = async (pid: string): Promise<boolean> => {
  try {
    // A zombie that init has not fetched yet does nothing any more.
    return !/^State:\s+Z/m.test(await Deno.readTextFile(`/proc/${pid.trim()}/status`));
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound || String(fault).includes("No such process")) return false;
    throw fault;
  }
};

/** Whether this process has a child that nobody waited for. */
async function zombies(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => "");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" && parent === String(Deno.pid)) found.push(name);
  }
  return found;
}

Deno.test("a program gets the request as JSON and its answer changes the request", () =>
  withFolder(async (folder) => {
    const input = join(folder, "input.json");
    await using foreign = await shell(
      `cat >"$1"; echo '{"set_headers":{"x-added":"1"},"set_path":"/b"}'`,
      {},
      [input],
    );
    const request = requestMessage({ target: "/a?q", headers: ["x-a", "ü"] });
    assert.equal(await foreign.request(request), null);
    assert.deepEqual(request.headers, ["host", "example.com", "x-a", "ü", "x-added", "1"]);
    assert.equal(request.target, "/b?q");
    const told = JSON.parse(await Deno.readTextFile(input));
    assert.deepEqual([told.stage, told.path, told.headers], ["request", "/a", {
      host: "example.com",
      "x-a": "ü",
    }]);
    assert.equal(foreign.runs.length, 1);
    assert.deepEqual(foreign.failures, []);
  }));

Deno.test("a program can change an answer, and answer itself", async () => {
  await using foreign = await shell(
    `grep -q '"stage":"response"' && echo '{"set_status":404}' || echo '{"short_circuit":{"status":403,"body":"no"}}'`,
    { env: { PATH: "/usr/bin:/bin" } },
  );
  const answer = { status: 403, headers: ["content-type", "text/plain; charset=utf-8"], body: "no" };
  assert.deepEqual(await foreign.request(), answer);
  const response = responseMessage(200, ["a", "b"]);
  assert.equal(await foreign.plugin.onResponse?.(requestMessage(), response), null);
  assert.deepEqual(response, { status: 404, headers: ["a", "b"] });
});

Deno.test("a program has the environment of the settings and no other, and their working folder", () =>
  withFolder(async (folder) => {
    Deno.env.set("DISPA_TEST_SECRET", "x");
    const settings = { cwd: folder, env: { GREETING: "hello" } };
    await using env = await open({ exec: "/usr/bin/env", ...settings });
    assert.equal(await env.failure("bad_output"), 'the answer is not JSON: found "GREETING=hello\\n"');
    await using pwd = await open({ exec: "/bin/pwd", ...settings });
    assert.equal(
      await pwd.failure("bad_output"),
      `the answer is not JSON: found "${await Deno.realPath(folder)}\\n"`,
    );
  }));

Deno.test("a program may leave its input unread, however long that is", async () => {
  await using foreign = await shell("echo '{}'");
  await foreign.headers(["x-long", "a".repeat(300_000)]);
});

Deno.test("a program that ends with an error is reported with its last words", async () => {
  await using foreign = await shell(`echo "first" >&2; echo 'no "database"' >&2; exit 3`);
  assert.equal(
    await foreign.failure("io"),
    'the program ended with code 3, its last words: "first\\nno \\"database\\""',
  );
  assert.deepEqual(foreign.failures, ["io"]);
});

Deno.test("a program that writes megabytes of errors neither stops nor fills the memory", async () => {
  await using foreign = await shell("head -c 5000000 /dev/zero | tr '\\0' e >&2; echo end >&2; exit 1");
  const message = await foreign.failure("io");
  assert.match(message, /e{100}end"$/);
  assert.ok(message.length < 1200, `message of ${message.length} characters`);
});

Deno.test("a program that dies by a signal is reported with it", async () => {
  await using foreign = await shell("kill -SEGV $$");
  assert.equal(await foreign.failure("io"), "the program was ended by SIGSEGV");
});

Deno.test("output that is no JSON, or no UTF-8, is a bad output", async () => {
  await using text = await shell("echo blocked");
  assert.equal(await text.failure("bad_output"), 'the answer is not JSON: found "blocked\\n"');
  assert.deepEqual(text.failures, ["bad_output"]);
  await using bytes = await shell("printf '\\377'");
  assert.equal(await bytes.failure("bad_output"), "the program's answer is not UTF-8");
});

Deno.test("a program that cannot be started fails the call, and the plugin can be made all the same", () =>
  withFolder(async (folder) => {
    await using missing = await open({ exec: join(folder, "missing") });
    assert.match(
      await missing.failure("exec"),
      /^cannot start the program: .*missing': No such file or directory/,
    );
    assert.deepEqual(missing.lines.map(({ message }) => message), ["cannot find a plugin's program"]);
    assert.deepEqual([missing.failures, missing.runs], [["exec"], []]);
    const file = join(folder, "plain");
    await Deno.writeTextFile(file, "#!/bin/sh\necho '{}'\n");
    await using plain = await open({ exec: file });
    assert.match(await plain.failure("exec"), /Permission denied/);
    await Deno.chmod(file, 0o755);
    await plain.headers();
  }));

Deno.test("a program that does not end in time is killed with all it has started", () =>
  withFolder(async (folder) => {
    const pids = join(folder, "pids");
    await using foreign = await shell(
      `sleep 600 & echo $! >"$1"; (sleep 600 & echo $! >>"$1"); echo $$ >>"$1"; wait`,
      { timeout_ms: 1000 },
      [pids],
    );
    assert.equal(await foreign.failure("timeout"), "the program did not end in 1000 ms");
    const started = (await Deno.readTextFile(pids)).trim().split("\n");
    assert.equal(started.length, 3);
    for (const pid of started) await eventually(`the end of process ${pid}`, async () => !await lives(pid));
    await eventually("no zombie", async () => (await zombies()).length === 0);
  }));

Deno.test("what a program has left running is killed when it holds the output open", () =>
  withFolder(async (folder) => {
    const pid = join(folder, "pid");
    await using foreign = await shell(`sleep 600 & echo $! >"$1"; echo '{}'`, { timeout_ms: 1000 }, [pid]);
    await foreign.failure("timeout");
    const started = await Deno.readTextFile(pid);
    await eventually("the end of the left process", async () => !await lives(started));
  }));

Deno.test("a program that writes a byte now and then is stopped at the time-out", async () => {
  await using foreign = await shell("while :; do printf ' '; sleep 0.05; done", { timeout_ms: 500 });
  await foreign.failure("timeout");
});

Deno.test("a program that writes without end is killed at the limit", async () => {
  await using foreign = await shell("exec yes", { max_output_bytes: 10_000 });
  assert.equal(
    await foreign.failure("too_large"),
    "the program wrote more than max_output_bytes, which is 10000",
  );
  await eventually("no zombie", async () => (await zombies()).length === 0);
});

Deno.test("max_concurrency holds in the whole process, and a failed call gives its place back", () =>
  withFolder(async (folder) => {
    const settings = commandSettings.parse({
      ...PATIENT,
      exec: "/bin/sh",
      args: ["-c", `echo >"$1/started"; while [ ! -e "$1/go" ]; do sleep 0.02; done; exit 1`, "sh", folder],
      max_concurrency: 1,
    });
    const shared = new SharedArrayBuffer(command.sharedBytes?.(settings) ?? 0);
    const make = () =>
      command.create(settings, {
        name: "p",
        shared,
        log: () => assert.fail("nothing is to be logged"),
        commandMetrics: { ran: () => {}, failed: (kind) => failures.push(kind) },
      });
    const failures: string[] = [];
    const [one, other] = await Promise.all([make(), make()]);
    const first = assert.rejects(async () => await one.onRequest?.(requestMessage()), /ended with code 1/);
    await eventually("the start", () => Deno.stat(join(folder, "started")));
    const second = async () => await other.onRequest?.(requestMessage());
    await assert.rejects(second, /max_concurrency calls are already under way/);
    await Deno.writeTextFile(join(folder, "go"), "");
    await first;
    await assert.rejects(second, /ended with code 1/);
    assert.deepEqual(failures, ["concurrency", "io", "io"]);
  }));

Deno.test("exec_allowlist compares the files that are meant, not how they are spelt", () =>
  withFolder(async (folder) => {
    const link = join(folder, "link");
    const other = join(folder, "other");
    await Deno.symlink("/bin/sh", link);
    await Deno.writeTextFile(other, "");
    await using foreign = await open({
      exec: link,
      args: ["-c", "echo"],
      exec_allowlist: [other, "/bin/sh"],
    });
    await foreign.headers();
    await assert.rejects(open({ exec: link, exec_allowlist: [other] }), (fault: Error) => {
      assert.match(fault.message, /^exec: found .*\/link \(.*\), wanted one of exec_allowlist: .*\/other$/);
      return true;
    });
    await assert.rejects(open({ exec: "/bin/sh", exec_allowlist: [] }), /wanted one of exec_allowlist/);
    await assert.rejects(
      open({ exec: join(folder, "gone"), exec_allowlist: [join(folder, "gone")] }),
      /cannot find .*gone, which exec_allowlist has to hold/,
    );
  }));

Deno.test("explain says what would run and runs nothing", async () => {
  await using foreign = await shell("exit 1");
  assert.equal(foreign.plugin.explain?.(requestMessage(), null), "would run /bin/sh about the request");
  assert.deepEqual(foreign.runs, []);
});

Deno.test("the example in shell answers while its file is there", () =>
  withFolder(async (folder) => {
    const MAINTENANCE_FILE = join(folder, "maintenance");
    await using foreign = await open({
      exec: "examples/plugins/command/maintenance.sh",
      env: { MAINTENANCE_FILE },
    });
    await foreign.headers();
    await Deno.writeTextFile(MAINTENANCE_FILE, "");
    const answer = await foreign.request();
    assert.ok(answer !== null && "status" in answer);
    assert.deepEqual([answer.status, answer.body], [503, "Back in ten minutes\n"]);
  }));
