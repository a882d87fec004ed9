/** The effective configuration as a TOML file. */
import { stringify } from "smol-toml";
import type { Config } from "./model.ts";
import { redactConfig } from "./redact.ts";
import { configToFile } from "./schema.ts";
import { escapeVariables, isTable } from "./tree.ts";

/**
 * @returns every key with its value, defaults included, in the file's names and units, secrets masked. It
 *   loads back to the same configuration, but for the masked secrets; a masked key or secret of `security` is
 *   refused until it is put in again
 */
export function printConfig(config: Config): string {
  return stringify(escaped(configToFile(redactConfig(config))));
}

function escaped(value: unknown): unknown {
  if (typeof value === "string") return escapeVariables(value);
  if (Array.isArray(value)) return value.map(escaped);
  if (!isTable(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, escaped(entry)]));
}
