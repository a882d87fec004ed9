/** The patterns of `intercept_domains` and `exclude_domains`. */
import { isIPv6 } from "node:net";
import { isDnsName } from "./address.ts";
import type { Parsed } from "./fields.ts";

const FORM = 'a domain such as "example.com", "*.example.com", "example.*" or "*"';

/**
 * @returns the pattern in lower case without trailing dot. An IPv6 address comes out as it stands in a Host
 *   field, in brackets and in its shortest spelling (RFC 5952)
 */
export function parseDomainPattern(text: string): Parsed<string> {
  const pattern = text.toLowerCase().replace(/\.$/, "");
  if (pattern === "*") return { ok: true, value: pattern };
  const literal = /^\[(.*)\]$/.exec(pattern)?.[1] ?? pattern;
  if (isIPv6(literal) && !literal.includes("%")) {
    return { ok: true, value: new URL(`http://[${literal}]/`).hostname };
  }
  if (pattern.includes("://")) return { ok: false, wanted: `${FORM}, without a scheme` };
  if (pattern.includes(":")) return { ok: false, wanted: `${FORM}, without a port` };
  // deno-lint-ignore no-control-regex -- all of ASCII is meant
  if (/[^\x00-\x7f]/.test(pattern)) {
    return { ok: false, wanted: `${FORM}, a name beyond ASCII in its punycode form (xn--…)` };
  }
  const name = pattern.startsWith("*.")
    ? pattern.slice(2)
    : pattern.endsWith(".*")
    ? pattern.slice(0, -2)
    : pattern;
  if (name.includes("*")) {
    return { ok: false, wanted: `${FORM}: * stands only for the first or the last part` };
  }
  return isDnsName(name) ? { ok: true, value: pattern } : { ok: false, wanted: FORM };
}
