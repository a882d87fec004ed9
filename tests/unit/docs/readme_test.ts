/** What both READMEs list is all there is. */
import assert from "node:assert/strict";
import { ERROR_STATUS } from "../../../src/http/refusal.ts";

const read = (name: string) => Deno.readTextFile(new URL(`../../../${name}`, import.meta.url));

/** No client reads it: the README speaks of it beside the table. */
const WITHOUT_A_ROW = ["client_gone"];

for (const name of ["README.md", "README.zh-CN.md"]) {
  Deno.test(`${name} lists every x-dispa-error code with its status, and no other`, async () => {
    const rows = [...(await read(name)).matchAll(/^\| (\d{3}) +\| ((?:`\w+`[、, ]*)+) *\|/gm)];
    const listed = rows.flatMap(([, status, codes]) =>
      [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => `${status} ${code}`)
    );
    const there = Object.entries(ERROR_STATUS).filter(([code]) => !WITHOUT_A_ROW.includes(code))
      .map(([code, status]) => `${status} ${code}`);
    assert.deepEqual(listed.sort(), there.sort());
  });
}

for (const [name, heading] of [["README.md", "## Dependencies"], ["README.zh-CN.md", "## 依赖"]]) {
  Deno.test(`${name} says of every package what it is for, and of no other`, async () => {
    const { imports }: { imports: Record<string, string> } = JSON.parse(await read("deno.json"));
    const table = section(await read(name), heading);
    const packages = new Set(Object.keys(imports).map((key) => /^(@[^/]+\/[^/]+|[^/]+)/.exec(key)![0]));
    const rows = table.split("\n").filter((line) => line.startsWith("|"));
    const used = rows.flatMap((row) => [...row.split("|")[2].matchAll(/`([^`]+)`/g)].map(([, code]) => code));
    const builtIn = ["node:util", "node:sqlite", "parseArgs"];
    assert.deepEqual(used.filter((code) => !builtIn.includes(code)).sort(), [...packages].sort());
  });

  Deno.test(`${name} has the figures of docs/PERFORMANCE.md`, async () => {
    const cells = (line: string) => line.split("|").map((cell) => cell.trim()).filter((cell) => cell !== "");
    const rowsOf = (text: string) => {
      const [head, , ...rows] = text.slice(text.indexOf("| `small`")).split("\n\n")[0].split("\n").map(cells);
      return new Map(
        rows.map((row) => [row[0], new Map(row.slice(1).map((cell, at) => [head[at + 1], cell]))]),
      );
    };
    const measured = rowsOf(await read("docs/PERFORMANCE.md"));
    const shown = rowsOf(await read(name));
    assert.ok(shown.size >= 4, `${shown.size} rows`);
    for (const [proxy, figures] of shown) {
      for (const [column, figure] of figures) {
        assert.equal(figure, measured.get(proxy)?.get(column), `${proxy}: ${column}`);
      }
    }
  });
}

function section(text: string, heading: string): string {
  const from = text.indexOf(`${heading}\n`);
  assert.notEqual(from, -1, `there is no ${heading}`);
  const to = text.indexOf("\n## ", from + 1);
  return text.slice(from, to === -1 ? undefined : to);
}
