/** The flags that name and override the configuration, shared by the commands that read it. */
import type { LoadOptions } from "../config/load.ts";
import type { FlagTable } from "./flags.ts";

export const DEFAULT_CONFIG_PATH = "config/config.toml";

export const CONFIG_FLAGS = {
  config: { type: "string", short: "c" },
  bind: { type: "string", short: "b" },
  workers: { type: "string", short: "w" },
} as const satisfies FlagTable;

export interface ConfigFlagValues {
  config?: string;
  bind?: string;
  workers?: string;
}

/** The file and how to load it: flag beats environment beats file (DESIGN 3). */
export function configSource(values: ConfigFlagValues, strict: boolean): { path: string; load: LoadOptions } {
  const environment = Deno.env;
  const path = values.config ?? environment.get("DISPA_CONFIG") ?? environment.get("DISPA_CONFIG_FILE") ??
    DEFAULT_CONFIG_PATH;
  return { path, load: { overrides: { bind: values.bind, workers: values.workers }, environment, strict } };
}
