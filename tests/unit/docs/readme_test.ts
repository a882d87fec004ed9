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

Deno.test("README.md says of every package what it is for", async () => {
  const { imports }: { imports: Record<string, string> } = JSON.parse(await read("deno.json"));
  const text = await read("README.md");
  const table = text.slice(text.indexOf("## Dependencies"), text.indexOf("## Performance"));
  const packages = Object.keys(imports).filter((name) => !name.endsWith("/"));
  assert.deepEqual(packages.filter((name) => !table.includes(`\`${name}\``)), []);
});
