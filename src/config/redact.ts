/** What stands in the place of secrets, and passwords in URLs. */

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
