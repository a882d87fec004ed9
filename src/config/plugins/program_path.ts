/** Paths of programs. */
import type { Parsed } from "../fields.ts";
import { parseFilePath } from "../text_values.ts";

/** A file path that says where the program is: the PATH of an administrator's shell must not decide what runs. */
export function parseProgramPath(text: string): Parsed<string> {
  const wanted =
    'the path of a program with at least one slash, such as /usr/local/bin/check, without ".." parts';
  if (!text.includes("/")) return { ok: false, wanted };
  return parseFilePath(text).ok ? { ok: true, value: text } : { ok: false, wanted };
}
