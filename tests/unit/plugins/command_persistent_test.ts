import assert from "node:assert/strict";
import { join } from "node:path";
import type * as z from "zod";
import { commandSettings } from "../../../src/config/plugins/command.ts";
import { command } from "../../../src/plugins/command.ts";
import { requestMessage } from "../../support/messages.ts";
import { eventually } from "../../support/eventually.ts";
import { Foreign, withFolder } from "./foreign_support.ts";

type Settings = z.input<typeof commandSettings>;

/** A program that is kept running, in shell; `$1` is a folder of the test's own. */
function shell(text: string, folder: string, settings: Partial<Settings> = {}): Promise<Foreign> {
  return Foreign.open(command, commandSettings, {
    exec: "/bin/sh",
    args: ["-c", text, "sh", folder],
    env: { PATH: "/usr/bin:/bin" },
    mode: "persistent",
    timeout_ms: 20_000,
    ...settings,
  });
}

/** Notes its process, then answers each line with the number of lines it has read. */
const COUNTER = `echo $$ >>"$1/pids"; n=0; while read -r line; do n=$((n+1)); ` +
  `printf '{"set_headers":{"x-n":"%s"}}\\n' $n; done`;

async function pids(folder: string): Promise<string[]> {
  return (await Deno.readTextFile(join(folder, "pids"))).trim().split("\n");
}

async function lives(pid: string): Promise<boolean> {
  try {
    return !/^State:\s+Z/m.test(await Deno.readTextFile(`/proc/${pid}/status`));
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound || String(fault).includes("No such process")) return false;
    throw fault;
  }
}

const ended = (pid: string) => eventually(`the end of process ${pid}`, async () => !await lives(pid));

async function count(foreign: Foreign): Promise<string> {
  const headers = await foreign.headers();
  return headers[headers.indexOf("x-n") + 1];
}

Deno.test("one process answers call after call", () =>
  withFolder(async (folder) => {
    await using foreign = await shell(COUNTER, folder);
    for (const n of ["1", "2", "3"]) assert.equal(await count(foreign), n);
    const together = await Promise.all(Array.from({ length: 50 }, () => count(foreign)));
    assert.deepEqual(together, Array.from({ length: 50 }, (_, i) => String(i + 4)));
    assert.equal((await pids(folder)).length, 1);
    assert.deepEqual([foreign.runs.length, foreign.failures], [53, []]);
  }));

Deno.test("several processes share the calls", () =>
  withFolder(async (folder) => {
    const meet = `echo $$ >>"$1/pids"; while read -r line; do echo x >>"$1/met"; ` +
      `while [ $(wc -l <"$1/met") -lt 2 ]; do sleep 0.02; done; echo '{}'; done`;
    await using foreign = await shell(meet, folder, { processes: 2 });
    // Each call ends only when both have begun.
    await Promise.all([foreign.headers(), foreign.headers()]);
    assert.equal((await pids(folder)).length, 2);
  }));

Deno.test("dispose ends the process, one that ignores the end of its input, too", () =>
  withFolder(async (folder) => {
    const foreign = await shell(`${COUNTER}; sleep 600`, folder);
    await count(foreign);
    const [pid] = await pids(folder);
    await foreign.plugin.dispose?.();
    await ended(pid);
  }));

Deno.test("a process can end in order when its input ends", () =>
  withFolder(async (folder) => {
    const foreign = await shell(`${COUNTER}; echo bye >"$1/bye"`, folder);
    await count(foreign);
    await foreign.plugin.dispose?.();
    assert.equal(await Deno.readTextFile(join(folder, "bye")), "bye\n");
  }));

Deno.test("a process that dies is started again, and only its own call fails", () =>
  withFolder(async (folder) => {
    const dies = `echo $$ >>"$1/pids"; n=0; while read -r line; do n=$((n+1)); ` +
      `case "$line" in *die*) echo "on purpose" >&2; exit 7;; esac; printf '{"set_headers":{"x-n":"%s"}}\\n' $n; done`;
    await using foreign = await shell(dies, folder);
    assert.equal(await count(foreign), "1");
    const fatal = requestMessage({ target: "/die" });
    const [message, next] = await Promise.all([foreign.failure("io", fatal), count(foreign)]);
    assert.equal(message, 'the program ended with code 7, its last words: "on purpose"');
    assert.equal(next, "1", "from a fresh process");
    assert.equal(await count(foreign), "2");
    assert.deepEqual(foreign.failures, ["io"]);
  }));

Deno.test("a process killed from outside is started again before the next call", () =>
  withFolder(async (folder) => {
    await using foreign = await shell(COUNTER, folder);
    await count(foreign);
    const [first] = await pids(folder);
    Deno.kill(Number(first), "SIGKILL");
    await eventually("another process", async () => (await pids(folder)).length === 2);
    assert.equal(await count(foreign), "1");
  }));

Deno.test("a process that is late is killed, so that its answer cannot go to another call", () =>
  withFolder(async (folder) => {
    const slow = `echo $$ >>"$1/pids"; n=0; while read -r line; do n=$((n+1)); ` +
      `case "$line" in *slow*) sleep 600;; esac; printf '{"set_headers":{"x-n":"%s"}}\\n' $n; done`;
    await using foreign = await shell(slow, folder, { timeout_ms: 1500 });
    await count(foreign);
    const late = foreign.failure("timeout", requestMessage({ target: "/slow" }));
    const waiting = count(foreign);
    assert.equal(await late, "the program did not answer in 1500 ms");
    assert.equal(await waiting, "1");
    const [first] = await pids(folder);
    await ended(first);
  }));

Deno.test("a program that starts slowly fails its first call, and then serves", () =>
  withFolder(async (folder) => {
    const slowStart = `while [ ! -e "$1/go" ]; do sleep 0.02; done; ${COUNTER}`;
    await using foreign = await shell(slowStart, folder, { timeout_ms: 500, start_timeout_ms: 60_000 });
    await foreign.failure("timeout");
    await Deno.writeTextFile(join(folder, "go"), "");
    // The answer to the first call has been dropped: this is the second line the same process read.
    assert.equal(await count(foreign), "2");
    assert.equal((await pids(folder)).length, 1);
  }));

Deno.test("a program that never gives a first answer is started again after start_timeout_ms", () =>
  withFolder(async (folder) => {
    await using foreign = await shell(`echo $$ >>"$1/pids"; exec sleep 600`, folder, {
      timeout_ms: 50,
      start_timeout_ms: 200,
    });
    await foreign.failure("timeout");
    await eventually("another process", async () => (await pids(folder)).length >= 2);
    const [first] = await pids(folder);
    await ended(first);
  }));

const OUT_OF_STEP: [what: string, answer: string, message: string][] = [
  ["a line that is no JSON", "echo ready", 'the program wrote a line that is not JSON: "ready"'],
  ["two lines for one call", "printf '{}\\n{}\\n'", "the program wrote more than one line for one call"],
  [
    "a line without end",
    "head -c 5000 /dev/zero; sleep 600",
    "the program wrote more than max_output_bytes, which is 2000",
  ],
];

for (const [what, answer, message] of OUT_OF_STEP) {
  Deno.test(`a process that writes ${what} is replaced`, () =>
    withFolder(async (folder) => {
      const program = `echo $$ >>"$1/pids"; while read -r line; do ` +
        `case "$line" in *odd*) ${answer};; *) echo '{}';; esac; done`;
      await using foreign = await shell(program, folder, { max_output_bytes: 2000 });
      await foreign.headers();
      const kind = what.includes("without end") ? "too_large" : "bad_output";
      assert.equal(await foreign.failure(kind, requestMessage({ target: "/odd" })), message);
      await foreign.headers();
      const all = await pids(folder);
      assert.equal(all.length, 2);
      await ended(all[0]);
    }));
}

Deno.test("a process that writes without being asked is replaced before it can be asked", () =>
  withFolder(async (folder) => {
    const program = `echo $$ >>"$1/pids"; [ -e "$1/second" ] || { : >"$1/second"; echo hello; }; ` +
      `while read -r line; do echo '{}'; done`;
    await using foreign = await shell(program, folder);
    await eventually("another process", async () => (await pids(folder)).length === 2);
    await foreign.headers();
  }));

Deno.test("JSON of the wrong shape fails the call, but the process has kept step", () =>
  withFolder(async (folder) => {
    const program = `echo $$ >>"$1/pids"; while read -r line; do ` +
      `case "$line" in *odd*) echo '{"typo":1}';; *) echo '{}';; esac; done`;
    await using foreign = await shell(program, folder);
    await foreign.failure("bad_output", requestMessage({ target: "/odd" }));
    await foreign.headers();
    assert.equal((await pids(folder)).length, 1);
    assert.deepEqual(foreign.failures, ["bad_output"]);
  }));

Deno.test("a program that cannot be started fails each call at once, and is tried again", () =>
  withFolder(async (folder) => {
    const exec = join(folder, "program");
    await using foreign = await Foreign.open(command, commandSettings, { exec, mode: "persistent" });
    assert.match(await foreign.failure("exec"), /cannot start the program: .*No such file/);
    await Deno.writeTextFile(exec, `#!/bin/sh\nwhile read -r line; do echo '{}'; done\n`, { mode: 0o755 });
    await eventually("the program to be found", () => foreign.headers());
  }));

Deno.test("the example in TypeScript gives each client its number", () =>
  withFolder(async () => {
    await using foreign = await Foreign.open(command, commandSettings, {
      exec: Deno.execPath(),
      args: ["run", "--no-config", "examples/plugins/command/bucket.ts"],
      env: { HOME: Deno.env.get("HOME") ?? "/" },
      mode: "persistent",
      timeout_ms: 30_000,
    });
    const bucket = async (clientIp: string) => {
      const request = requestMessage({ clientIp });
      await foreign.request(request);
      return request.headers.at(-1);
    };
    const first = await bucket("192.0.2.1");
    assert.match(first ?? "", /^\d{1,2}$/);
    assert.notEqual(await bucket("192.0.2.2"), first);
    assert.equal(await bucket("192.0.2.1"), first);
  }));
