/** Modules for tests. */
import { assemble } from "../../../examples/plugins/wasm/build.ts";

export interface ModuleParts {
  memory: string;
  alloc: string;
  dealloc: string;
  onRequest: string;
  onResponse: string;
  resultLen: string;
  /** Whatever else stands in the module. */
  more: string;
}

/** A module that changes nothing, but for the given parts: bodies of functions, in the text format. */
export function module(parts: Partial<ModuleParts> = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { memory, alloc, dealloc, onRequest, onResponse, resultLen, more }: ModuleParts = {
    memory: '(memory (export "memory") 2)',
    alloc: "(i32.const 1024)",
    dealloc: "",
    onRequest: "(i32.const 0)",
    onResponse: "(i32.const 0)",
    resultLen: "(global.get $len)",
    more: "",
    ...parts,
  };
  return assemble(
    "test.wat",
    `(module
      ${memory}
      (global $len (mut i32) (i32.const 0))
      (global $calls (mut i32) (i32.const 0))
      (func (export "alloc") (param i32) (result i32) ${alloc})
      (func (export "dealloc") (param i32 i32) ${dealloc})
      (func (export "dispa_on_request") (param $at i32) (param $size i32) (result i32) ${onRequest})
      (func (export "dispa_on_response") (param $at i32) (param $size i32) (result i32) ${onResponse})
      (func (export "dispa_get_result_len") (result i32) ${resultLen})
      ${more})`,
  );
}

/** The body of a function whose result is this text, which `data` puts into the memory. */
export function giving(text: string): { body: string; data: string } {
  const bytes = new TextEncoder().encode(text);
  const escaped = [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  return {
    body: `(global.set $len (i32.const ${bytes.length})) (i32.const 16)`,
    data: `(data (i32.const 16) "${escaped}")`,
  };
}

/** Runs `then` if the input holds `letter` twice in a row, else gives nothing back. */
export function onPath(letter: string, then: string): string {
  return `(local $i i32) (global.set $len (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (i32.sub (local.get $size) (i32.const 1))))
      (if (i32.and
            (i32.eq (i32.load8_u (i32.add (local.get $at) (local.get $i))) (i32.const ${
    letter.charCodeAt(0)
  }))
            (i32.eq (i32.load8_u offset=1 (i32.add (local.get $at) (local.get $i))) (i32.const ${
    letter.charCodeAt(0)
  })))
        (then ${then}))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.const 0)`;
}
