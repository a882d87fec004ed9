/** The code and the files that the guides for developers show are those that there are. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readDocument, ROOT } from "../../support/documents.ts";

/** The formatter of documents moves code to the margin. */
const unindented = (code: string) => code.replace(/^ +/gm, "");

for (const path of ["docs/PLUGINS.md", "docs/DEVELOPMENT.md"]) {
  const text = readDocument(path);

  Deno.test(`${path}: the code is that of the file it names`, async () => {
    const named = [...text.matchAll(/^`([a-z_/]+\.ts)`[^\n]*:\n\n```ts\n(.*?)^```$/gms)];
    assert.ok(named.length >= 3);
    assert.equal(named.length, text.split("```ts\n").length - 1, "every block has its file");
    for (const [, file, code] of named) {
      const source = await Deno.readTextFile(join(ROOT, file));
      assert.ok(unindented(source).includes(unindented(code)), `${file} does not hold\n${code}`);
    }
  });

  Deno.test(`${path}: the files and folders that it names are there`, async () => {
    const paths = new Set(
      [...text.matchAll(/`((?:src|tests|bench|examples|config|\.ci)\/[\w/.-]+)`/g)].map(([, path]) => path),
    );
    assert.ok(paths.size > 5);
    for (const path of paths) await Deno.stat(join(ROOT, path));
  });

  Deno.test(`${path}: what it says stands in a file stands there`, async () => {
    const pairs = [...text.matchAll(/`(src\/[\w/]+\.ts)` `(?:\w+\.)?#?(\w+)`/g)];
    for (const [, file, name] of pairs) {
      assert.match(
        await Deno.readTextFile(join(ROOT, file)),
        new RegExp(`\\b${name}\\b`),
        `${file}: ${name}`,
      );
    }
  });
}

Deno.test("docs/DEVELOPMENT.md names every folder of src", () => {
  const text = readDocument("docs/DEVELOPMENT.md");
  for (const { name, isDirectory } of Deno.readDirSync(join(ROOT, "src"))) {
    if (isDirectory) assert.match(text, new RegExp(`^src/${name}/ `, "m"));
  }
});
