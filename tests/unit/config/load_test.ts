import assert from "node:assert/strict";
import { join } from "node:path";
import { formatProblem, loadConfig } from "../../../src/config/mod.ts";
import { ONE_TARGET, withFolder } from "./support.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Loads a file of the given bytes; the outcome with the file's path shortened to FILE. */
async function load(bytes: Uint8Array): Promise<{ text: string | null; errors: string[] }> {
  let outcome: { text: string | null; errors: string[] } = { text: null, errors: [] };
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeFile(path, bytes);
    const result = await loadConfig(path, { environment: new Map() });
    outcome = result.ok ? { text: result.text, errors: [] } : {
      text: null,
      errors: result.problems.map((problem) => formatProblem(problem).replaceAll(path, "FILE")),
    };
  });
  return outcome;
}

Deno.test("loadConfig gives the configuration, the text and the path", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeTextFile(path, "zzz = 1\n" + ONE_TARGET);
    const result = await loadConfig(path, { environment: new Map() });
    assert.ok(result.ok);
    assert.equal(result.config.targets.targets[0].name, "t");
    assert.equal(result.text, "zzz = 1\n" + ONE_TARGET);
    assert.equal(result.path, path);
    assert.deepEqual(result.warnings.map(({ key, line, column }) => ({ key, line, column })), [
      { key: "zzz", line: 1, column: 1 },
    ]);
    const strict = await loadConfig(path, { environment: new Map(), strict: true });
    assert.equal(strict.ok, false);
  });
});

Deno.test("loadConfig accepts a byte order mark and CRLF, and counts lines and columns past them", async () => {
  assert.deepEqual(await load(encode("\ufeff" + ONE_TARGET)), { text: ONE_TARGET, errors: [] });
  const windows = ONE_TARGET.replaceAll("\n", "\r\n");
  assert.deepEqual(await load(encode(windows)), { text: windows, errors: [] });
  assert.deepEqual((await load(encode("\ufeff[server]\r\nworkers = 0\r\n" + windows))).errors, [
    "FILE:2:11 server.workers: found 0, wanted a whole number from 1 to 256",
  ]);
});

const bad: [title: string, bytes: Uint8Array, error: string][] = [
  [
    "an empty file",
    new Uint8Array(),
    "FILE:1:1 targets.targets: missing, wanted at least one [[targets.targets]] with a name and a url",
  ],
  [
    "UTF-16",
    new Uint8Array([0xff, 0xfe, 0x61, 0x00]),
    "FILE: the text is UTF-16, wanted UTF-8: save the file in that encoding",
  ],
  ["binary data", new Uint8Array([1, 2, 0, 3]), "FILE: found binary data, wanted a TOML file in UTF-8"],
  [
    "bytes that are not UTF-8",
    new Uint8Array([0x23, 0x0a, 0x23, 0xff, 0x0a]),
    "FILE:2:1: not valid UTF-8, wanted a TOML file in UTF-8",
  ],
  [
    "more than 4 MiB",
    new Uint8Array(4 * 1024 ** 2 + 1).fill(0x23),
    "FILE: larger than 4194304 bytes, which is the most a configuration file may have",
  ],
  ["text that is no TOML", encode("hello there\n"), "FILE:1:7: not valid TOML: illegal character in key"],
];

for (const [title, bytes, error] of bad) {
  Deno.test(`loadConfig refuses ${title} with one clear line`, async () => {
    assert.deepEqual((await load(bytes)).errors, [error]);
  });
}

Deno.test("loadConfig refuses a missing file, a directory and an endless device with one clear line", async () => {
  await withFolder(async (folder) => {
    const missing = join(folder, "missing.toml");
    const errors = async (path: string) => {
      const result = await loadConfig(path, { environment: new Map() });
      return result.ok ? [] : result.problems.map(formatProblem);
    };
    assert.deepEqual(await errors(missing), [
      `${missing}: cannot read the configuration file: there is no such file, "dispa init ${missing}" writes one`,
    ]);
    assert.deepEqual(await errors(folder), [`${folder}: found a directory, wanted a TOML file`]);
    assert.deepEqual(await errors("/dev/zero"), [
      "/dev/zero: larger than 4194304 bytes, which is the most a configuration file may have",
    ]);
  });
});
