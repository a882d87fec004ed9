/**
 * The part of `deno task check` that Deno has no command for: import cycles, who may import whom, code,
 * exports and packages that nothing uses, links in the documents. Prints each complaint, exits with 1 if any.
 */
import { fileURLToPath } from "node:url";
import { threadModules } from "./compile.ts";
import { linkProblems } from "./doc_links.ts";
import { readGraph } from "./module_graph.ts";
import {
  cycleProblems,
  layerProblems,
  readTexts,
  threadProblems,
  unreachedProblems,
  unusedExportProblems,
  unusedPackageProblems,
} from "./source_checks.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What is run by its name: the program, its threads, the console in a browser, and the tasks. */
const ENTRIES = [
  "main.ts",
  "src/admin/console/main.tsx",
  "src/admin/console_build.ts",
  "src/build/check.ts",
  "src/build/compile.ts",
  "src/build/docs.ts",
  "src/build/release.ts",
];

if (import.meta.main) {
  const threads = await threadModules();
  const { modules } = await readGraph(ROOT, [...ENTRIES, ...threads]);
  const sources = await readTexts(ROOT, ["src", "tests", "bench", "examples"], /\.tsx?$/);
  sources.set("main.ts", await Deno.readTextFile(`${ROOT}main.ts`));
  const documents = await readTexts(ROOT, ["docs", ".github"], /\.md$/);
  for await (const { name } of Deno.readDir(ROOT)) {
    if (name.endsWith(".md")) documents.set(name, await Deno.readTextFile(`${ROOT}${name}`));
  }
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const problems = [
    ...cycleProblems(modules),
    ...layerProblems(modules),
    ...threadProblems(modules, threads),
    ...unreachedProblems(modules, [...sources.keys()].filter((path) => path.startsWith("src/"))),
    ...unusedPackageProblems(imports, sources),
    ...unusedExportProblems(sources),
    ...await linkProblems(ROOT, documents),
  ];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
}
