/** Settings of `type = "script"`. */
import type * as z from "zod";
import { byteCount, closedTable, field, flag, parsedText, wholeNumber } from "../fields.ts";
import { parseFilePath } from "../text_values.ts";
import { callLimit, threadCount } from "./thread_fields.ts";

export const scriptSettings = closedTable({
  module: field(
    parsedText("a path in quotes", parseFilePath),
    "The module: a .js or .mjs file, and where Dispa runs from its sources also .ts. A relative path begins at the " +
      "folder Dispa was started in. It is loaded again with every reload of the configuration.",
    { example: "./plugins/filter.js" },
  ),
  timeout_ms: field(
    wholeNumber(1, 60_000).prefault(100),
    "Milliseconds that one call may take, what it waits for included. After that the call counts as failed, and the " +
      "thread it ran in is ended and replaced.",
  ),
  max_concurrency: field(...callLimit()),
  max_output_bytes: field(
    byteCount(64, 67_108_864).prefault(1_048_576),
    "Longest answer of the script; a longer one fails with the kind too_large.",
  ),
  threads: field(...threadCount()),
  sandbox: field(
    flag().prefault(false),
    "Whether the script runs without permissions: no files but its own, no network, no programs, no environment. " +
      "Without it a script may do all that Dispa may. See docs/PLUGINS.md for what a sandbox does not stop.",
  ),
});

export type ScriptSettings = z.output<typeof scriptSettings>;
