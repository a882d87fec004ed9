/** `type = "hostrewrite"`: sends another Host to the upstream. */
import type { HostRewriteSettings } from "../config/plugins/host_rewrite.ts";
import { setField } from "../http/flat_headers.ts";
import { HostPatterns } from "./host_patterns.ts";
import type { Plugin, PluginType } from "./plugin.ts";

export const hostRewrite: PluginType<HostRewriteSettings> = {
  create({ host, from }): Plugin {
    const patterns = from === undefined ? null : new HostPatterns([from]);
    return {
      onRequest(request) {
        if (patterns === null || patterns.match(request.host)) setField(request.headers, "host", host);
        return null;
      },
    };
  },
};
