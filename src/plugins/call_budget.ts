/** Runs foreign code in a thread of its own no longer than it may, an endless loop included. */
import { Script } from "node:vm";
import { PluginError } from "./plugin.ts";

/** Name of the global through which the script below reaches what it is to run. */
const HANDLE = "dispaBudgetedCall";

/**
 * The time-out of `node:vm` interrupts code that runs, WebAssembly and regular expressions included, and leaves the
 * thread as it is. Ending the Worker from outside is no way: Deno 2.6 takes two seconds to interrupt its code, and
 * 2.9 (2.9.6) never does, so that a loop would burn its core until the process ends.
 */
export class CallBudget {
  readonly #script = new Script(`${HANDLE}()`);
  readonly #timeoutMs: number;
  #call: (() => unknown) | null = null;

  /** One for each thread: it takes a global name. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    Object.defineProperty(globalThis, HANDLE, { value: () => this.#call?.() });
  }

  /**
   * Runs `call` and returns what it returns. Costs 10 to 25 µs. Only what runs before it returns is timed, not
   * what a promise does later.
   * @throws PluginError of the kind `timeout`; what `call` throws
   */
  run<Result>(call: () => Result): Result {
    this.#call = call;
    try {
      return this.#script.runInThisContext({ timeout: this.#timeoutMs, displayErrors: false }) as Result;
    } catch (fault) {
      if (isTimeout(fault)) {
        throw new PluginError("timeout", `the plugin did not end in ${this.#timeoutMs} ms`);
      }
      throw fault;
    } finally {
      this.#call = null;
    }
  }
}

function isTimeout(fault: unknown): boolean {
  return fault instanceof Error && "code" in fault && fault.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
}
