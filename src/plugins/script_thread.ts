/** Entry point of a thread that runs a script plugin, one call at a time. */
import { CallBudget } from "./call_budget.ts";
import type { Call } from "./lane.ts";
import { PluginError, type Stage } from "./plugin.ts";
import { ScriptCall, type ScriptModule } from "./script_call.ts";
import type { CallFailure, FromPluginThread, ScriptStart, ToPluginThread } from "./thread_messages.ts";

class ScriptThread {
  readonly #module: ScriptModule;
  readonly #start: ScriptStart;
  readonly #budget: CallBudget;

  constructor(start: ScriptStart, module: ScriptModule) {
    this.#start = start;
    this.#module = module;
    this.#budget = new CallBudget(start.limits.timeoutMs);
  }

  get stages(): Stage[] {
    const { onRequest, onResponse } = this.#module;
    return [
      ...(onRequest === undefined ? [] : ["request" as const]),
      ...(onResponse === undefined ? [] : ["response" as const]),
    ];
  }

  /** @throws PluginError of the kind `timeout`, `too_large` or `bad_output`; what the script throws */
  async run({ input }: Call): Promise<string> {
    const { timeoutMs, maxOutputBytes } = this.#start.limits;
    const startedMs = performance.now();
    const call = new ScriptCall(input);
    const returned = this.#budget.run(() => call.run(this.#module));
    const restMs = timeoutMs - (performance.now() - startedMs);
    const output = await inTime(finish(call, returned), restMs, timeoutMs);
    // Characters, which are never more than the bytes they become.
    if (output.length > maxOutputBytes) {
      throw new PluginError(
        "too_large",
        `the answer has ${output.length} characters, max_output_bytes is ${maxOutputBytes}`,
      );
    }
    return output;
  }
}

async function finish(call: ScriptCall, returned: unknown): Promise<string> {
  const answer = await returned;
  try {
    return await call.output(answer);
  } catch (fault) {
    throw new PluginError("bad_output", `the answer cannot be read: ${describe(fault)}`, { cause: fault });
  }
}

async function inTime<Value>(pending: Promise<Value>, restMs: number, timeoutMs: number): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new PluginError("timeout", `the plugin did not answer in ${timeoutMs} ms`)),
    Math.max(restMs, 0),
  );
  try {
    return await Promise.race([pending, late]);
  } finally {
    clearTimeout(timer);
  }
}

const LONGEST_MESSAGE = 500;

/** In one line, with the place in the script. */
function describe(fault: unknown): string {
  if (!(fault instanceof Error)) {
    return typeof fault === "object" ? "threw an object" : `threw ${String(fault)}`;
  }
  const place = /^\s*at .*$/m.exec(fault.stack ?? "")?.[0].trim();
  const text = `${fault.name}: ${fault.message}`.slice(0, LONGEST_MESSAGE);
  return place === undefined ? text : `${text} (${place.slice(0, LONGEST_MESSAGE)})`;
}

function failureOf(fault: unknown): CallFailure {
  if (!(fault instanceof PluginError)) return { kind: "panic", message: describe(fault), spoiled: false };
  const { kind, message } = fault;
  // Its code was stopped where it stood, or still goes on.
  return { kind, message, spoiled: kind === "timeout" };
}

/** @throws Error that says why the module is no plugin */
async function load(start: ScriptStart): Promise<ScriptThread> {
  const { onRequest, onResponse }: Record<string, unknown> = await import(start.url);
  for (const [name, exported] of Object.entries({ onRequest, onResponse })) {
    if (exported !== undefined && typeof exported !== "function") {
      throw new TypeError(`it exports ${name} as ${typeof exported}, wanted a function`);
    }
  }
  if (onRequest === undefined && onResponse === undefined) {
    throw new TypeError("it exports neither onRequest nor onResponse");
  }
  return new ScriptThread(start, { onRequest, onResponse } as ScriptModule);
}

interface Scope {
  onmessage: ((event: MessageEvent<ToPluginThread<ScriptStart>>) => void) | null;
  postMessage(message: FromPluginThread): void;
}

const scope = globalThis as unknown as Scope;
// Before any script runs, which can put its own in the place of the global's.
const post = scope.postMessage.bind(globalThis);
let thread: ScriptThread | null = null;

// What nobody catches would be printed among the lines of the log, and end the thread.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  post({ type: "fault", message: describe(event.reason) });
});
addEventListener("error", (event) => {
  event.preventDefault();
  post({ type: "fault", message: describe(event.error) });
});

scope.onmessage = async ({ data }) => {
  if (data.type === "start") {
    try {
      thread = await load(data.start);
      post({ type: "ready", stages: thread.stages });
    } catch (fault) {
      post({ type: "refused", message: describe(fault) });
    }
    return;
  }
  if (thread === null) throw new Error('"call" came before "start"');
  const { id } = data;
  try {
    post({ type: "output", id, output: await thread.run(data) });
  } catch (fault) {
    post({ type: "failed", id, ...failureOf(fault) });
  }
};
