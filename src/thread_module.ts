/** Where the code of a thread is. */

/**
 * The module that a Worker runs. From the sources that is a file of this folder; in a bundle, where the code of
 * this file stands in a chunk at the top, it is an entry point of its own. `src/build/compile.ts` puts every
 * file named `…_thread.ts` into the executable as one.
 * @param path of the file in this folder, without its extension, e.g. `runtime/proxy_thread`
 */
export function threadModule(path: string): URL {
  const isSource = import.meta.url.endsWith(".ts");
  return new URL(isSource ? `./${path}.ts` : `./src/${path}.js`, import.meta.url);
}
