/** `type = "blocklist"`: refuses hosts and paths. */
import type { BlocklistSettings } from "../config/plugins/blocklist.ts";
import type { Refusal } from "../http/refusal.ts";
import { HostPatterns } from "./host_patterns.ts";
import { PathPrefixes } from "./path_prefixes.ts";
import type { Plugin, PluginType } from "./plugin.ts";

export const blocklist: PluginType<BlocklistSettings> = {
  create(settings): Plugin {
    const hosts = new HostPatterns(settings.hosts);
    const paths = new PathPrefixes(settings.paths);
    return {
      onRequest(request) {
        if (hosts.match(request.host)) return refusal("host");
        // Of the path as it would be forwarded: what an earlier plugin has rewritten counts.
        return paths.match(request.path) ? refusal("path") : null;
      },
    };
  },
};

function refusal(what: "host" | "path"): Refusal {
  return { code: "forbidden", message: `Forbidden: this ${what} is blocked` };
}
