/** Removing old records at once, instead of waiting for the running Dispa's upkeep. */

import type { LoggingConfig } from "../config/model.ts";
import { parseDatabaseUrl } from "./database_url.ts";
import { removeExpiredFiles } from "./file_names.ts";
import { connect, migrate } from "./postgres_schema.ts";
import { removeExpiredRows as removePostgresRows } from "./postgres_sink.ts";
import { reasonOf, TrafficOpenError } from "./sink.ts";
import { openForReading, openForWriting } from "./sqlite_schema.ts";
import { removeExpiredRows as removeSqliteRows } from "./sqlite_sink.ts";

export interface Pruned {
  files: string[];
  rows: number;
}

/**
 * Removes the files whose whole day, and the rows whose time, is before `beforeMs`, wherever the configuration
 * keeps them. Summaries stay. Throws `TrafficOpenError`; makes no database that is not there.
 */
export async function pruneTraffic(logging: LoggingConfig, beforeMs: number): Promise<Pruned> {
  return {
    files: logging.type === "database" ? [] : pruneFiles(logging.file.directory, beforeMs),
    rows: logging.type === "file" ? 0 : await pruneRows(logging.database, beforeMs),
  };
}

function pruneFiles(directory: string, beforeMs: number): string[] {
  try {
    return removeExpiredFiles(directory, beforeMs);
  } catch (error) {
    throw new TrafficOpenError(
      "unreachable",
      `cannot remove old traffic log files in ${directory}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

async function pruneRows(options: LoggingConfig["database"], beforeMs: number): Promise<number> {
  const location = parseDatabaseUrl(options.url);
  switch (location.kind) {
    case "sqlite": {
      openForReading(location.path).close();
      using database = openForWriting(location.path);
      return await removeSqliteRows(() => database, beforeMs);
    }
    case "postgres": {
      const sql = await connect({ ...options, maxConnections: 1 });
      try {
        await migrate(sql, options.url);
        return await removePostgresRows(sql, beforeMs);
      } finally {
        await sql.end({ timeout: 0 });
      }
    }
    case "sqlite-memory":
      return 0;
  }
}
