/** Which parts of a configuration share memory between the proxy threads, and how much. */
import type { Config } from "../config/model.ts";
import { sharedPluginBytes } from "../plugins/mod.ts";
import { pluginKey, RATE_LIMIT_KEY, RETRY_BUDGET_KEY } from "../proxy/snapshot.ts";
import { RetryBudget } from "../retry/budget.ts";
import { rateLimitBytes } from "../security/rate_limit.ts";
import type { SharedNeed } from "./shared_blocks.ts";

export function sharedNeeds(config: Config): SharedNeed[] {
  const settings = new Map(config.plugins.plugins.map((plugin) => [plugin.name, plugin.settings]));
  return [
    // Its buckets stay as full as they are when the rate changes.
    { key: RATE_LIMIT_KEY, bytes: rateLimitBytes(config.security), settings: null },
    { key: RETRY_BUDGET_KEY, bytes: config.retry.enabled ? RetryBudget.BYTES : 0, settings: null },
    ...[...sharedPluginBytes(config.plugins)].map(([name, bytes]) => ({
      key: pluginKey(name),
      bytes,
      settings: settings.get(name),
    })),
  ];
}
