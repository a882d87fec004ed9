/** `type = "headerinjector"`: sets header fields, with fresh ids where they ask for them. */
import type { HeaderSetting } from "../config/header_fields.ts";
import type { HeaderInjectorSettings } from "../config/plugins/header_injector.ts";
import { type FlatHeaders, setField } from "../http/flat_headers.ts";
import type { RequestMessage } from "../http/message.ts";
import { type HeaderValue, headerValue } from "./header_value.ts";
import type { Plugin, PluginType } from "./plugin.ts";

export const headerInjector: PluginType<HeaderInjectorSettings> = {
  create({ request_headers, response_headers }): Plugin {
    const toUpstream = fields(request_headers);
    const toClient = fields(response_headers);
    const plugin: Plugin = {};
    if (toUpstream.length > 0) plugin.onRequest = (request) => inject(request.headers, toUpstream, request);
    if (toClient.length > 0) {
      plugin.onResponse = (request, response) => inject(response.headers, toClient, request);
    }
    return plugin;
  },
};

interface Injected {
  name: string;
  value: HeaderValue;
}

function fields(settings: readonly HeaderSetting[]): Injected[] {
  return settings.map(({ name, value }) => ({ name, value: headerValue(name, value) }));
}

function inject(headers: FlatHeaders, fields: readonly Injected[], request: RequestMessage): null {
  for (const { name, value } of fields) setField(headers, name, value(request));
  return null;
}
