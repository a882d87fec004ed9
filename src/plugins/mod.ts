/** The public face of `plugins`. */
export { Chain, type PluginOutcome } from "./chain.ts";
export type { Stage } from "./plugin.ts";
export { buildPlugins, type PluginDeps, PluginSet, sharedPluginBytes } from "./plugin_set.ts";
export type { MessageChange, PluginReport, PluginTrace } from "./trace.ts";
