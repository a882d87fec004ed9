/** Statistics of what has many parts, gathered by this thread and by helpers beside it. */

import { addFileParts, type FileStatsJob } from "./file_stats.ts";
import { PartQueue } from "./part_queue.ts";
import type { Helpers, StatsGroup } from "./reader.ts";
import { type GroupCounts, StatsGroups } from "./stats_groups.ts";
import type { SqliteStatsJob } from "./sqlite_stats.ts";

export type StatsJob = FileStatsJob | SqliteStatsJob;

/** To a helper: what to do, of which each part is for whoever takes it from the queue first. */
export interface HelperOrder {
  job: StatsJob;
  queue: SharedArrayBuffer;
  helper: number;
}

export type HelperAnswer = { kind: "counts"; counts: GroupCounts[] } | { kind: "failure"; message: string };

/** A thread takes some forty milliseconds to start: for less work than this it would come too late. */
const LEAST_PARTS_FOR_HELP = 24;

/**
 * Does the job with the helpers beside this thread, which it keeps busy until the end.
 * @param mine does this thread's parts
 */
export async function shareStats(
  job: StatsJob,
  helpers: Helpers | null,
  mine: (queue: PartQueue, to: StatsGroups) => void,
): Promise<StatsGroup[]> {
  const wanted = job.parts.length < LEAST_PARTS_FOR_HELP ? null : helpers;
  const queue = PartQueue.make(job.parts.length, wanted?.count ?? 0);
  const threads = wanted === null ? [] : Array.from(
    { length: wanted.count },
    (_, helper) => new StatsHelper(wanted.module, { job, queue: queue.buffer, helper }, queue),
  );
  try {
    const groups = new StatsGroups();
    mine(queue, groups);
    for (const thread of threads) groups.merge(await thread.result());
    return groups.result();
  } finally {
    for (const thread of threads) thread.end();
  }
}

class StatsHelper {
  readonly #worker: Worker;
  readonly #queue: PartQueue;
  readonly #number: number;
  readonly #done = Promise.withResolvers<GroupCounts[]>();

  constructor(module: URL, order: HelperOrder, queue: PartQueue) {
    this.#queue = queue;
    this.#number = order.helper;
    this.#worker = new Worker(module, { type: "module" });
    this.#worker.onmessage = ({ data: answer }: MessageEvent<HelperAnswer>) => {
      if (answer.kind === "counts") this.#done.resolve(answer.counts);
      else this.#done.reject(failure(answer.message));
    };
    this.#worker.onerror = (event) => {
      // Unless prevented, an uncaught fault of a worker ends the whole process.
      event.preventDefault();
      this.#done.reject(failure(event.message));
    };
    // Nobody may be waiting any more when it fails.
    this.#done.promise.catch(() => {});
    this.#worker.postMessage(order);
  }

  /** What it has gathered, once all parts are taken. */
  async result(): Promise<GroupCounts[]> {
    return this.#queue.isWaitedFor(this.#number) ? await this.#done.promise : [];
  }

  end(): void {
    this.#worker.terminate();
  }
}

function failure(reason: string): Error {
  return new Error(`a thread that gathers statistics failed: ${reason}`);
}

/** In a helper: does the parts it gets; null if it has come too late for any. */
export async function help({ job, queue: buffer, helper }: HelperOrder): Promise<GroupCounts[] | null> {
  const queue = PartQueue.over(buffer, job.parts.length);
  if (!queue.begin(helper)) return null;
  const groups = new StatsGroups();
  if (job.kind === "files") {
    addFileParts(job, queue, groups);
  } else {
    const { openForReading } = await import("./sqlite_schema.ts");
    const { addRowParts } = await import("./sqlite_stats.ts");
    const database = openForReading(job.path);
    try {
      addRowParts(job, database, queue, groups);
    } finally {
      database.close();
    }
  }
  return groups.counts();
}
