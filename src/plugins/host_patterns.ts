/** Hosts that settings name: exact ones, and `*.example.com` for every subdomain. */

export class HostPatterns {
  readonly #exact = new Set<string>();
  /** `example.com` for `*.example.com`. */
  readonly #parents = new Set<string>();
  readonly #hasLiterals: boolean;

  /** @param patterns checked ones: lower case, no trailing dot, IPv6 in brackets and in its shortest spelling */
  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern.startsWith("*.")) this.#parents.add(pattern.slice(2));
      else this.#exact.add(pattern);
    }
    this.#hasLiterals = patterns.some((pattern) => pattern.startsWith("["));
  }

  /** Takes time that grows with the labels of the host, not with the patterns. @param host as `RequestMessage.host` */
  match(host: string): boolean {
    if (this.#exact.has(host)) return true;
    if (host.startsWith("[")) return this.#hasLiterals && this.#exact.has(shortestSpelling(host));
    if (this.#parents.size === 0) return false;
    for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
      if (dot > 0 && this.#parents.has(host.slice(dot + 1))) return true;
    }
    return false;
  }
}

/** RFC 5952: a client may write `[0:0:0:0:0:0:0:1]` for `[::1]`. */
function shortestSpelling(host: string): string {
  const url = `http://${host}/`;
  return URL.canParse(url) ? new URL(url).hostname : host;
}
