/** Where the code of a thread is. */

/**
 * The module that a Worker of this name runs. From the sources that is the file beside this one; in a bundle,
 * where the code of this file stands in a chunk at the top, it is an entry point of its own.
 * @param name of the file without its extension, e.g. `proxy_thread`
 */
export function threadModule(name: string): URL {
  const isSource = import.meta.url.endsWith(".ts");
  return new URL(isSource ? `./${name}.ts` : `./src/runtime/${name}.js`, import.meta.url);
}
