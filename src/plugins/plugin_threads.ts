/** The threads of one plugin in one proxy thread. */
import type { Call } from "./lane.ts";
import { LanePool } from "./lane_pool.ts";
import type { PluginContext, Stage } from "./plugin.ts";
import { ThreadLane } from "./thread_lane.ts";

export interface ThreadsOptions<Start> {
  /** The module that the threads run. */
  entry: URL;
  start: Start;
  settings: { timeout_ms: number; threads: number };
  context: PluginContext;
  /** Left out: those of the proxy thread. */
  permissions?: Deno.PermissionOptions;
}

/**
 * Threads that run in a loop nothing can interrupt, until the plugin gives up. Deno 2.6 ends each after two
 * seconds, 2.9 never does: there, each costs a core until the process ends.
 */
const MAX_STUCK = 3;

export interface PluginThreads {
  /** For which the code has a function. */
  readonly stages: readonly Stage[];
  run(call: Call): Promise<string>;
  /** The longest a call can take, the wait for a thread included. */
  readonly longestMs: number;
  dispose(): Promise<void>;
}

/**
 * Starts the first thread.
 * @throws Error that says why it cannot run the plugin
 */
export async function openThreads<Start>(options: ThreadsOptions<Start>): Promise<PluginThreads> {
  const { entry, start, settings, context, permissions } = options;
  let stuck = 0;
  let stages: Stage[] = [];
  const pool = new LanePool({
    start: (events) =>
      new ThreadLane({
        url: entry,
        name: `plugin ${context.name}`,
        start,
        timeoutMs: settings.timeout_ms,
        permissions,
        onReady: (found) => stages = found,
        onStuck: () => {
          stuck++;
          context.log("error", "a plugin's thread does not answer and was left behind", { stuck });
          if (stuck === MAX_STUCK) {
            pool.close("its threads ran into endless loops; mend it, and restart the proxy");
          }
        },
      }, events),
    minimum: 1,
    maximum: settings.threads,
    timeoutMs: settings.timeout_ms,
    noun: "thread",
    log: context.log,
  });
  try {
    await pool.ready();
  } catch (fault) {
    await pool.dispose();
    throw fault;
  }
  return {
    stages,
    run: (call) => pool.call(call),
    longestMs: pool.longestMs,
    dispose: () => pool.dispose(),
  };
}
