/** `type = "pathrewrite"`: puts another prefix in the place of a path's first segments. */
import type { PathRewriteSettings } from "../config/plugins/path_rewrite.ts";
import { isUnder } from "../http/path.ts";
import type { Plugin, PluginType } from "./plugin.ts";

export const pathRewrite: PluginType<PathRewriteSettings> = {
  create({ from_prefix, to_prefix }): Plugin {
    // "/" ends with the slash that the rest begins with.
    const from = from_prefix === "/" ? "" : from_prefix;
    const to = to_prefix === "/" ? "" : to_prefix;
    return {
      onRequest(request) {
        const { path } = request;
        if (isUnder(path, from_prefix)) request.path = to + path.slice(from.length) || "/";
        return null;
      },
    };
  },
};
