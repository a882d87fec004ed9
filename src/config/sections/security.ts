/** `[security]`: closed, because a protection that is asked for and not there must end the start. */
import type * as z from "zod";
import { closedTable, field, flag, unavailable } from "../fields.ts";
import type { SecurityConfig } from "../model.ts";

export const securitySchema = closedTable({
  enabled: unavailable("Whether the protections of this section are on."),
  access_control: field(
    closedTable({
      trust_proxy_headers: field(
        flag().prefault(false),
        "Whether X-Forwarded-For, -Proto and -Host of a client are believed and passed on, where the client is a " +
          "loopback or private address. With true behind no proxy, clients can claim any address.",
      ),
      allowed_ips: unavailable("Clients that may connect; all others are refused."),
      denied_ips: unavailable("Clients that are refused."),
      trusted_proxies: unavailable("Proxies whose X-Forwarded-For is believed."),
    }).prefault({}),
    "Who may connect, and whose word is believed.",
  ),
  auth: unavailable("Authentication by API key or bearer token."),
  jwt: unavailable("Authentication by JSON web token."),
  rate_limit: unavailable("Limit of requests per client."),
  ddos: unavailable("Limits of connections, header and body sizes."),
});

export function securityFromFile(file: z.output<typeof securitySchema>): SecurityConfig {
  return { trustProxyHeaders: file.access_control.trust_proxy_headers };
}

export function securityToFile(security: SecurityConfig): z.input<typeof securitySchema> {
  return { access_control: { trust_proxy_headers: security.trustProxyHeaders } };
}
