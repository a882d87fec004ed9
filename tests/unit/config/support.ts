/** What the configuration's tests share. */
import assert from "node:assert/strict";
import { checkConfig, type CheckOptions, type Config, formatProblem } from "../../../src/config/mod.ts";

/** The least a configuration needs; stands after what a test is about, so that lines count from there. */
export const ONE_TARGET = '[[targets.targets]]\nname = "t"\nurl = "http://127.0.0.1:3000"\n';

export interface Outcome {
  config: Config | null;
  errors: string[];
  warnings: string[];
}

/** Checks a text under the name `x.toml`, with no environment but `variables`. */
export async function check(
  text: string,
  variables: Record<string, string> = {},
  options: Partial<CheckOptions> = {},
): Promise<Outcome> {
  const environment = new Map(Object.entries(variables));
  const result = await checkConfig(text, { path: "x.toml", environment, ...options });
  const warnings = result.warnings.map(formatProblem);
  return result.ok
    ? { config: result.config, errors: [], warnings }
    : { config: null, errors: result.problems.map(formatProblem), warnings };
}

/** The configuration of a text that must have neither errors nor warnings. */
export async function accepted(text: string, variables: Record<string, string> = {}): Promise<Config> {
  const { config, errors, warnings } = await check(text, variables);
  assert.deepEqual({ errors, warnings }, { errors: [], warnings: [] });
  assert.ok(config);
  return config;
}

/** Runs `body` with a folder of its own that is gone afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-config-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
