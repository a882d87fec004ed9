/** `type = "wasm"`: WebAssembly modules, in threads of their own. */
import type { WasmSettings } from "../config/plugins/wasm.ts";
import { threadModule } from "../thread_module.ts";
import { CallSlots } from "./call_slots.ts";
import { callSlots, foreignPlugin } from "./foreign_plugin.ts";
import type { Plugin, PluginContext, PluginType } from "./plugin.ts";
import { openThreads } from "./plugin_threads.ts";
import type { WasmStart } from "./thread_messages.ts";
import { limitMemory } from "./wasm_binary.ts";
import { WASM_EXPORTS, WASM_IMPORTS } from "./wasm_instance.ts";

/** Larger ones are no filters; compiling them would hold a reload for seconds. */
const MAX_MODULE_BYTES = 67_108_864;

export const wasm: PluginType<WasmSettings> = {
  sharedBytes: ({ max_concurrency: limit }) => limit === undefined ? 0 : CallSlots.bytes(limit),

  async create(settings: WasmSettings, context: PluginContext): Promise<Plugin> {
    const start: WasmStart = {
      module: await loadModule(settings.module_path, settings.memory_max_bytes),
      memoryMaxBytes: settings.memory_max_bytes,
      limits: { timeoutMs: settings.timeout_ms, maxOutputBytes: settings.max_output_bytes },
    };
    const threads = await openThreads({
      entry: threadModule("plugins/wasm_thread"),
      start,
      settings,
      context,
    });
    return foreignPlugin({
      stages: threads.stages,
      run: (call) => threads.run(call),
      describe: (stage) => `would call dispa_on_${stage} of ${settings.module_path}`,
      slots: callSlots(context, settings.max_concurrency, threads.longestMs),
      dispose: () => threads.dispose(),
    });
  },
};

/** @throws Error that says why the file is no module for us */
async function loadModule(path: string, memoryMaxBytes: number): Promise<WebAssembly.Module> {
  const { size } = await Deno.stat(path);
  if (size > MAX_MODULE_BYTES) {
    throw new Error(`${path} has ${size} bytes, wanted a module of at most ${MAX_MODULE_BYTES}`);
  }
  const binary = await Deno.readFile(path);
  try {
    const module = await WebAssembly.compile(limitMemory(binary, memoryMaxBytes));
    checkInterface(module);
    return module;
  } catch (fault) {
    throw new Error(`cannot use ${path}: ${fault instanceof Error ? fault.message : String(fault)}`, {
      cause: fault,
    });
  }
}

function checkInterface(module: WebAssembly.Module): void {
  const exported = new Map(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]));
  const missing = Object.entries(WASM_EXPORTS).filter(([name, kind]) => exported.get(name) !== kind);
  if (missing.length > 0) {
    const names = missing.map(([name, kind]) => `${name} (${kind})`).join(", ");
    throw new Error(`the module does not export ${names}`);
  }
  const strange = WebAssembly.Module.imports(module)
    .filter(({ module, name, kind }) => kind !== "function" || !WASM_IMPORTS.includes(`${module}.${name}`));
  if (strange.length > 0) {
    const names = strange.map(({ module, name }) => `${module}.${name}`).join(", ");
    throw new Error(
      `the module imports ${names}, which is not there: a plugin gets nothing but ${WASM_IMPORTS}`,
    );
  }
}
