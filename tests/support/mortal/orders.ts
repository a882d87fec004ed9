/** How a test tells a thread of another process to die: by a file with the thread's name. */
import { join } from "node:path";
import { threadImportMap } from "../thread_import_map.ts";

/** Variable that names the folder of the orders. */
export const ORDERS = "DISPA_TEST_ORDERS";

const LOOK_MS = 20;

/** Dies once there is a file with this thread's name in the folder, which is removed before. */
export function obey(): void {
  const folder = Deno.env.get(ORDERS);
  if (folder === undefined) throw new Error(`${ORDERS} is not set`);
  const order = join(folder, (globalThis as unknown as { name: string }).name);
  setInterval(() => {
    try {
      Deno.removeSync(order);
    } catch (fault) {
      if (fault instanceof Deno.errors.NotFound) return;
      throw fault;
    }
    // Outside of any handler of the thread's: nobody catches it.
    throw new Error("told to die");
  }, LOOK_MS);
}

/** Tells the thread, `proxy-0` or `writer` for example, to die; resolves when it has seen that. */
export async function tellToDie(folder: string, thread: string): Promise<void> {
  const order = join(folder, thread);
  await Deno.writeTextFile(order, "");
  const deadline = Date.now() + 10_000;
  while (await Deno.stat(order).then(() => true, () => false)) {
    if (Date.now() > deadline) throw new Error(`thread ${thread} does not look at ${order}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** An import map with which the program runs on such threads. */
export function mortalImportMap(folder: string): Promise<string> {
  return threadImportMap(folder, new URL("./thread_module.ts", import.meta.url));
}
