import assert from "node:assert/strict";
import { join } from "node:path";
import { printConfig } from "../../../src/config/mod.ts";
import { accepted, check, ONE_TARGET, withFolder } from "./support.ts";

const pages = (...lines: string[]) =>
  lines.map((line) => `[[error_pages.pages]]\n${line}\n`).join("") + ONE_TARGET;

Deno.test("a page's file is read with the configuration, its type known by its ending", async () => {
  await withFolder(async (folder) => {
    const endings = { "a.html": "text/html; charset=utf-8", "b.JSON": "application/json" };
    for (const [name, contentType] of Object.entries(endings)) {
      const file = join(folder, name);
      await Deno.writeTextFile(file, "<p>{message} é</p>");
      const config = await accepted(pages(`status = [404]\nfile = "${file}"`));
      const page = { statuses: [404], file, text: "<p>{message} é</p>", contentType };
      assert.deepEqual(config.errorPages.pages, [page]);
      assert.deepEqual((await accepted(printConfig(config))).errorPages, config.errorPages);
    }
  });
  const { errorPages } = await accepted(pages('status = [404]\ntext = "x"'));
  assert.equal(errorPages.pages[0].contentType, "text/plain; charset=utf-8");
});

Deno.test("a file that is missing, no file, too long or no text is refused with its place", async () => {
  await withFolder(async (folder) => {
    await Deno.writeFile(join(folder, "latin1"), new Uint8Array([0x63, 0xe9]));
    await Deno.writeFile(join(folder, "long"), new Uint8Array(65_537));
    const reasons = {
      none: /cannot use ".*none": No such file/,
      "": /cannot use ".*": it is no file/,
      latin1: /it is not UTF-8/,
      long: /it has 65537 bytes, wanted at most 65536/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      const { errors } = await check(pages(`status = [404]\nfile = "${join(folder, name)}"`));
      assert.equal(errors.length, 1);
      assert.match(errors[0], /^x\.toml:3:8 error_pages\.pages\[0\]\.file: /);
      assert.match(errors[0], reason);
    }
  });
});

Deno.test("pages that are none, or two for one status, are refused", async () => {
  const { errors } = await check(pages(
    'status = [404, 200, "3xx"]\ntext = "x"',
    'status = [404]\ntext = "y"\nfile = "z"',
    "status = []",
    'status = ["5xx"]\ntext = "x"\ncontent_type = "html\\r\\nx: y"',
  ));
  const wanted = 'wanted a status from 400 to 599, "4xx" or "5xx"';
  assert.deepEqual(errors.map((line) => line.replace(/^x\.toml:\d+:\d+ error_pages\./, "")).toSorted(), [
    "pages[0].status[1]: found 200, wanted a status from 400 to 599",
    `pages[0].status[2]: found "3xx", ${wanted}`,
    "pages[1]: found file and text, wanted one of them",
    "pages[2].status: found a list of 0 entries, wanted at least one status",
    "pages[2]: missing, wanted file or text",
    'pages[3].content_type: found "html\\r\\nx: y", wanted a media type such as "text/html; charset=utf-8"',
  ]);
  const twice = await check(pages('status = [404, "4xx"]\ntext = "x"', 'status = ["4xx"]\ntext = "y"'));
  assert.deepEqual(twice.errors, [
    'x.toml:5:11 error_pages.pages[1].status[0]: found "4xx" again after error_pages.pages[0].status[1], wanted one page for it',
  ]);
});
