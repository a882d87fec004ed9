/** `type = "script"`: modules in JavaScript or TypeScript, in threads of their own. */
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ScriptSettings } from "../config/plugins/script.ts";
import { threadModule } from "../thread_module.ts";
import { CallSlots } from "./call_slots.ts";
import { callSlots, foreignPlugin } from "./foreign_plugin.ts";
import type { Plugin, PluginContext, PluginType } from "./plugin.ts";
import { openThreads } from "./plugin_threads.ts";
import type { ScriptStart } from "./thread_messages.ts";

export const script: PluginType<ScriptSettings> = {
  sharedBytes: ({ max_concurrency: limit }) => limit === undefined ? 0 : CallSlots.bytes(limit),

  async create(settings: ScriptSettings, context: PluginContext): Promise<Plugin> {
    const path = resolve(settings.module);
    await checkFile(path);
    const start: ScriptStart = {
      url: pathToFileURL(path).href,
      limits: { timeoutMs: settings.timeout_ms, maxOutputBytes: settings.max_output_bytes },
    };
    const permissions = settings.sandbox ? sandboxOf(path) : undefined;
    let threads;
    try {
      threads = await openThreads({
        entry: threadModule("plugins/script_thread"),
        start,
        settings,
        context,
        permissions,
      });
    } catch (fault) {
      const reason = fault instanceof Error ? fault.message : String(fault);
      throw new Error(`cannot load ${path}: ${reason}`, { cause: fault });
    }
    const { stages, run, dispose, longestMs } = threads;
    return foreignPlugin({
      stages,
      run,
      describe: (stage) =>
        `would call ${stage === "request" ? "onRequest" : "onResponse"} of ${settings.module}`,
      slots: callSlots(context, settings.max_concurrency, longestMs),
      dispose,
    });
  },
};

const JAVASCRIPT = [".js", ".mjs"];
const TYPESCRIPT = [".ts", ".mts"];

/** @throws Error that says what is wrong with the file */
async function checkFile(path: string): Promise<void> {
  const extension = extname(path);
  if (TYPESCRIPT.includes(extension) && Deno.build.standalone) {
    throw new Error(
      `${path} is TypeScript, which the executable cannot load: wanted JavaScript, made for instance by ` +
        `deno bundle -o ${path.slice(0, -extension.length)}.js ${path}`,
    );
  }
  if (![...JAVASCRIPT, ...TYPESCRIPT].includes(extension)) {
    throw new Error(`${path}: wanted a file that ends in ${[...JAVASCRIPT, ...TYPESCRIPT].join(", ")}`);
  }
  const { isFile } = await Deno.stat(path);
  if (!isFile) throw new Error(`${path} is no file`);
}

/** Nothing but its own source. Each named: what is left out is inherited. */
function sandboxOf(path: string): Deno.PermissionOptionsObject {
  return {
    env: false,
    ffi: false,
    import: false,
    net: false,
    read: [path],
    run: false,
    sys: false,
    write: false,
  };
}
