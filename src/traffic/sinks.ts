/** Which sinks a configuration asks for: the one place that knows their classes. */

import type { LoggingConfig } from "../config/model.ts";
import { type Backlog, MemoryBacklog } from "./backlog.ts";
import type { Clock } from "./clock.ts";
import { FileSink } from "./file_sink.ts";
import type { Sink } from "./sink.ts";

export interface SinkPlan {
  sink: Sink;
  /** Everything that makes this sink another one when it changes; may hold a password, never log it. */
  identity: string;
  /** Whether the program ends if the sink cannot be opened at start. */
  required: boolean;
  /** Makes the place where records wait while the sink is away. */
  newBacklog: () => Backlog;
}

export function configuredSinks(logging: LoggingConfig, clock: Clock): SinkPlan[] {
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
  return plans;
}
