/**
 * Which requests Dispa intercepts, by host name. Patterns: `example.com`, `*.example.com` (any depth of
 * subdomain, never `example.com` itself), `example.*`, `*`. The most specific pattern wins: exact, then the
 * longest `*.` suffix, then the longest `.*` prefix, then `*`. Excludes beat them all.
 */

/** Patterns of one list, looked up in time that grows with the labels of the host, not with the list. */
export class PatternTable {
  readonly #exact = new Set<string>();
  /** `example.com` for `*.example.com`. */
  readonly #suffixes = new Set<string>();
  /** `example` for `example.*`. */
  readonly #prefixes = new Set<string>();
  readonly #matchAll: boolean;

  /** @param patterns checked ones, in lower case and without a trailing dot (see `config/`) */
  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern === "*") continue;
      else if (pattern.startsWith("*.")) this.#suffixes.add(pattern.slice(2));
      else if (pattern.endsWith(".*")) this.#prefixes.add(pattern.slice(0, -2));
      else this.#exact.add(pattern);
    }
    this.#matchAll = patterns.includes("*");
  }

  /** The pattern that matches `host` (lower case, no port, no trailing dot), or null. */
  match(host: string): string | null {
    if (this.#exact.has(host)) return host;
    // An IPv6 literal has no labels; the dots of an IPv4 one are not those of a name.
    if (this.#suffixes.size > 0) {
      for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
        const suffix = host.slice(dot + 1);
        if (dot > 0 && this.#suffixes.has(suffix)) return `*.${suffix}`;
      }
    }
    if (this.#prefixes.size > 0) {
      for (let dot = host.lastIndexOf("."); dot > 0; dot = host.lastIndexOf(".", dot - 1)) {
        const prefix = host.slice(0, dot);
        if (this.#prefixes.has(prefix)) return `${prefix}.*`;
      }
    }
    return this.#matchAll ? "*" : null;
  }
}

export class DomainTable {
  readonly #intercept: PatternTable;
  readonly #exclude: PatternTable;

  constructor(domains: { intercept: readonly string[]; exclude: readonly string[] }) {
    this.#intercept = new PatternTable(domains.intercept);
    this.#exclude = new PatternTable(domains.exclude);
  }

  /** The intercept pattern that takes `host`, or null if none does or an exclude pattern matches too. */
  match(host: string): string | null {
    const pattern = this.#intercept.match(host);
    if (pattern === null || this.#exclude.match(host) !== null) return null;
    return pattern;
  }
}
