/** Every type of plugin. A new one has its line here and one in `config/plugins/mod.ts`. */
import type { PluginSettings, PluginTypeName } from "../config/plugins/mod.ts";
import { blocklist } from "./blocklist.ts";
import { command } from "./command.ts";
import { headerInjector } from "./header_injector.ts";
import { headerOverride } from "./header_override.ts";
import { hostRewrite } from "./host_rewrite.ts";
import { pathRewrite } from "./path_rewrite.ts";
import type { PluginType } from "./plugin.ts";
import { rateLimiter } from "./rate_limiter.ts";
import { script } from "./script.ts";
import { wasm } from "./wasm.ts";

/** The compiler sees to it that each type takes what the schema of its settings makes. */
const PLUGIN_TYPES: { readonly [Type in PluginTypeName]: PluginType<PluginSettings[Type]> } = {
  headerinjector: headerInjector,
  headeroverride: headerOverride,
  blocklist,
  pathrewrite: pathRewrite,
  hostrewrite: hostRewrite,
  ratelimiter: rateLimiter,
  command,
  wasm,
  script,
};

/**
 * The type of a checked plugin configuration; it takes that configuration's `settings`.
 * @throws TypeError for a name that the check of the configuration refuses
 */
export function pluginType(name: string): PluginType<unknown> {
  const types: Readonly<Record<string, PluginType<never>>> = PLUGIN_TYPES;
  if (!Object.hasOwn(types, name)) throw new TypeError(`there is no type of plugin called "${name}"`);
  return types[name] as PluginType<unknown>;
}
