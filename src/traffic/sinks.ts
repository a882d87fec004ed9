/** Which sinks a configuration asks for: the one place that knows their classes. */

import type { LoggingConfig } from "../config/model.ts";
import { type Backlog, MemoryBacklog } from "./backlog.ts";
import type { Clock } from "./clock.ts";
import { parseDatabaseUrl } from "./database_url.ts";
import { FileSink } from "./file_sink.ts";
import { PostgresSink } from "./postgres_sink.ts";
import type { Log, Sink } from "./sink.ts";
import { Spool } from "./spool.ts";
import { SqliteSink } from "./sqlite_sink.ts";

export interface SinkPlan {
  sink: Sink;
  /** Everything that makes this sink another one when it changes; may hold a password, never log it. */
  identity: string;
  /** Whether the program ends if the sink cannot be opened at start. */
  required: boolean;
  /** Makes the place where records wait while the sink is away. */
  newBacklog: () => Backlog;
}

/** Throws `TrafficOpenError` where the configuration names no database that Dispa knows. */
export function configuredSinks(logging: LoggingConfig, clock: Clock, log: Log): SinkPlan[] {
  const plans: SinkPlan[] = [];
  if (!logging.enabled) return plans;
  if (logging.type !== "database") {
    plans.push({
      sink: new FileSink(logging.file, clock),
      identity: JSON.stringify(["file", logging.file]),
      // A full or missing disk is no reason to refuse requests: writing resumes by itself.
      required: false,
      newBacklog: () => new MemoryBacklog(logging.queueMaxBytes),
    });
  }
  if (logging.type !== "file") plans.push(databasePlan(logging, clock, log));
  return plans;
}

function databasePlan(logging: LoggingConfig, clock: Clock, log: Log): SinkPlan {
  const { database } = logging;
  const location = parseDatabaseUrl(database.url);
  const spool = { directory: database.spoolDirectory, maxBytes: database.spoolMaxBytes, log };
  const plan = { identity: JSON.stringify(["database", database]), required: database.required };
  switch (location.kind) {
    case "sqlite":
      return { ...plan, sink: new SqliteSink(location.path, clock), newBacklog: () => new Spool(spool) };
    case "postgres":
      return { ...plan, sink: new PostgresSink(database, clock), newBacklog: () => new Spool(spool) };
    case "sqlite-memory":
      return {
        ...plan,
        sink: new SqliteSink(":memory:", clock),
        // A spool left by another database would be replayed into memory, and gone.
        newBacklog: () => new MemoryBacklog(logging.queueMaxBytes),
      };
  }
}
