import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { billOfMaterials, licencesDocument, shippedPackages } from "../../../src/build/packages.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Licences that ask for no more than to be passed on with the program. */
const PERMISSIVE = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "BlueOak-1.0.0"];

Deno.test("what is shipped is what the program, its threads and the console load, under permissive licences", async () => {
  const packages = await shippedPackages(ROOT);
  const names = packages.map(({ name }) => name);
  for (const name of ["hono", "ioredis", "denque", "postgres", "preact", "zod"]) {
    assert.ok(names.includes(name), name);
  }
  for (const name of ["fast-check", "playwright-core", "ws", "ajv"]) assert.ok(!names.includes(name), name);
  assert.deepEqual(
    packages.filter(({ licence }) => !PERMISSIVE.includes(licence)).map(({ name }) => name),
    [],
  );
  for (const { name, sha512 } of packages) assert.match(sha512, /^[0-9a-f]{128}$/, name);
});

const PACKAGES = [
  {
    name: "@a/b",
    version: "1.0.0",
    licence: "MIT",
    texts: ["Copyright A"],
    sha512: "00",
    dependencies: ["c@2.0.0"],
  },
  { name: "c", version: "2.0.0", licence: "Unlicense", texts: [], sha512: "11", dependencies: [] },
];

Deno.test("the bill of materials names the runtime and every package with licence, hash and dependencies", () => {
  const bill = billOfMaterials("0.1.0", "2.9.6", PACKAGES) as {
    components: { "bom-ref": string }[];
    dependencies: { ref: string; dependsOn: string[] }[];
  };
  const references = bill.components.map((component) => component["bom-ref"]);
  assert.deepEqual(references, [
    "pkg:github/denoland/deno@v2.9.6",
    "pkg:npm/%40a/b@1.0.0",
    "pkg:npm/c@2.0.0",
  ]);
  assert.deepEqual(bill.dependencies, [
    { ref: "pkg:generic/dispa@0.1.0", dependsOn: references.slice(0, 2) },
    { ref: "pkg:npm/%40a/b@1.0.0", dependsOn: ["pkg:npm/c@2.0.0"] },
    { ref: "pkg:npm/c@2.0.0", dependsOn: [] },
  ]);
});

Deno.test("the list of licences has each text, and says where there is none", () => {
  const text = licencesDocument(PACKAGES);
  assert.match(text, /^\| `@a\/b` \| 1\.0\.0 \| MIT \|$/m);
  assert.match(text, /^## @a\/b 1\.0\.0\n\n~~~text\nCopyright A\n~~~$/m);
  assert.match(text, /^## c 2\.0\.0\n\nUnlicense; the package comes without a text\.$/m);
});
