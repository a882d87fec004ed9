/** Takes the place of `src/thread_module.ts` in a program whose clock a test sets; the main thread's here. */
import "./clock.ts";

const SHIFTED = ["runtime/proxy_thread", "runtime/writer_thread"];

export function threadModule(path: string): URL {
  const folder = SHIFTED.includes(path) ? "./" : "../../../src/";
  return new URL(`${folder}${path}.ts`, import.meta.url);
}
