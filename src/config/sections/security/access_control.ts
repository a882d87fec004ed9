/** `[security.access_control]`: who may come in, and whose word on that is believed. */
import type * as z from "zod";
import { closedTable, field, flag, list, parsedText } from "../../fields.ts";
import { parseIpRange } from "../../ip_range.ts";
import type { AccessControlConfig } from "../../model.ts";

const MAX_RANGES = 100_000;

/** Exported for the cross-checks, which compare entries of lists that are not all right. */
const ipRangeSchema = parsedText(
  'an address or a range in quotes, such as "10.0.0.0/8"',
  parseIpRange,
);

function ranges() {
  return list(ipRangeSchema, MAX_RANGES, "addresses and ranges");
}

export const accessControlSchema = closedTable({
  enabled: field(
    flag().prefault(true),
    "Whether this table is in force. With false nobody is refused by address, and no X-Forwarded-For is believed.",
  ),
  allowed_ips: field(
    ranges().optional(),
    'Clients that may come in, all others get 403: addresses ("192.0.2.7", "2001:db8::1"), CIDR ranges ' +
      '("10.0.0.0/8", "2001:db8::/32") or patterns ("192.168.1.*"). IPv4-mapped addresses count as IPv4; IPv6 ranges ' +
      "hold no IPv4 clients. An empty list lets everybody in.",
    { defaultNote: "everybody" },
  ),
  denied_ips: field(
    ranges().prefault([]),
    "Clients that get 403, in the forms of allowed_ips. Wins over allowed_ips.",
  ),
  trust_proxy_headers: field(
    flag().prefault(false),
    "Whether X-Forwarded-For, -Proto and -Host that a trusted proxy sends are believed and passed on. The client is " +
      "then the first address from the right of X-Forwarded-For that is no trusted proxy's; lists, limits, sticky " +
      "sessions and the record all go by it. With true behind no proxy, clients whose own addresses are trusted can " +
      "claim any address.",
  ),
  trusted_proxies: field(
    ranges().optional(),
    "Proxies whose X-Forwarded-* fields are believed, in the forms of allowed_ips. Name every proxy of the chain.",
    { defaultNote: "loopback, private and link-local addresses" },
  ),
});

export function accessControlFromFile(file: z.output<typeof accessControlSchema>): AccessControlConfig {
  return {
    enabled: file.enabled,
    allowedIps: file.allowed_ips ?? [],
    deniedIps: file.denied_ips,
    trustProxyHeaders: file.trust_proxy_headers,
    trustedProxies: file.trusted_proxies ?? null,
  };
}

export function accessControlToFile(access: AccessControlConfig): z.input<typeof accessControlSchema> {
  return {
    enabled: access.enabled,
    // Without the key it means the same, without the warning about an empty list.
    allowed_ips: access.allowedIps.length === 0 ? undefined : access.allowedIps,
    denied_ips: access.deniedIps,
    trust_proxy_headers: access.trustProxyHeaders,
    trusted_proxies: access.trustedProxies ?? undefined,
  };
}
