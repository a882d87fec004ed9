/** `type = "command"`: programs. */
import type { CommandSettings } from "../config/plugins/command.ts";
import { CallSlots } from "./call_slots.ts";
import { CommandLane } from "./command_lane.ts";
import { runOnce } from "./command_once.ts";
import { callSlots, type ForeignCode, foreignPlugin } from "./foreign_plugin.ts";
import type { Call } from "./lane.ts";
import { LanePool } from "./lane_pool.ts";
import { type Plugin, type PluginContext, PluginError, type PluginType } from "./plugin.ts";

export const command: PluginType<CommandSettings> = {
  sharedBytes: ({ max_concurrency: limit }) => CallSlots.bytes(limit),

  async create(settings: CommandSettings, context: PluginContext): Promise<Plugin> {
    await checkProgram(settings, context);
    const { run, longestMs, dispose } = settings.mode === "once"
      ? once(settings)
      : persistent(settings, context);
    const { commandMetrics: metrics } = context;

    async function measured(call: Call): Promise<string> {
      const startedMs = performance.now();
      let hasRun = true;
      try {
        return await run(call);
      } catch (fault) {
        hasRun = !(fault instanceof PluginError && fault.kind === "exec");
        throw fault;
      } finally {
        if (hasRun) metrics.ran(performance.now() - startedMs);
      }
    }

    return foreignPlugin({
      stages: ["request", "response"],
      run: measured,
      describe: (stage) =>
        `would ${settings.mode === "once" ? "run" : "ask"} ${settings.exec} about the ${stage}`,
      failed: (kind) => metrics.failed(kind),
      slots: callSlots(context, settings.max_concurrency, longestMs),
      dispose,
    });
  },
};

type Runner = Pick<ForeignCode, "run" | "dispose"> & { longestMs: number };

function once(settings: CommandSettings): Runner {
  return { run: ({ input }) => runOnce(settings, input), longestMs: settings.timeout_ms };
}

function persistent(settings: CommandSettings, { log }: PluginContext): Runner {
  const pool = new LanePool({
    start: (events) => new CommandLane(settings, events),
    minimum: settings.processes,
    maximum: settings.processes,
    timeoutMs: settings.timeout_ms,
    noun: "process",
    log,
  });
  return { run: (call) => pool.call(call), longestMs: pool.longestMs, dispose: () => pool.dispose() };
}

/**
 * A program that is missing is no reason to refuse the configuration, except where a list says which may run: it can
 * come later, and until then each call fails with the kind `exec`.
 * @throws Error if the program is not on the list
 */
async function checkProgram(settings: CommandSettings, { log }: PluginContext): Promise<void> {
  const { exec, exec_allowlist: allowed } = settings;
  const found = await realPath(exec);
  if (found === null) {
    if (allowed !== undefined) throw new Error(`exec: cannot find ${exec}, which exec_allowlist has to hold`);
    log("warn", "cannot find a plugin's program", { exec });
    return;
  }
  if (allowed === undefined) return;
  for (const path of allowed) if (await realPath(path) === found) return;
  const meaning = found === exec ? "" : ` (${found})`;
  throw new Error(`exec: found ${exec}${meaning}, wanted one of exec_allowlist: ${allowed.join(", ")}`);
}

async function realPath(path: string): Promise<string | null> {
  try {
    return await Deno.realPath(path);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return null;
    throw fault;
  }
}
