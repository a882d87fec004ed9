/** Opens the traffic log for questions, wherever the configuration keeps it. */

import type { LoggingConfig } from "../config/model.ts";
import { parseDatabaseUrl } from "./database_url.ts";
import { FileReader } from "./file_reader.ts";
import { PostgresReader } from "./postgres_reader.ts";
import type { Helpers, TrafficReader, TrafficSource } from "./reader.ts";
import { TrafficOpenError } from "./sink.ts";
import { SqliteReader } from "./sqlite_reader.ts";

/**
 * Opens what the configuration names, or its `source`. Throws `TrafficOpenError` where that is not there or
 * cannot be read; never makes or changes anything.
 */
export async function openReader(
  logging: LoggingConfig,
  source: TrafficSource | null,
  helpers: Helpers | null = null,
): Promise<TrafficReader> {
  if ((source ?? (logging.type === "file" ? "file" : "database")) === "file") {
    return new FileReader(logging.file.directory, helpers);
  }
  const location = parseDatabaseUrl(logging.database.url);
  switch (location.kind) {
    case "sqlite":
      return new SqliteReader(location.path, helpers);
    case "postgres":
      return await PostgresReader.open(logging.database, helpers?.count);
    case "sqlite-memory":
      throw new TrafficOpenError(
        "unusable",
        "cannot read a database in memory (sqlite::memory:): only the running Dispa sees it",
      );
  }
}
