/** How a test sets the clock of another process. */
import { join } from "node:path";
import { threadImportMap } from "../thread_import_map.ts";

/** Variable that names the file with the milliseconds by which the clock is wrong. */
export const SHIFT_FILE = "DISPA_TEST_SHIFT";

export class Shift implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "dispa-shift-" });
  readonly #file = join(this.#folder, "shift");

  constructor() {
    this.set(0);
  }

  /** All threads go by it within 20 ms or so. */
  set(milliseconds: number): void {
    Deno.writeTextFileSync(`${this.#file}.new`, String(milliseconds));
    Deno.renameSync(`${this.#file}.new`, this.#file);
  }

  /** For `Dispa.start`: how a program runs by this clock. */
  async program(): Promise<{ importMap: string; env: Record<string, string> }> {
    const importMap = await threadImportMap(this.#folder, new URL("./thread_module.ts", import.meta.url));
    return { importMap, env: { [SHIFT_FILE]: this.#file } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
