/** Secrets of the configuration are masked here, and nowhere else. */
import type { Config } from "./model.ts";

/** Stands where a secret stood. */
export const MASK = "********";

/**
 * The URL without the password of its authority part and without passwords in its query. Also for text that
 * is not a proper URL: everything up to the last `@` counts as password, so that one holding `/`, `#` or `@`
 * unescaped is not shown either.
 */
export function redactUrl(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/]*):.*@/is, `$1:${MASK}@`)
    .replace(/([?&](?:ssl|pg)?password=)[^&]*/gi, `$1${MASK}`);
}

/** @returns a copy in which every secret is masked, fit to be shown or printed */
export function redactConfig(config: Config): Config {
  const copy = structuredClone(config);
  copy.logging.database.url = redactUrl(copy.logging.database.url);
  const { rateLimit, auth, jwt } = copy.security;
  if (auth !== null) auth.keys = auth.keys.map(() => MASK);
  if (jwt !== null && jwt.secret !== null) jwt.secret = MASK;
  if (rateLimit !== null && rateLimit.store !== null) rateLimit.store = redactUrl(rateLimit.store);
  return copy;
}
