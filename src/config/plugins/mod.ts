/** The settings of every type of plugin. A new type has its line here and one in `plugins/registry.ts`. */
import type * as z from "zod";
import { blocklistSettings } from "./blocklist.ts";
import { commandSettings } from "./command.ts";
import { headerInjectorSettings } from "./header_injector.ts";
import { headerOverrideSettings } from "./header_override.ts";
import { hostRewriteSettings } from "./host_rewrite.ts";
import { pathRewriteSettings } from "./path_rewrite.ts";
import { rateLimiterSettings } from "./rate_limiter.ts";
import { scriptSettings } from "./script.ts";
import { wasmSettings } from "./wasm.ts";

/** What `config` of a plugin may hold, by its `type`. */
export const PLUGIN_SETTINGS = {
  headerinjector: headerInjectorSettings,
  headeroverride: headerOverrideSettings,
  blocklist: blocklistSettings,
  pathrewrite: pathRewriteSettings,
  hostrewrite: hostRewriteSettings,
  ratelimiter: rateLimiterSettings,
  command: commandSettings,
  wasm: wasmSettings,
  script: scriptSettings,
} as const satisfies Readonly<Record<string, z.ZodType>>;

export type PluginTypeName = keyof typeof PLUGIN_SETTINGS;

/** The checked settings of each type, as its plugins are given them. */
export type PluginSettings = { [Type in PluginTypeName]: z.output<typeof PLUGIN_SETTINGS[Type]> };

/** Types that do nothing with answers: to give them the stage `response` is an error. */
export const REQUEST_ONLY: ReadonlySet<string> = new Set<PluginTypeName>([
  "blocklist",
  "pathrewrite",
  "hostrewrite",
  "ratelimiter",
]);

/** The schema of a type's settings; null for what is no type. */
export function settingsSchema(type: string): z.ZodType | null {
  const schemas: Readonly<Record<string, z.ZodType>> = PLUGIN_SETTINGS;
  return Object.hasOwn(schemas, type) ? schemas[type] : null;
}
