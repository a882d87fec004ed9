/** Paths that settings name, each with all that lies below it. */
import { encodePath, matchingPath } from "../http/path.ts";

export class PathPrefixes {
  readonly #prefixes: ReadonlySet<string>;
  /** Slashes in the longest prefix: no further part of a path need be looked at. */
  readonly #depth: number;
  readonly #all: boolean;

  /** @param prefixes in the matching form of `http/path.ts`, without a slash at the end but `/` itself */
  constructor(prefixes: readonly string[]) {
    this.#prefixes = new Set(prefixes);
    this.#depth = prefixes.reduce((depth, prefix) => Math.max(depth, prefix.split("/").length - 1), 0);
    this.#all = this.#prefixes.has("/");
  }

  /** Takes time that grows with the depth of the deepest prefix, not with their number. @param path in its matching form */
  match(path: string): boolean {
    if (this.#all) return true;
    if (this.#matchesWhole(path)) return true;
    return path.includes(";") && this.#matchesWhole(withoutParameters(path));
  }

  #matchesWhole(path: string): boolean {
    let end = 0;
    for (let depth = 0; depth < this.#depth && end !== -1; depth++) {
      end = path.indexOf("/", end + 1);
      if (this.#prefixes.has(end === -1 ? path : path.slice(0, end))) return true;
    }
    return false;
  }
}

/**
 * Servlet containers drop `;…` from every segment, and read `/x/..;/admin` as `/admin`: the stricter reading
 * slips by no rule.
 */
function withoutParameters(path: string): string {
  return matchingPath(encodePath(path.replace(/;[^/]*/g, ""))) ?? path;
}
