/** One instance of a module, and how text goes in and out of its memory. */
import { PluginError, type Stage } from "./plugin.ts";

/** What a module has to export, all of it. */
export const WASM_EXPORTS = {
  memory: "memory",
  alloc: "function",
  dealloc: "function",
  dispa_on_request: "function",
  dispa_on_response: "function",
  dispa_get_result_len: "function",
} as const;

type WasmFunction = (...args: number[]) => unknown;
type WasmExports = { [Name in Exclude<keyof typeof WASM_EXPORTS, "memory">]: WasmFunction } & {
  memory: WebAssembly.Memory;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class WasmInstance {
  readonly #exports: WasmExports;
  readonly #maxOutputBytes: number;

  /** Runs the module's start function. @throws what that throws */
  constructor(module: WebAssembly.Module, maxOutputBytes: number) {
    this.#exports = new WebAssembly.Instance(module, IMPORTS).exports as WasmExports;
    this.#maxOutputBytes = maxOutputBytes;
  }

  /**
   * Hands the input to the module's function of the stage. After a throw the instance is in an unknown state and
   * must not be used again.
   * @throws PluginError for a result that cannot be read; what the module throws
   */
  call(stage: Stage, input: string): string {
    const { alloc, dealloc, dispa_on_request, dispa_on_response, dispa_get_result_len } = this.#exports;
    const bytes = encoder.encode(input);
    const inputAt = address(alloc(bytes.length));
    if (inputAt === 0) {
      throw new PluginError(
        "too_large",
        `alloc(${bytes.length}) gave no memory, its memory has ${this.memoryBytes} bytes`,
      );
    }
    this.#view("alloc", inputAt, bytes.length).set(bytes);
    const handle = stage === "request" ? dispa_on_request : dispa_on_response;
    const resultAt = address(handle(inputAt, bytes.length));
    const resultLength = address(dispa_get_result_len());
    dealloc(inputAt, bytes.length);
    if (resultLength === 0) return "";
    if (resultLength > this.#maxOutputBytes) {
      throw new PluginError(
        "too_large",
        `the result has ${resultLength} bytes, max_output_bytes is ${this.#maxOutputBytes}`,
      );
    }
    const output = text(this.#view(`dispa_on_${stage}`, resultAt, resultLength));
    dealloc(resultAt, resultLength);
    return output;
  }

  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  #view(name: string, at: number, length: number): Uint8Array {
    const { buffer } = this.#exports.memory;
    if (at + length > buffer.byteLength) {
      throw new PluginError(
        "bad_output",
        `${name} gave the address ${at} for ${length} bytes, the memory ends at ${buffer.byteLength}`,
      );
    }
    return new Uint8Array(buffer, at, length);
  }
}

/** An i32 as what it means here: an unsigned number. A function without a result counts as 0. */
function address(value: unknown): number {
  return Number(value) >>> 0;
}

function text(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (fault) {
    throw new PluginError("bad_output", "the result is not UTF-8", { cause: fault });
  }
}

/** AssemblyScript's modules ask for it unless told not to. */
export const WASM_IMPORTS: readonly string[] = ["env.abort"];

const IMPORTS = {
  env: {
    abort(_message: number, _file: number, line: number, column: number): never {
      throw new Error(`abort at line ${line}, column ${column}`);
    },
  },
};
