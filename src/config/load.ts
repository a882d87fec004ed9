/** Loading the configuration file. */
import { checkConfig, type CheckOptions } from "./check.ts";
import type { Config } from "./model.ts";
import type { Problem } from "./problem.ts";
import { readConfigText } from "./source_file.ts";

export type LoadOptions = Omit<CheckOptions, "path">;

export type LoadResult =
  | {
    ok: true;
    config: Config;
    warnings: Problem[];
    /** The file as it was read, without a byte order mark. */
    text: string;
    path: string;
  }
  | { ok: false; problems: Problem[]; warnings: Problem[] };

/**
 * Reads and checks a configuration file. Never throws for what may be wrong with the file or its content:
 * `problems` then holds at least one error. `warnings` are there in both cases.
 */
export async function loadConfig(path: string, options: LoadOptions = {}): Promise<LoadResult> {
  const file = await readConfigText(path);
  if (!file.ok) {
    const { line, message } = file;
    const column = line === null ? null : 1;
    return {
      ok: false,
      problems: [{ severity: "error", source: path, line, column, key: "", message }],
      warnings: [],
    };
  }
  const result = await checkConfig(file.text, { ...options, path });
  return result.ok ? { ...result, text: file.text, path } : result;
}
