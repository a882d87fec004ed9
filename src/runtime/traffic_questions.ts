/** Questions of the admin API to the traffic log, each answered by a thread that lives no longer than that. */
import type { TrafficAnswer, TrafficQuestion } from "../admin/source.ts";
import type { LoggingConfig } from "../config/model.ts";
import type { FromQuery, ToQuery } from "./messages.ts";
import { Thread } from "./thread.ts";
import { threadModule } from "../thread_module.ts";

/** Each takes a thread's memory, and time of a processor that the proxy wants too. */
const MAX_AT_ONCE = 2;
const TIMEOUT_MS = 30_000;

export class TrafficQuestions {
  readonly #running = new Set<Thread<ToQuery, FromQuery>>();

  ask(logging: LoggingConfig, question: TrafficQuestion): Promise<TrafficAnswer> {
    if (this.#running.size >= MAX_AT_ONCE) {
      const message = `${MAX_AT_ONCE} questions to the traffic log are being answered, ask again later`;
      return Promise.resolve({ kind: "busy", message });
    }
    const { promise, resolve } = Promise.withResolvers<TrafficAnswer>();
    const thread = new Thread<ToQuery, FromQuery>(threadModule("runtime/query_thread"), "query", {
      onMessage: resolve,
      onDeath: (reason) => resolve({ kind: "unreadable", message: `cannot read the traffic log: ${reason}` }),
    });
    this.#running.add(thread);
    thread.post({ logging, question });
    const timer = setTimeout(() => {
      const message = `the traffic log did not answer within ${TIMEOUT_MS} ms: ask for a shorter time`;
      resolve({ kind: "busy", message });
    }, TIMEOUT_MS);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#running.delete(thread);
      thread.end();
    });
  }
}
