/** `[plugins]`. What a plugin's own `config` may hold stands in `config/plugins/`, a file for each type. */
import * as z from "zod";
import { choice, field, flag, list, parsedText, table } from "../fields.ts";
import type { PluginsConfig } from "../model.ts";
import { PLUGIN_SETTINGS, type PluginTypeName, settingsSchema } from "../plugins/mod.ts";
import { parseName } from "../text_values.ts";

const types = Object.keys(PLUGIN_SETTINGS) as [PluginTypeName, ...PluginTypeName[]];

export const pluginSchema = table({
  name: field(parsedText("a name in quotes", parseName), "Name of the plugin in logs and metrics; unique."),
  type: field(
    choice(...types),
    "Which plugin it is.",
  ),
  enabled: field(flag().prefault(true), "Whether this plugin runs."),
  stage: field(
    choice("request", "response", "both").prefault("request"),
    "When it runs: on the request, on the response, or on both. Some types do nothing with responses.",
  ),
  scope: field(
    choice("all", "routes").prefault("all"),
    "Which requests it runs on: all of them, or only those of routing rules that name it in plugins_request or " +
      "plugins_response.",
  ),
  error_strategy: field(
    choice("continue", "fail").prefault("continue"),
    "What an error inside the plugin does: continue logs it and goes on as if the plugin had not run, fail answers " +
      "with 500.",
  ),
  config: field(
    z.record(z.string(), z.unknown(), { error: "a table" }).prefault({}),
    "Settings of this plugin; which there are depends on its type.",
    { settingsOf: "type" },
  ),
});

export const pluginsSchema = table({
  enabled: field(flag().prefault(false), "Whether plugins run at all."),
  apply_before_domain_match: field(
    flag().prefault(true),
    "Whether request plugins run before the domain check, so on all hosts, or only for intercepted ones.",
  ),
  plugins: field(list(pluginSchema, 256, "plugins").prefault([]), "The plugins, in the order they run."),
});

export function pluginsFromFile(file: z.output<typeof pluginsSchema>): PluginsConfig {
  return {
    enabled: file.enabled,
    applyBeforeDomainMatch: file.apply_before_domain_match,
    plugins: file.plugins.map((plugin) => ({
      name: plugin.name,
      type: plugin.type,
      enabled: plugin.enabled,
      stage: plugin.stage,
      scope: plugin.scope,
      errorStrategy: plugin.error_strategy,
      config: plugin.config,
      settings: settingsSchema(plugin.type)?.parse(plugin.config) ?? null,
    })),
  };
}

/** Looser than the schema's input: the model leaves a plugin's type open. */
export function pluginsToFile(plugins: PluginsConfig): Record<string, unknown> {
  return {
    enabled: plugins.enabled,
    apply_before_domain_match: plugins.applyBeforeDomainMatch,
    plugins: plugins.plugins.map((plugin) => ({
      name: plugin.name,
      type: plugin.type,
      enabled: plugin.enabled,
      stage: plugin.stage,
      scope: plugin.scope,
      error_strategy: plugin.errorStrategy,
      config: plugin.config,
    })),
  };
}
