/** The effective configuration as a TOML file. */
import { stringify } from "smol-toml";
import { effectiveConfig } from "./effective.ts";
import type { Environment } from "./environment.ts";
import type { Config } from "./model.ts";
import { escapeVariables, isTable } from "./tree.ts";

/**
 * @param text what the configuration was made of, for secrets from the environment
 * @returns every key with its value, defaults included, in the file's names and units, secrets masked. It
 *   loads back to the same configuration, but for the masked secrets; a masked key or secret of `security` is
 *   refused until it is put in again
 */
export function printConfig(config: Config, text = "", environment: Environment = Deno.env): string {
  return stringify(escaped(effectiveConfig(config, text, environment)));
}

function escaped(value: unknown): unknown {
  if (typeof value === "string") return escapeVariables(value);
  if (Array.isArray(value)) return value.map(escaped);
  if (!isTable(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, escaped(entry)]));
}
