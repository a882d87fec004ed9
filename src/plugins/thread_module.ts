/** Where the code of a plugin's thread is. */

/**
 * The module that a Worker of this name runs. From the sources that is the file beside this one; in a bundle,
 * where the code of this file stands in a chunk at the top, it is an entry point of its own.
 * @param name of the file without its extension, e.g. `wasm_thread`
 */
export function pluginThreadModule(name: string): URL {
  const isSource = import.meta.url.endsWith(".ts");
  return new URL(isSource ? `./${name}.ts` : `./src/plugins/${name}.js`, import.meta.url);
}
