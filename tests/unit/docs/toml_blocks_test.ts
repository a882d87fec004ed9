/** Every configuration that a document shows loads, without a warning, and so strictly. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Authority } from "../../support/certificates.ts";
import { check, ONE_TARGET, withFolder } from "../config/support.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));

const DOCUMENTS = [
  ...["README.md", "README.zh-CN.md", "SECURITY.md", "CHANGELOG.md"],
  ...[...Deno.readDirSync(join(root, "docs"))].map(({ name }) => `docs/${name}`),
].filter((path) => path.endsWith(".md")).sort();

/** What the documents name as `${NAME}`. */
const VARIABLES = {
  API_KEY: "0123456789abcdef0123456789abcdef",
  JWT_SECRET: "0123456789abcdef0123456789abcdef",
  DISPA_DB_PASSWORD: "correct-horse",
  REDIS_PASSWORD: "battery-staple",
};

/** Where the documents' certificates, keys and pages are. */
const FILES_FOLDER = "/etc/dispa/";

interface Block {
  text: string;
  line: number;
}

/** A block behind this comment goes on from the one before it. */
const GOES_ON = /<!-- A fragment: it goes on from the file above\. -->\n+$/;

function tomlBlocks(document: string): Block[] {
  const blocks: Block[] = [];
  for (const match of document.matchAll(/^```toml\n(.*?)^```$/gms)) {
    const before = document.slice(0, match.index);
    const text = GOES_ON.test(before) ? `${blocks.at(-1)?.text}\n${match[1]}` : match[1];
    blocks.push({ text, line: before.split("\n").length });
  }
  return blocks;
}

/** As many blocks as there are fences: one that is indented or has no end must not be passed over. */
function fences(document: string): number {
  return document.split("```toml").length - 1;
}

/** Makes every file that the text names in FILES_FOLDER, in `folder`. */
async function withFiles(text: string, folder: string): Promise<string> {
  const names = new Set([...text.matchAll(/"\/etc\/dispa\/([\w.-]+)"/g)].map(([, name]) => name));
  if (names.size === 0) return text;
  const authority = await Authority.make(folder);
  const { certPath, keyPath } = await authority.leaf({ names: ["localhost"] });
  for (const name of names) {
    const file = join(folder, name);
    if (name.endsWith(".html")) await Deno.writeTextFile(file, "<h1>{status}</h1>");
    else await Deno.copyFile(name.endsWith(".key") ? keyPath : certPath, file);
  }
  return text.replaceAll(FILES_FOLDER, `${folder}/`);
}

/** A block that is about something else has no target. */
function whole(text: string): string {
  return /^\[\[targets\.targets\]\]$/m.test(text) ? text : `${text}\n${ONE_TARGET}`;
}

for (const path of DOCUMENTS) {
  const document = await Deno.readTextFile(join(root, path));
  const blocks = tomlBlocks(document);
  Deno.test(`${path}: every configuration it shows loads without a warning`, async () => {
    assert.equal(blocks.length, fences(document), "blocks of TOML found");
    await withFolder(async (folder) => {
      for (const { text, line } of blocks) {
        const { errors, warnings } = await check(await withFiles(whole(text), folder), VARIABLES);
        assert.deepEqual({ errors, warnings }, { errors: [], warnings: [] }, `${path}:${line}`);
      }
    });
  });
}

Deno.test("the guides show configurations", async () => {
  const counts = await Promise.all(
    [
      ...["README.md", "README.zh-CN.md", "docs/SECURITY.md", "docs/ROUTING.md", "docs/QUICKSTART.md"],
      ...["docs/USER_MANUAL_EN.md", "docs/USER_MANUAL.md", "docs/MIGRATION.md"],
    ].map(async (path) => tomlBlocks(await Deno.readTextFile(join(root, path))).length),
  );
  assert.ok(counts.every((count) => count > 0), `blocks found: ${counts.join(", ")}`);
});
