/** Takes the place of `src/thread_module.ts` in a program whose threads are to die when a test says so. */

const MORTAL = ["runtime/proxy_thread", "runtime/writer_thread"];

export function threadModule(path: string): URL {
  const folder = MORTAL.includes(path) ? "./" : "../../../src/";
  return new URL(`${folder}${path}.ts`, import.meta.url);
}
