/** The configuration in use, fit to be shown: to viewers of the admin API, on a terminal, in a bug report. */
import type { Environment } from "./environment.ts";
import type { Config } from "./model.ts";
import { configToFile } from "./schema.ts";
import { maskTree } from "./secret_text.ts";

/** Environment variables whose value may be of public interest are few; those of such names are not. */
const SECRET_VARIABLE = /pass|secret|token|key|credential|auth/i;

/**
 * Every key with its value, defaults included, in the file's names and units, secrets masked.
 * @param text what the configuration was made of: values of secret variables that it names are masked wherever
 *   they have got to
 */
export function effectiveConfig(
  config: Config,
  text: string,
  environment: Environment,
): Record<string, unknown> {
  const names = [...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name]) => name);
  const secrets = names.filter((name) => SECRET_VARIABLE.test(name))
    .map((name) => environment.get(name) ?? "").filter((value) => value !== "");
  return maskTree(configToFile(config), secrets) as Record<string, unknown>;
}
