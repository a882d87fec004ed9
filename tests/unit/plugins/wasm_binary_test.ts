import assert from "node:assert/strict";
import fc from "fast-check";
import { limitMemory } from "../../../src/plugins/wasm_binary.ts";
import { module } from "./wasm_support.ts";

const PAGE = 65_536;

/** Pages the memory of a limited module can have in the end. */
async function pagesOf(memory: string, maxBytes: number): Promise<number> {
  const { instance } = await WebAssembly.instantiate(limitMemory(await module({ memory }), maxBytes));
  const { memory: exported } = instance.exports as { memory: WebAssembly.Memory };
  for (;;) {
    try {
      exported.grow(1);
    } catch (fault) {
      assert.ok(fault instanceof RangeError);
      return exported.buffer.byteLength / PAGE;
    }
  }
}

Deno.test("a memory without a maximum gets the limit", async () => {
  assert.equal(await pagesOf('(memory (export "memory") 1)', 10 * PAGE), 10);
  assert.equal(await pagesOf('(memory (export "memory") 1)', 11 * PAGE - 1), 10);
  assert.equal(await pagesOf('(memory (export "memory") 1)', 200 * PAGE), 200);
});

Deno.test("the lower of the limit and the module's own maximum holds", async () => {
  assert.equal(await pagesOf('(memory (export "memory") 1 500)', 130 * PAGE), 130);
  assert.equal(await pagesOf('(memory (export "memory") 1 3)', 130 * PAGE), 3);
  assert.equal(await pagesOf('(memory (export "memory") 200 300)', 200 * PAGE), 200);
});

Deno.test("a module that wants more from the start is refused", async () => {
  const binary = await module({ memory: '(memory (export "memory") 11)' });
  assert.throws(() => limitMemory(binary, 10 * PAGE), {
    message: "the module wants 720896 bytes of memory from the start, memory_max_bytes allows 655360",
  });
});

Deno.test("a module with another kind of memory, or none, is refused", () => {
  const preamble = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const refused: [bytes: number[], message: RegExp][] = [
    [[], /^not a WebAssembly module: found another beginning/],
    [[...new TextEncoder().encode("(module)")], /^not a WebAssembly module: found another beginning/],
    [preamble, /^the module has no memory of its own/],
    [[...preamble, 5, 4, 1, 3, 1, 2], /memory is shared or has 64-bit addresses/],
    [[...preamble, 5, 3, 1, 4, 1], /memory is shared or has 64-bit addresses/],
    [[...preamble, 5, 5, 2, 0, 1, 0, 1], /^the module has 2 memories, wanted one/],
    [[...preamble, 1, 200, 1], /it ends inside a section/],
    [[...preamble, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], /found a number that does not end/],
    [[...preamble, 5, 2, 1, 0], /found a number that does not end/],
  ];
  for (const [bytes, message] of refused) {
    assert.throws(() => limitMemory(new Uint8Array(bytes), PAGE), { message }, String(bytes));
  }
});

Deno.test("whatever the bytes are, limitMemory refuses them or gives bytes back", async () => {
  const binary = await module();
  const broken = fc.tuple(fc.nat(binary.length - 1), fc.nat(255), fc.nat(binary.length));
  fc.assert(fc.property(broken, ([at, byte, length]) => {
    const bytes = binary.slice(0, length);
    if (at < bytes.length) bytes[at] = byte;
    try {
      assert.ok(limitMemory(bytes, PAGE * 10) instanceof Uint8Array);
    } catch (fault) {
      assert.match(String(fault), /^Error: (not a WebAssembly module|the module)/);
    }
  }));
});
