import assert from "node:assert/strict";
import type { ModuleGraph } from "../../../src/build/module_graph.ts";
import { linkProblems } from "../../../src/build/doc_links.ts";
import {
  cycleProblems,
  layerProblems,
  threadProblems,
  unreachedProblems,
  unusedExportProblems,
  unusedPackageProblems,
} from "../../../src/build/source_checks.ts";

/** "a": ["b", "type c", "later d"] */
function graph(modules: Record<string, string[]>): ModuleGraph {
  return new Map(
    Object.entries(modules).map(([module, imports]) => [
      module,
      imports.map((text) => {
        const [to, kind] = text.split(" ").reverse();
        return { to, isType: kind === "type", isDynamic: kind === "later" };
      }),
    ]),
  );
}

Deno.test("cycleProblems names the modules of each cycle, and lets types and late imports be", () => {
  const found = graph({
    a: ["b"],
    b: ["c"],
    c: ["a", "d"],
    d: ["e"],
    e: ["type d"],
    f: ["g"],
    g: ["later f"],
    h: ["npm:x"],
  });
  assert.deepEqual(cycleProblems(found), ["these import each other: a, b, c"]);
});

Deno.test("layerProblems keeps config by itself, and the proxy and the runtime to those that may know them", () => {
  const right = graph({
    "src/config/a.ts": ["src/config/b.ts", "npm:zod@4"],
    "src/cli/run.ts": ["src/runtime/a.ts"],
    "src/runtime/a.ts": ["src/proxy/a.ts"],
  });
  assert.deepEqual(layerProblems(right), []);
  const wrong = graph({
    "src/config/a.ts": ["type src/http/a.ts"],
    "src/traffic/a.ts": ["src/runtime/a.ts"],
    "src/admin/a.ts": ["src/proxy/a.ts"],
  });
  assert.deepEqual(layerProblems(wrong).map((problem) => problem.split(":")[0]), [
    "src/config/a.ts imports src/http/a.ts",
    "src/traffic/a.ts imports src/runtime/a.ts",
    "src/admin/a.ts imports src/proxy/a.ts",
  ]);
});

Deno.test("threadProblems finds the schema library however deep a thread loads it", () => {
  const found = graph({
    "one_thread.ts": ["a"],
    a: ["b", "later c"],
    b: ["type npm:/zod@4.6.7"],
    c: ["npm:/zod@4.6.7"],
    "two_thread.ts": ["c"],
  });
  assert.deepEqual(threadProblems(found, ["one_thread.ts", "two_thread.ts"]), [
    "two_thread.ts loads npm:/zod@4.6.7: schemas are for the main thread",
  ]);
});

Deno.test("unused modules, packages, values and types are named, used ones are not", () => {
  assert.deepEqual(unreachedProblems(graph({ a: [] }), ["a", "b", "x/mod.ts"]), ["b is imported by nothing"]);
  const texts = new Map([
    [
      "src/a.ts",
      'import { z } from "zod";\nexport const used = 1;\nexport function alone() {}\n' +
      "export interface Options {}\nexport type Nothing = 1;\nexport function run(o: Options) {}\n",
    ],
    ["tests/b.ts", 'import { run, used } from "../src/a.ts";\nimport type { WebSocket } from "ws";\n'],
  ]);
  assert.deepEqual(
    unusedPackageProblems({ zod: "", jose: "", ws: "", "@types/ws": "", "hono/": "" }, texts),
    ["deno.json imports jose, and no file does", "deno.json imports hono/, and no file does"],
  );
  assert.deepEqual(unusedExportProblems(texts), [
    "src/a.ts exports alone, and no other file names it",
    "src/a.ts exports Nothing, and nothing names it",
  ]);
});

Deno.test("linkProblems knows files and headings, and leaves code and other sites alone", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dispa-links-" });
  try {
    await Deno.mkdir(`${folder}/docs`);
    const readme = [
      "# Start here",
      "[a](docs/A.md) [b](docs/A.md#what-it-is) [c](#start-here) [d](https://example.com/x) `[e](none.md)`",
      "```\n[f](none.md)\n```",
      "[g](docs/NONE.md) [h](docs/A.md#what-it-was) [i](#end)",
    ].join("\n");
    const other = "## What `it` is\n[back](../README.md)\n## 用法\n[x](#用法)\n";
    await Deno.writeTextFile(`${folder}/README.md`, readme);
    await Deno.writeTextFile(`${folder}/docs/A.md`, other);
    const documents = new Map([["README.md", readme], ["docs/A.md", other]]);
    assert.deepEqual(await linkProblems(folder, documents), [
      "README.md links to docs/NONE.md: there is no docs/NONE.md",
      "README.md links to docs/A.md#what-it-was: docs/A.md has no such heading",
      "README.md links to #end: README.md has no such heading",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
