/** Hosts in settings of plugins. */
import { parseHostname } from "./address.ts";
import { parseDomainPattern } from "./domain_pattern.ts";
import type { Parsed } from "./fields.ts";

/** `example.com`, `*.example.com` or an IP address, in the form of `RequestMessage.host`. */
export function parseHostPattern(text: string): Parsed<string> {
  const wanted = 'a host such as "example.com", "*.example.com" (any subdomain) or "[::1]", without a port';
  const parsed = parseDomainPattern(text);
  if (!parsed.ok || parsed.value === "*" || parsed.value.endsWith(".*")) return { ok: false, wanted };
  return parsed;
}

/** What stands in a Host field: a name or IP address, a port where one is given. */
export function parseHostField(text: string): Parsed<string> {
  const wanted = 'a host with or without a port, such as "app.internal", "app.internal:8443" or "[::1]:80"';
  const parts = /^(\[[^\]]*\]|[^:[\]]+)(?::([0-9]{1,5}))?$/.exec(text);
  if (parts === null || Number(parts[2] ?? 0) > 65_535) return { ok: false, wanted };
  const hostname = parseHostname(parts[1]);
  if (!hostname.ok) return { ok: false, wanted };
  const host = hostname.value.includes(":") ? `[${hostname.value}]` : hostname.value;
  return { ok: true, value: parts[2] === undefined ? host : `${host}:${Number(parts[2])}` };
}
