/** Paths that need no authentication. Where readings of a path may differ, it is not exempt. */
import { isUnder, splitTarget } from "../http/path.ts";

/**
 * A part that climbs, however it is spelt: an upstream that does not resolve it may read `/admin/../public` as
 * something below `/admin`, and servlet containers, which drop `;…` from every segment, resolve `/public/..;/admin`.
 */
const CLIMBS = /(?:[/\\]|%2f|%5c)(?:\.|%2e){2}(?:[/\\;]|%2f|%5c|%3b|$)/i;
/** Encoded twice: who decodes twice reads another path. */
const ENCODED_AGAIN = /%[0-9a-f]{2}/i;

export class ExemptPaths {
  readonly #prefixes: readonly string[];

  /** @param prefixes in the matching form of `http/path.ts` */
  constructor(prefixes: readonly string[]) {
    this.#prefixes = prefixes;
  }

  match(request: { readonly target: string; readonly path: string }): boolean {
    if (this.#prefixes.length === 0) return false;
    const { path } = request;
    if (!this.#prefixes.some((prefix) => isUnder(path, prefix))) return false;
    return !ENCODED_AGAIN.test(path) && !CLIMBS.test(splitTarget(request.target).path);
  }
}
