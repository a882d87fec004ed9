/** What `logging.database.url` may say. */

import { TrafficOpenError } from "./sink.ts";

export type DatabaseLocation =
  | { kind: "sqlite"; path: string }
  | { kind: "sqlite-memory" }
  | { kind: "postgres"; url: string };

/**
 * Reads `sqlite://./data/x.db`, `sqlite:///abs/x.db`, `sqlite:data/x.db` (all with an optional `?…`, which is
 * ignored), `sqlite::memory:` and `postgres[ql]://…`. Throws `TrafficOpenError` for anything else.
 */
export function parseDatabaseUrl(url: string): DatabaseLocation {
  if (/^postgres(ql)?:\/\//i.test(url)) return { kind: "postgres", url };
  const match = /^sqlite:(?:\/\/)?([^?]+)/i.exec(url);
  if (match !== null) {
    return match[1] === ":memory:" ? { kind: "sqlite-memory" } : { kind: "sqlite", path: match[1] };
  }
  throw new TrafficOpenError(
    "unusable",
    `cannot use the database URL "${maskDatabaseUrl(url)}": wanted is sqlite://PATH, sqlite::memory: or ` +
      "postgresql://USER:PASSWORD@HOST:PORT/NAME",
  );
}

/** The URL without its password, wherever a URL may hold one. */
export function maskDatabaseUrl(url: string): string {
  // The last "@" before the path ends the user information: a password may hold an unescaped "@".
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:/?#]*):[^/?#]*@/i, "$1:***@")
    .replace(/([?&][^=&]*(?:password|pass|secret)[^=&]*=)[^&]*/gi, "$1***");
}
