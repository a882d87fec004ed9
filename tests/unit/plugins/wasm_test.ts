import assert from "node:assert/strict";
import { join } from "node:path";
import type * as z from "zod";
import { assemble } from "../../../examples/plugins/wasm/build.ts";
import { wasmSettings } from "../../../src/config/plugins/wasm.ts";
import { wasm } from "../../../src/plugins/wasm.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { Foreign, withFolder } from "./foreign_support.ts";
import { giving, module, type ModuleParts, onPath } from "./wasm_support.ts";

const EXAMPLES = "examples/plugins/wasm";

type Settings = Omit<z.input<typeof wasmSettings>, "module_path">;

/** Longer than a call takes on a busy machine, short where a test waits for it. */
const PATIENT: Settings = { timeout_ms: 10_000 };

/** Runs `body` with the plugin of a module made from parts. */
function withModule(
  parts: Partial<ModuleParts>,
  body: (foreign: Foreign) => Promise<void>,
  settings: Settings = PATIENT,
): Promise<void> {
  return withFolder(async (folder) => {
    const module_path = join(folder, "test.wasm");
    await Deno.writeFile(module_path, await module(parts));
    await using foreign = await Foreign.open(wasm, wasmSettings, { module_path, ...settings });
    await body(foreign);
  });
}

const AA = requestMessage({ target: "/aa" });

Deno.test("the example in the text format marks requests and leaves answers", async () => {
  await using foreign = await Foreign.open(wasm, wasmSettings, {
    module_path: `${EXAMPLES}/stamp.wasm`,
    ...PATIENT,
  });
  assert.deepEqual(await foreign.headers(["a", "b"]), ["host", "example.com", "a", "b", "x-stamped", "wasm"]);
  // More than the one page it begins with.
  assert.equal((await foreign.headers(["long", "a".repeat(200_000)])).length, 6);
  const response = responseMessage(200, ["a", "b"]);
  assert.equal(await foreign.plugin.onResponse?.(requestMessage(), response), null);
  assert.deepEqual(response, { status: 200, headers: ["a", "b"] });
});

Deno.test("the example's module is what its text says", async () => {
  const text = await Deno.readTextFile(`${EXAMPLES}/stamp.wat`);
  assert.deepEqual(await Deno.readFile(`${EXAMPLES}/stamp.wasm`), await assemble("stamp.wat", text));
});

Deno.test("the example in AssemblyScript refuses programs and hides the server", async () => {
  await using foreign = await Foreign.open(wasm, wasmSettings, {
    module_path: `${EXAMPLES}/block_agents.wasm`,
    ...PATIENT,
  });
  for (let i = 0; i < 100; i++) {
    await foreign.headers(["x-note", '"user-agent":"badbot"', "user-agent", "curl/8"]);
    const answer = await foreign.request(
      requestMessage({ headers: ["user-agent", 'Mozilla "x" BadBot/1.0'] }),
    );
    assert.ok(answer !== null && "status" in answer);
    assert.deepEqual([answer.status, answer.body], [403, "This program is not welcome"]);
    const response = responseMessage(200, ["server", "nginx", "a", "b"]);
    await foreign.plugin.onResponse?.(requestMessage(), response);
    assert.deepEqual(response.headers, ["a", "b"]);
  }
});

Deno.test("an instance lives from call to call", () =>
  withModule({
    onRequest: `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.ge_u (global.get $calls) (i32.const 3)) (then unreachable)) (i32.const 0)`,
  }, async (foreign) => {
    await foreign.headers();
    await foreign.headers();
    assert.match(
      await foreign.failure("panic"),
      /^the module failed: RuntimeError: unreachable; its memory has 131072/,
    );
    // A fresh one counts from the start.
    await foreign.headers();
    await foreign.headers();
    await foreign.failure("panic");
  }));

Deno.test("an endless loop is stopped, the thread goes on, and calls that wait are served", () =>
  withModule({ onRequest: onPath("a", "(loop $l br $l)") }, async (foreign) => {
    for (let i = 0; i < 3; i++) {
      const stopped = foreign.failure("timeout", AA);
      const others = Promise.all(Array.from({ length: 20 }, () => foreign.headers()));
      assert.equal(await stopped, "the plugin did not end in 300 ms");
      await others;
    }
    // Nobody had to be left behind.
    assert.deepEqual(foreign.lines, []);
  }, { timeout_ms: 300, threads: 1 }));

Deno.test("while one call loops, another thread serves", () =>
  withModule({ onRequest: onPath("a", "(loop $l br $l)") }, async (foreign) => {
    let isStopped = false;
    const stopped = foreign.failure("timeout", AA).then(() => isStopped = true);
    await foreign.headers();
    assert.equal(isStopped, false);
    await stopped;
  }, { timeout_ms: 3000, threads: 2 }));

const BAD: [
  what: string,
  kind: "bad_output" | "too_large" | "panic",
  parts: Partial<ModuleParts>,
  message: RegExp,
][] = [
  [
    "an address outside the memory",
    "bad_output",
    { onRequest: "(global.set $len (i32.const 10)) (i32.const 131070)" },
    /^dispa_on_request gave the address 131070 for 10 bytes, the memory ends at 131072$/,
  ],
  [
    "a negative address",
    "bad_output",
    { onRequest: "(global.set $len (i32.const 10)) (i32.const -5)" },
    /^dispa_on_request gave the address 4294967291 for 10 bytes/,
  ],
  [
    "a negative length",
    "too_large",
    { onRequest: "(global.set $len (i32.const -1)) (i32.const 16)" },
    /^the result has 4294967295 bytes, max_output_bytes is 1000$/,
  ],
  [
    "an address outside the memory for the input",
    "bad_output",
    { alloc: "(i32.const 131071)" },
    /^alloc gave the address 131071 for \d+ bytes/,
  ],
  [
    "no memory for the input",
    "too_large",
    { alloc: "(i32.const 0)" },
    /^alloc\(\d+\) gave no memory, its memory has/,
  ],
  [
    "a result that is too long",
    "too_large",
    { onRequest: "(global.set $len (i32.const 1001)) (i32.const 16)" },
    /^the result has 1001 bytes, max_output_bytes is 1000$/,
  ],
  [
    "bytes that are no UTF-8",
    "bad_output",
    { onRequest: "(global.set $len (i32.const 2)) (i32.const 16)", more: '(data (i32.const 16) "\\ff\\fe")' },
    /^the result is not UTF-8$/,
  ],
  [
    "text that is no JSON",
    "bad_output",
    { onRequest: giving("blocked").body, more: giving("blocked").data },
    /^the answer is not JSON: found "blocked"$/,
  ],
  [
    "an unknown key",
    "bad_output",
    { onRequest: giving('{"block":1}').body, more: giving('{"block":1}').data },
    /^the answer: found the key "block"/,
  ],
  [
    "a division by zero",
    "panic",
    { onRequest: "(i32.div_u (local.get $size) (i32.const 0))" },
    /^the module failed: RuntimeError: divide by zero; its memory has 131072 bytes$/,
  ],
  [
    "an endless recursion",
    "panic",
    {
      onRequest: "(call $f (i32.const 0))",
      more: "(func $f (param i32) (result i32) (call $f (local.get 0)))",
    },
    /^the module failed: RangeError: Maximum call stack size exceeded/,
  ],
  [
    "a trap with a full memory",
    "too_large",
    {
      onRequest: "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
    },
    /^the module failed: RuntimeError: unreachable; its memory is full \(memory_max_bytes\)$/,
  ],
];

for (const [what, kind, parts, message] of BAD) {
  Deno.test(`${what} fails the call as ${kind}, and only it`, () =>
    withModule({ ...parts, onResponse: "(global.set $len (i32.const 0)) (i32.const 0)" }, async (foreign) => {
      assert.match(await foreign.failure(kind), message);
      assert.match(await foreign.failure(kind), message);
      if (parts.alloc === undefined) await foreign.plugin.onResponse?.(requestMessage(), responseMessage());
      assert.deepEqual(foreign.lines, []);
    }, { ...PATIENT, max_output_bytes: 1000, memory_max_bytes: 1_000_000, threads: 1 }));
}

Deno.test("input and result are given back to the module", () =>
  // 1024 and the length of the input, 16 and 2 of the result: what the first call of dealloc and the second got.
  withModule({
    dealloc: "(global.set $sum (i32.add (global.get $sum) (i32.add (local.get 0) (local.get 1))))",
    onRequest: `(if (global.get $calls) (then
        (if (i32.ne (global.get $sum) (i32.add (i32.const 1042) (local.get $size))) (then unreachable))))
      (global.set $calls (i32.const 1)) ${giving("{}").body}`,
    more: `${giving("{}").data} (global $sum (mut i32) (i32.const 0))`,
  }, async (foreign) => {
    await foreign.headers();
    await foreign.headers();
  }));

Deno.test("max_concurrency counts calls that wait for a thread", () =>
  withModule({ onRequest: onPath("a", "(loop $l br $l)") }, async (foreign) => {
    const first = foreign.failure("timeout", AA);
    const second = foreign.headers();
    assert.equal(await foreign.failure("concurrency"), "max_concurrency calls are already under way");
    await Promise.all([first, second]);
    await foreign.headers();
  }, { timeout_ms: 300, threads: 1, max_concurrency: 2 }));

const REFUSED: [what: string, make: () => Promise<Uint8Array<ArrayBuffer>>, message: RegExp][] = [
  [
    "lacks exports",
    () =>
      assemble(
        "x",
        '(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 0)))',
      ),
    /the module does not export dealloc \(function\), dispa_on_request \(function\), .*, dispa_get_result_len \(function\)$/,
  ],
  [
    "exports something else under a name",
    () => module({ memory: '(memory 1) (global (export "memory") i32 (i32.const 1))' }),
    /the module does not export memory \(memory\)$/,
  ],
  [
    "imports what is not there",
    () =>
      module({
        memory:
          '(import "wasi_snapshot_preview1" "fd_write" (func (param i32))) (memory (export "memory") 1)',
      }),
    /the module imports wasi_snapshot_preview1\.fd_write, which is not there: a plugin gets nothing but env\.abort$/,
  ],
  [
    "imports its memory",
    () => module({ memory: '(import "env" "memory" (memory 1))' }),
    /no memory of its own/,
  ],
  ["is no module", () => Promise.resolve(new TextEncoder().encode("#!/bin/sh")), /not a WebAssembly module/],
  [
    "is a broken module",
    async () => (await module()).map((byte, index) => index === 20 ? 0xff : byte),
    /cannot use .*test\.wasm: /,
  ],
  [
    "traps at its start",
    () => module({ more: "(func $s unreachable) (start $s)" }),
    /the module's start function failed: unreachable/,
  ],
  [
    "loops at its start",
    () => module({ more: "(func $s (loop $l br $l)) (start $s)" }),
    /the module's start function failed: the plugin did not end in 300 ms/,
  ],
];

for (const [what, make, message] of REFUSED) {
  Deno.test(`a module that ${what} is refused with the configuration`, () =>
    withFolder(async (folder) => {
      const module_path = join(folder, "test.wasm");
      await Deno.writeFile(module_path, await make());
      await assert.rejects(Foreign.open(wasm, wasmSettings, { module_path, timeout_ms: 300 }), message);
    }));
}

Deno.test("a module that is not there is refused with the configuration", async () => {
  await assert.rejects(
    Foreign.open(wasm, wasmSettings, { module_path: "/nowhere/x.wasm" }),
    /nowhere\/x\.wasm/,
  );
});

Deno.test("a module may import AssemblyScript's abort, which fails the call", () =>
  withModule({
    memory: '(import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 2)',
    onRequest: "(call $abort (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 3)) (i32.const 0)",
  }, async (foreign) => {
    assert.match(await foreign.failure("panic"), /abort at line 12, column 3/);
  }));

Deno.test("explain says what would be called and calls nothing", () =>
  withModule({ onRequest: "unreachable" }, (foreign) => {
    assert.match(
      String(foreign.plugin.explain?.(requestMessage(), null)),
      /^would call dispa_on_request of .*test\.wasm$/,
    );
    return Promise.resolve();
  }));
