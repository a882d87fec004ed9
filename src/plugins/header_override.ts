/** `type = "headeroverride"`: takes header fields out and sets others, in this order. */
import type { HeaderSetting } from "../config/header_fields.ts";
import type { HeaderOverrideSettings } from "../config/plugins/header_override.ts";
import { type FlatHeaders, removeField, setField } from "../http/flat_headers.ts";
import type { Plugin, PluginType } from "./plugin.ts";

export const headerOverride: PluginType<HeaderOverrideSettings> = {
  create(settings): Plugin {
    const toUpstream = { remove: settings.remove_request_headers, set: settings.request_headers };
    const toClient = { remove: settings.remove_response_headers, set: settings.response_headers };
    const plugin: Plugin = {};
    if (changesAny(toUpstream)) plugin.onRequest = (request) => override(request.headers, toUpstream);
    if (changesAny(toClient)) {
      plugin.onResponse = (_request, response) => override(response.headers, toClient);
    }
    return plugin;
  },
};

interface Changes {
  remove: readonly string[];
  set: readonly HeaderSetting[];
}

function changesAny({ remove, set }: Changes): boolean {
  return remove.length > 0 || set.length > 0;
}

function override(headers: FlatHeaders, { remove, set }: Changes): null {
  for (const name of remove) removeField(headers, name);
  for (const { name, value } of set) setField(headers, name, value);
  return null;
}
