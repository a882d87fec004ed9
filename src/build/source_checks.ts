/** What is checked of the sources beyond format, lint and types. Each check returns its complaints. */
import { join } from "node:path";
import { importCycles, loadedWith, type ModuleGraph } from "./module_graph.ts";

export function cycleProblems(graph: ModuleGraph): string[] {
  return importCycles(graph).map((group) => `these import each other: ${group.join(", ")}`);
}

/** DESIGN: who may know whom. */
export function layerProblems(graph: ModuleGraph): string[] {
  const problems: string[] = [];
  for (const [module, imports] of graph) {
    const from = folderOf(module);
    for (const { to } of imports) {
      const into = folderOf(to);
      if (from === "config" && into !== null && into !== "config") {
        problems.push(`${module} imports ${to}: src/config imports no other folder`);
      }
      if (into === "runtime" && !["runtime", "cli"].includes(from ?? "")) {
        problems.push(`${module} imports ${to}: only src/cli and src/runtime import src/runtime`);
      }
      if (into === "proxy" && !["proxy", "runtime"].includes(from ?? "")) {
        problems.push(`${module} imports ${to}: only src/runtime imports src/proxy`);
      }
    }
  }
  return problems;
}

/** The folder of src that a module is in; null for one elsewhere. */
function folderOf(module: string): string | null {
  return /^src\/([^/]+)\//.exec(module)?.[1] ?? null;
}

/** Threads take the checked configuration as plain data: the library that checks it would cost each its memory. */
export function threadProblems(graph: ModuleGraph, threads: string[]): string[] {
  return threads.flatMap((thread) =>
    [...loadedWith(graph, thread)].filter((module) => /^npm:\/?zod@/.test(module))
      .map((module) => `${thread} loads ${module}: schemas are for the main thread`)
  );
}

/** Modules that no entry point reaches; a folder's `mod.ts` may be there for tests alone. */
export function unreachedProblems(graph: ModuleGraph, files: string[]): string[] {
  return files.filter((file) => !graph.has(file) && !file.endsWith("/mod.ts")).map((file) =>
    `${file} is imported by nothing`
  );
}

/** Names of `imports` in deno.json that no file imports. */
export function unusedPackageProblems(imports: Record<string, string>, texts: Map<string, string>): string[] {
  const all = [...texts.values()].join("\n");
  return Object.keys(imports).filter((name) => {
    const bare = name.replace(/\/$/, "");
    const used = name.endsWith("/") ? `"${bare}/` : `"${bare}"`;
    return !all.includes(`from ${used}`) && !all.includes(`import(${used}`) &&
      !all.includes(`import ${used}`) &&
      !isTypesFor(bare, all);
  }).map((name) => `deno.json imports ${name}, and no file does`);
}

/** `@types/ws` is named by a comment at the import of `ws`, or resolved for it. */
function isTypesFor(name: string, all: string): boolean {
  const typed = /^@types\/(.+)$/.exec(name)?.[1];
  return typed !== undefined && all.includes(`from "${typed}"`);
}

const EXPORTED_VALUE = /^export (?:async )?(?:const|let|function\*?|(?:abstract )?class) (\w+)/gm;
const EXPORTED_TYPE = /^export (?:interface|type) (\w+)/gm;

/**
 * Values of src that no other file names, and types that nothing names at all: one in the signature of an
 * exported function is exported rightly. Goes by words, so that a name of common words may pass.
 */
export function unusedExportProblems(texts: Map<string, string>): string[] {
  const users = new Map<string, number>();
  for (const text of texts.values()) {
    for (const word of new Set(text.match(/\w+/g))) users.set(word, (users.get(word) ?? 0) + 1);
  }
  const problems: string[] = [];
  for (const [path, text] of texts) {
    if (!path.startsWith("src/")) continue;
    const own = (pattern: RegExp) =>
      [...text.matchAll(pattern)].map(([, name]) => name).filter((name) => users.get(name) === 1);
    for (const name of own(EXPORTED_VALUE)) {
      problems.push(`${path} exports ${name}, and no other file names it`);
    }
    for (const name of own(EXPORTED_TYPE)) {
      if (text.match(new RegExp(`\\b${name}\\b`, "g"))!.length === 1) {
        problems.push(`${path} exports ${name}, and nothing names it`);
      }
    }
  }
  return problems;
}

/** Every text file of these folders with one of the endings, by its path. */
export async function readTexts(
  root: string,
  folders: string[],
  endings: RegExp,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const read = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(root, path))) {
      const inner = path === "" ? name : `${path}/${name}`;
      if (isDirectory) await read(inner);
      else if (endings.test(name)) texts.set(inner, await Deno.readTextFile(join(root, inner)));
    }
  };
  for (const folder of folders) await read(folder);
  return texts;
}
