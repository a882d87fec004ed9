/** Socket addresses and host names, of listeners and of targets. */
import { isIPv4, isIPv6 } from "node:net";
import type { Parsed } from "./fields.ts";
import type { SocketAddress } from "./model.ts";
import { hasDotSegment } from "./text_values.ts";

const BIND_FORM = 'HOST:PORT, [IPV6]:PORT or :PORT, such as "0.0.0.0:8080"';

/** `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every IPv4 address of the machine. */
export function parseSocketAddress(text: string): Parsed<SocketAddress> {
  const parts = /^(\[[^\]]*\]|[^:[\]]*):([0-9]{1,5})$/.exec(text);
  if (parts === null) {
    return { ok: false, wanted: isIPv6(text) ? `${BIND_FORM}: an IPv6 address needs [ ] here` : BIND_FORM };
  }
  const port = Number(parts[2]);
  if (port > 65_535) return { ok: false, wanted: `${BIND_FORM} with a port from 0 to 65535` };
  if (parts[1] === "") return { ok: true, value: { hostname: "0.0.0.0", port } };
  const hostname = parseHostname(parts[1]);
  return hostname.ok
    ? { ok: true, value: { hostname: hostname.value, port } }
    : { ok: false, wanted: BIND_FORM };
}

export function formatSocketAddress({ hostname, port }: SocketAddress): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** A host name or IP address without a port; IPv6 with or without brackets, without them in the outcome. */
export function parseHostname(text: string): Parsed<string> {
  const wanted = "a host name or IP address without a port";
  const literal = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  // A zone (fe80::1%eth0) names an interface of this machine, which Deno.listen does not understand.
  if (isIPv6(literal) && !literal.includes("%")) return { ok: true, value: literal.toLowerCase() };
  const name = text.toLowerCase();
  if (/^[0-9.]+$/.test(name)) return isIPv4(name) ? { ok: true, value: name } : { ok: false, wanted };
  return isDnsName(name) ? { ok: true, value: name } : { ok: false, wanted };
}

/** RFC 1123 section 2.1, and `_`, which many internal names have; lower case, no trailing dot. */
export function isDnsName(name: string): boolean {
  return name.length <= 253 && name.split(".").every((label) => /^[a-z0-9_-]{1,63}$/.test(label));
}

/** A target's address taken apart. The fields are those of `TargetConfig`. */
export interface TargetAddress {
  url: string;
  protocol: "http" | "https";
  hostname: string;
  port: number;
  basePath: string;
}

const TARGET_FORM = 'an http:// or https:// URL such as "http://10.0.0.1:8080"';

export function parseTargetUrl(text: string): Parsed<TargetAddress> {
  const scheme = /^(https?):\/\//i.exec(text);
  if (scheme === null) return { ok: false, wanted: TARGET_FORM };
  const rest = text.slice(scheme[0].length);
  // The URL parser would mend or drop these silently.
  if (/[\s\\\p{C}]/u.test(rest)) {
    return { ok: false, wanted: `${TARGET_FORM}, without spaces or backslashes` };
  }
  if (/[?#]/.test(rest)) return { ok: false, wanted: `${TARGET_FORM}, without a query or fragment` };
  const [authority] = rest.split("/", 1);
  if (authority.includes("@")) return { ok: false, wanted: `${TARGET_FORM}, without user name and password` };
  if (hasDotSegment(rest.slice(authority.length))) {
    return { ok: false, wanted: `${TARGET_FORM}, without "." or ".." in its path` };
  }
  if (text.length > 2048) return { ok: false, wanted: `${TARGET_FORM}, of at most 2048 characters` };
  if (authority === "" || authority.startsWith(":") || !URL.canParse(text)) {
    return { ok: false, wanted: TARGET_FORM };
  }
  const url = new URL(text);
  const protocol = scheme[1].toLowerCase() === "https" ? "https" : "http";
  const port = url.port === "" ? (protocol === "https" ? 443 : 80) : Number(url.port);
  if (port === 0) return { ok: false, wanted: `${TARGET_FORM} with a port from 1 to 65535` };
  const basePath = url.pathname.replace(/\/+$/, "");
  return {
    ok: true,
    value: {
      url: `${protocol}://${url.host}${basePath}`,
      protocol,
      hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port,
      basePath,
    },
  };
}
