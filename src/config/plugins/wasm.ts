/** Settings of `type = "wasm"`. */
import type * as z from "zod";
import { byteCount, closedTable, field, parsedText, wholeNumber } from "../fields.ts";
import { parseFilePath } from "../text_values.ts";
import { callLimit, threadCount } from "./thread_fields.ts";

export const wasmSettings = closedTable({
  module_path: field(
    parsedText("a path in quotes", parseFilePath),
    "The WebAssembly module (a .wasm file). A relative path begins at the folder Dispa was started in. It is read " +
      "again with every reload of the configuration.",
    { example: "./plugins/filter.wasm" },
  ),
  timeout_ms: field(
    wholeNumber(1, 60_000).prefault(100),
    "Milliseconds that one call of the module may run. After that it is stopped, and the call counts as failed; the " +
      "next one gets a fresh instance of the module.",
  ),
  max_concurrency: field(...callLimit()),
  memory_max_bytes: field(
    byteCount(65_536, 4_294_967_296).prefault(67_108_864),
    "Largest memory of one instance, rounded down to whole pages of 64 KiB; growing it further fails inside the " +
      "module. A module that asks for more from the start is refused.",
  ),
  max_output_bytes: field(
    byteCount(64, 67_108_864).prefault(1_048_576),
    "Longest answer of the module; a longer one fails with the kind too_large.",
  ),
  threads: field(...threadCount()),
});

export type WasmSettings = z.output<typeof wasmSettings>;
