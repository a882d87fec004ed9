/** Settings of `type = "command"`. */
import * as z from "zod";
import { byteCount, choice, closedTable, field, list, parsedText, wholeNumber } from "../fields.ts";
import { parseFilePath } from "../text_values.ts";
import { parseProgramPath } from "./program_path.ts";

const programPath = () => parsedText("a path in quotes", parseProgramPath);
const textWanted = "text without NUL characters, in quotes";
const text = () =>
  z.string({ error: textWanted }).max(65_536, { error: "at most 65536 characters" })
    .refine((value) => !value.includes("\0"), { error: textWanted });

export const commandSettings = closedTable({
  exec: field(
    programPath(),
    "Path of the program, with at least one slash; it is not searched for in PATH. A relative path begins at the " +
      "folder Dispa was started in. The program runs with the rights of Dispa.",
    { example: "/usr/local/bin/check" },
  ),
  args: field(list(text(), 256, "arguments").prefault([]), "Arguments of the program; no shell reads them.", {
    example: ["--strict"],
  }),
  mode: field(
    choice("once", "persistent").prefault("once"),
    "once starts the program for each request: simple, but it costs milliseconds and is for few requests a second. " +
      "persistent keeps it running and exchanges one line of JSON for each request.",
  ),
  timeout_ms: field(
    wholeNumber(1, 60_000).prefault(100),
    "Milliseconds that one call may take, start and end of the program included (with mode = once). After that the " +
      "program and all it has started are killed, and the call counts as failed.",
  ),
  max_concurrency: field(
    wholeNumber(1, 1024).prefault(64),
    "Calls that may run at once in the whole process. What comes on top fails at once, with the kind concurrency.",
  ),
  exec_allowlist: field(
    list(programPath(), 256, "programs").optional(),
    "If given, exec must be one of these programs, symbolic links resolved on both sides; else the configuration is " +
      "refused.",
    { defaultNote: "any program", example: ["/usr/local/bin/check"] },
  ),
  cwd: field(
    parsedText("a path in quotes", parseFilePath).optional(),
    "Working folder of the program.",
    { defaultNote: "the folder Dispa was started in", example: "/var/lib/check" },
  ),
  env: field(
    z.record(
      z.string().regex(/^[^=\0]{1,1024}$/, { error: "names of variables: without = and NUL" }),
      text(),
      { error: "a table of environment variables" },
    ).prefault({}),
    "The environment of the program: these variables and nothing else. Dispa's own environment, PATH included, " +
      "is not passed on.",
    { example: { MODE: "strict" } },
  ),
  max_output_bytes: field(
    byteCount(64, 67_108_864).prefault(1_048_576),
    "Longest answer of the program. One that writes more is killed, and the call fails with the kind too_large.",
  ),
  processes: field(
    wholeNumber(1, 64).prefault(1),
    "Only with mode = persistent: how many of the program each proxy thread keeps running. Each serves one request " +
      "at a time.",
  ),
  start_timeout_ms: field(
    wholeNumber(1, 600_000).prefault(5000),
    "Only with mode = persistent: milliseconds that a program may take to its first answer before it is killed and " +
      "started again. Calls that meet it meanwhile still fail after timeout_ms.",
  ),
});

export type CommandSettings = z.output<typeof commandSettings>;
