/** What imports what, as Deno resolves it. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

export interface Import {
  /** Path from the root of the repository, or the specifier of a package or built-in. */
  to: string;
  /** `import type`: gone before the program runs. */
  isType: boolean;
  /** `import(…)`: loaded when it is used. */
  isDynamic: boolean;
}

/** The imports of each module, by its path from the root of the repository. */
export type ModuleGraph = Map<string, Import[]>;

/** A package of the npm registry in use. */
export interface NpmPackage {
  name: string;
  version: string;
  /** Keys of the packages it needs. */
  dependencies: string[];
  /** Where its files are. */
  localPath: string;
}

interface Dependency {
  code?: { specifier: string };
  type?: { specifier: string };
  isDynamic?: boolean;
}

interface Info {
  modules: {
    kind?: string;
    specifier: string;
    dependencies?: Dependency[];
    npmPackage?: string;
    error?: string;
  }[];
  redirects: Record<string, string>;
  npmPackages: Record<string, NpmPackage>;
}

async function info(root: string, entry: string): Promise<Info> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: root,
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`cannot follow the imports of ${entry}: ${text.decode(stderr)}`);
  return JSON.parse(text.decode(stdout));
}

/**
 * Follows the imports of `entries`.
 * @param root of the repository, with a slash at its end
 * @returns the modules of the repository, and the packages they need, by name and version
 */
export async function readGraph(
  root: string,
  entries: string[],
): Promise<{ modules: ModuleGraph; packages: Map<string, NpmPackage> }> {
  const modules: ModuleGraph = new Map();
  const packages = new Map<string, NpmPackage>();
  const place = (specifier: string) =>
    specifier.startsWith("file:") ? relative(root, fileURLToPath(specifier)) : specifier;
  for (const found of await Promise.all(entries.map((entry) => info(root, entry)))) {
    for (const { specifier, dependencies = [], npmPackage, error } of found.modules) {
      if (error !== undefined) throw new Error(`${place(specifier)}: ${error}`);
      if (npmPackage !== undefined) addPackage(npmPackage, found.npmPackages, packages);
      if (!specifier.startsWith("file:")) continue;
      modules.set(
        place(specifier),
        dependencies.flatMap(({ code, type, isDynamic = false }) => {
          const to = code ?? type;
          return to === undefined ? [] : [{ to: place(to.specifier), isType: code === undefined, isDynamic }];
        }),
      );
    }
  }
  return { modules, packages };
}

/** With all that it needs. */
function addPackage(key: string, all: Record<string, NpmPackage>, into: Map<string, NpmPackage>): void {
  const found = all[key];
  const name = `${found.name}@${found.version}`;
  if (into.has(name)) return;
  into.set(name, found);
  for (const dependency of found.dependencies) addPackage(dependency, all, into);
}

/** Groups of modules that import each other when they are loaded; types do not count, they leave no trace. */
export function importCycles(graph: ModuleGraph): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  // Tarjan's strongly connected components.
  const visit = (module: string) => {
    order.set(module, order.size);
    lowest.set(module, order.get(module)!);
    stack.push(module);
    for (const { to, isType, isDynamic } of graph.get(module) ?? []) {
      if (isType || isDynamic || !graph.has(to)) continue;
      if (!order.has(to)) {
        visit(to);
        lowest.set(module, Math.min(lowest.get(module)!, lowest.get(to)!));
      } else if (stack.includes(to)) {
        lowest.set(module, Math.min(lowest.get(module)!, order.get(to)!));
      }
    }
    if (lowest.get(module) !== order.get(module)) return;
    const group = stack.splice(stack.indexOf(module));
    if (group.length > 1) cycles.push(group.sort());
  };
  for (const module of graph.keys()) if (!order.has(module)) visit(module);
  return cycles;
}

/** Everything that is loaded together with `entry`, itself included. */
export function loadedWith(graph: ModuleGraph, entry: string): Set<string> {
  const loaded = new Set([entry]);
  for (const module of loaded) {
    for (const { to, isType, isDynamic } of graph.get(module) ?? []) {
      if (!isType && !isDynamic) loaded.add(to);
    }
  }
  return loaded;
}
