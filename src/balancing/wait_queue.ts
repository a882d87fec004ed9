/** Requests of one thread and group of targets that wait, first come, first served, until a target has room. */
import type { ExcludedSlots } from "./policy.ts";
import type { BalancedTarget } from "./target.ts";
import type { ActiveCounts, TargetTable } from "./target_table.ts";

/** Gives a wait up; the transports' `AbortHandle` is one. */
export interface Cancellation {
  readonly aborted: boolean;
  onabort: ((reason: Error) => void) | null;
}

/** Why a request that wanted to wait got no target. */
export type NotQueued = "queue_full" | "queue_timeout" | "cancelled";

export interface WaitQueueOptions {
  /** Requests of the whole process, in all queues, that may wait. */
  readonly maxQueue: number;
  readonly timeoutMs: number;
  readonly table: TargetTable;
  readonly own: ActiveCounts;
  readonly acquire: (clientIp: string, exclude: ExcludedSlots) => BalancedTarget | null;
}

interface Waiter {
  readonly clientIp: string;
  readonly exclude: ExcludedSlots;
  /** Must have left the queue before. */
  readonly settle: (outcome: BalancedTarget | NotQueued) => void;
}

/**
 * A thread that waits looks again this often even if nobody has told it of room: a target may have become
 * usable, or the thread that was told may have died.
 */
const LOOK_AGAIN_MS = 50;

export class WaitQueue {
  readonly #options: WaitQueueOptions;
  /** In the order they came; those that leave early are deleted. */
  readonly #waiters = new Set<Waiter>();
  #watching = false;

  constructor(options: WaitQueueOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#waiters.size;
  }

  /** Resolves with a target, which is counted in, or with why there was none. Never rejects. */
  join(
    clientIp: string,
    exclude?: ExcludedSlots,
    cancel?: Cancellation,
  ): Promise<BalancedTarget | NotQueued> {
    const { table, own, maxQueue, timeoutMs } = this.#options;
    if (cancel?.aborted) return Promise.resolve("cancelled");
    if (!table.beginWaiting(maxQueue, own)) return Promise.resolve("queue_full");
    return new Promise((resolve) => {
      const waiter: Waiter = {
        clientIp,
        exclude,
        settle: (outcome) => {
          clearTimeout(timer);
          if (cancel !== undefined) cancel.onabort = null;
          table.endWaiting(own);
          resolve(outcome);
        },
      };
      const leave = (why: NotQueued) => {
        if (this.#waiters.delete(waiter)) waiter.settle(why);
      };
      const timer = setTimeout(() => leave("queue_timeout"), timeoutMs);
      if (cancel !== undefined) cancel.onabort = () => leave("cancelled");
      this.#waiters.add(waiter);
      // A release just before was not announced if nobody was counted as waiting then: look at once.
      if (this.#watching) this.#serve();
      else this.#watch();
    });
  }

  async #watch(): Promise<void> {
    const { table } = this.#options;
    this.#watching = true;
    while (this.#waiters.size > 0) {
      // Read before we look: a release meanwhile changes it, and the wait ends at once.
      const seen = table.releases;
      this.#serve();
      if (this.#waiters.size > 0) await table.released(seen, LOOK_AGAIN_MS);
    }
    this.#watching = false;
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      const target = this.#options.acquire(waiter.clientIp, waiter.exclude);
      if (target !== null) {
        this.#waiters.delete(waiter);
        waiter.settle(target);
      } else if (waiter.exclude === undefined || waiter.exclude.size === 0) {
        // Where this one finds no room, those behind it find none either.
        return;
      }
    }
  }
}
