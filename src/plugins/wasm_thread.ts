/**
 * Entry point of a thread that runs a WebAssembly plugin: one instance, one call at a time. A call that fails costs
 * the instance, not the thread: making another takes some microseconds.
 */
import { CallBudget } from "./call_budget.ts";
import { PluginError, type Stage } from "./plugin.ts";
import type { FromPluginThread, ToPluginThread, WasmStart } from "./thread_messages.ts";
import { WasmInstance } from "./wasm_instance.ts";

const PAGE_BYTES = 65_536;

class WasmThread {
  readonly #start: WasmStart;
  readonly #budget: CallBudget;
  #instance: WasmInstance | null = null;

  constructor(start: WasmStart) {
    this.#start = start;
    this.#budget = new CallBudget(start.limits.timeoutMs);
    // A start function that fails shall be known when the configuration is loaded.
    this.#instance = this.#budget.run(() => this.#instantiate());
  }

  #instantiate(): WasmInstance {
    return new WasmInstance(this.#start.module, this.#start.limits.maxOutputBytes);
  }

  /** @throws PluginError */
  call(stage: Stage, input: string): string {
    let instance = this.#instance;
    this.#instance = null;
    try {
      const output = this.#budget.run(() => (instance ??= this.#instantiate()).call(stage, input));
      this.#instance = instance;
      return output;
    } catch (fault) {
      throw fault instanceof PluginError ? fault : this.#trapped(fault, instance?.memoryBytes ?? 0);
    }
  }

  /** A module that gets no more memory mostly traps: nothing tells that from other traps but how full it is. */
  #trapped(fault: unknown, memoryBytes: number): PluginError {
    const isFull = memoryBytes + PAGE_BYTES > this.#start.memoryMaxBytes;
    const memory = isFull ? `its memory is full (memory_max_bytes)` : `its memory has ${memoryBytes} bytes`;
    return new PluginError(isFull ? "too_large" : "panic", `the module failed: ${String(fault)}; ${memory}`, {
      cause: fault,
    });
  }
}

interface Scope {
  onmessage: ((event: MessageEvent<ToPluginThread<WasmStart>>) => void) | null;
  postMessage(message: FromPluginThread): void;
}

const scope = globalThis as unknown as Scope;
let thread: WasmThread | null = null;

scope.onmessage = ({ data }) => {
  if (data.type === "start") {
    try {
      thread = new WasmThread(data.start);
      scope.postMessage({ type: "ready", stages: ["request", "response"] });
    } catch (fault) {
      const message = `the module's start function failed: ${
        fault instanceof Error ? fault.message : String(fault)
      }`;
      scope.postMessage({ type: "refused", message });
    }
    return;
  }
  if (thread === null) throw new Error('"call" came before "start"');
  const { id, stage, input } = data;
  try {
    scope.postMessage({ type: "output", id, output: thread.call(stage, input) });
  } catch (fault) {
    if (!(fault instanceof PluginError)) throw fault;
    scope.postMessage({ type: "failed", id, kind: fault.kind, message: fault.message, spoiled: false });
  }
};
