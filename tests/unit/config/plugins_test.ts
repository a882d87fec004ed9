/** The settings of plugins: what passes, in which form, and what is said of what does not. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseHeaderName, parseHeaderValue } from "../../../src/config/header_fields.ts";
import { PLUGIN_SETTINGS } from "../../../src/config/plugins/mod.ts";
import { parsePathPrefix } from "../../../src/config/text_values.ts";
import { isFieldName, isFieldValue, isFramingField } from "../../../src/http/flat_headers.ts";
import { encodePath, matchingPath } from "../../../src/http/path.ts";
import { accepted, check, ONE_TARGET, withFolder } from "./support.ts";

/** A configuration with one plugin, on the first line. */
const one = (type: string, config: string, more = "") =>
  `plugins = { enabled = true, plugins = [{ name = "p", type = "${type}"${more}, config = ${config} }] }\n` +
  ONE_TARGET;

async function settingsOf(type: string, config: string, more = ""): Promise<unknown> {
  return (await accepted(one(type, config, more))).plugins.plugins[0].settings;
}

async function errorsOf(type: string, config: string, more = ""): Promise<string[]> {
  const { errors } = await check(one(type, config, more));
  return errors.map((error) => error.replace(/^x\.toml:1:\d+ plugins\.plugins\[0\]\./, ""));
}

Deno.test("settings of plugins come out checked, in one form, beside what the file has", async () => {
  const config = await accepted(
    one("HeaderInjector", '{ request_headers = { "X-Env" = "generated", B = "" } }'),
  );
  assert.deepEqual(config.plugins.plugins[0], {
    name: "p",
    type: "headerinjector",
    enabled: true,
    stage: "request",
    scope: "all",
    errorStrategy: "continue",
    config: { request_headers: { "X-Env": "generated", B: "" } },
    settings: {
      request_headers: [{ name: "x-env", value: "generated" }, { name: "b", value: "" }],
      response_headers: [],
    },
  });
  assert.deepEqual(structuredClone(config), config, "it can be posted to another thread");
});

const outcomes: [type: string, config: string, settings: unknown][] = [
  ["headeroverride", '{ remove_request_headers = ["Cookie", "x-a"] }', {
    request_headers: [],
    response_headers: [],
    remove_request_headers: ["cookie", "x-a"],
    remove_response_headers: [],
  }],
  ["blocklist", '{ hosts = ["A.de.", "*.B.de", "[0:0::1]", "10.0.0.1"], paths = ["/", "/a/b/"] }', {
    hosts: ["a.de", "*.b.de", "[::1]", "10.0.0.1"],
    paths: ["/", "/a/b"],
  }],
  ["pathrewrite", '{ from_prefix = "/old/", to_prefix = "/" }', { from_prefix: "/old", to_prefix: "/" }],
  ["hostrewrite", '{ host = "App.Internal:0443" }', { host: "app.internal:443" }],
  ["hostrewrite", '{ from = "*.A.de", to = "[::1]:80" }', { from: "*.a.de", host: "[::1]:80" }],
  ["hostrewrite", '{ to = "10.0.0.1" }', { host: "10.0.0.1" }],
];

for (const [type, config, settings] of outcomes) {
  Deno.test(`${type} takes ${config}`, async () =>
    assert.deepEqual(await settingsOf(type, config), settings));
}

const WANTED_PATH = 'wanted a path such as "/admin": it begins with "/", has no empty, "." or ".." parts';
const WANTED_HOST =
  'wanted a host such as "example.com", "*.example.com" (any subdomain) or "[::1]", without a port';
const WANTED_HOST_FIELD =
  'wanted a host with or without a port, such as "app.internal", "app.internal:8443" or "[::1]:80"';

const refusals: [type: string, config: string, errors: string[]][] = [
  ["headerinjector", '{ request_header = { a = "b" } }', [
    "config.request_header: unknown key, did you mean request_headers?",
  ]],
  [
    "headerinjector",
    '{ request_headers = { "a b" = "c", Host = "x", "d" = 3, e = "\\n" }, response_headers = { Transfer-Encoding = "chunked" } }',
    [
      'config.request_headers."a b": found "a b", wanted the name of a header: 1 to 256 letters, digits and any of ' +
      "!#$%&'*+-.^_`|~",
      'config.request_headers.Host: found "Host", wanted another header: the plugin hostrewrite sets host',
      "config.request_headers.d: found 3, wanted a header's value in quotes",
      'config.request_headers.e: found "\\n", wanted up to 8192 visible ASCII characters, spaces and tabs between them',
      'config.response_headers.Transfer-Encoding: found "Transfer-Encoding", wanted another header: only the proxy ' +
      "itself writes transfer-encoding",
    ],
  ],
  ["headerinjector", '{ request_headers = { x-a = "1", X-A = "2" } }', [
    'config.request_headers.X-A: found "2", wanted each header once: x-a is there in another spelling',
  ]],
  ["headeroverride", '{ remove_response_headers = ["content-length"], remove_request_headers = ["Host"] }', [
    'config.remove_response_headers[0]: found "content-length", wanted another header: only the proxy itself ' +
    "writes content-length",
    'config.remove_request_headers[0]: found "Host", wanted another header: the plugin hostrewrite sets host',
  ]],
  ["blocklist", '{ hosts = ["*", "a.*", "a:80"], paths = ["admin", "/a//b", "/../a", "/%61", "/a?b"] }', [
    `config.hosts[0]: found "*", ${WANTED_HOST}`,
    `config.hosts[1]: found "a.*", ${WANTED_HOST}`,
    `config.hosts[2]: found "a:80", ${WANTED_HOST}`,
    `config.paths[0]: found "admin", ${WANTED_PATH}`,
    `config.paths[1]: found "/a//b", ${WANTED_PATH}`,
    `config.paths[2]: found "/../a", ${WANTED_PATH}`,
    `config.paths[3]: found "/%61", ${WANTED_PATH}, and the characters themselves, not %-codes`,
    `config.paths[4]: found "/a?b", ${WANTED_PATH}, and no query, "#", backslash or control character`,
  ]],
  ["pathrewrite", "{}", [
    'config.from_prefix: missing, wanted a path in quotes, such as "/old"',
    'config.to_prefix: missing, wanted a path in quotes, such as "/old"',
  ]],
  ["hostrewrite", '{ host = "a:65536", from = "a:1" }', [
    `config.host: found "a:65536", ${WANTED_HOST_FIELD}`,
    `config.from: found "a:1", ${WANTED_HOST}`,
  ]],
  ["hostrewrite", '{ host = "::1" }', [`config.host: found "::1", ${WANTED_HOST_FIELD}`]],
  ["blocklist", '"x"', ['config: found "x", wanted a table']],
];

for (const [type, config, errors] of refusals) {
  Deno.test(`${type} does not take ${config}`, async () => {
    assert.deepEqual((await errorsOf(type, config)).sort(), errors.sort());
  });
}

Deno.test("an error in settings points at its line and column", async () => {
  const { errors } = await check(
    `[plugins]\n[[plugins.plugins]]\nname = "p"\ntype = "pathrewrite"\nconfig = {\n  from_prefix = "/a",\n  to_prefix = "b",\n}\n${ONE_TARGET}`,
  );
  assert.deepEqual(errors, [`x.toml:7:15 plugins.plugins[0].config.to_prefix: found "b", ${WANTED_PATH}`]);
});

Deno.test("settings are checked although something else of the plugin is wrong, and though it is switched off", async () => {
  const text =
    'plugins.plugins = [{ name = "", type = "path_rewrite", enabled = false, config.from_prefix = "a" }]\n';
  const { errors } = await check(text + ONE_TARGET);
  assert.deepEqual(errors.map((error) => error.split(": ", 2)[0].split(" ")[1]), [
    "plugins.plugins[0].name",
    "plugins.plugins[0].config.to_prefix",
    "plugins.plugins[0].config.from_prefix",
  ]);
});

Deno.test("a secret in a header is not repeated when its value is refused", async () => {
  const errors = await errorsOf(
    "headerinjector",
    '{ request_headers = { authorization = "Bearer ge\\nheim" } }',
  );
  assert.deepEqual(errors, [
    "config.request_headers.authorization: found a secret value, wanted up to 8192 visible ASCII characters, spaces " +
    "and tabs between them",
  ]);
});

Deno.test("a plugin that does nothing on responses is not taken for the stage response", async () => {
  for (const [type, config] of [["blocklist", "{}"], ["hostrewrite", '{ host = "a" }']]) {
    assert.deepEqual(await errorsOf(type, config, ', stage = "response"'), [
      `stage: found "response", wanted "request": ${type} does nothing on responses`,
    ]);
    await settingsOf(type, config, ', stage = "both"');
  }
});

Deno.test("headers for a stage at which the plugin does not run are warned of", async () => {
  const headers = '{ request_headers = { a = "1" }, response_headers = { b = "2" } }';
  const warningsAt = async (stage: string) =>
    (await check(one("headerinjector", headers, `, stage = "${stage}"`))).warnings.map((text) =>
      text.replace(/^\S+ /, "")
    );
  assert.deepEqual(await warningsAt("request"), [
    'plugins.plugins[0].config.response_headers: not used at the stage request, wanted stage = "both"',
  ]);
  assert.deepEqual(await warningsAt("response"), [
    'plugins.plugins[0].config.request_headers: not used at the stage response, wanted stage = "both"',
  ]);
  assert.deepEqual(await warningsAt("both"), []);
});

Deno.test("an unknown type is refused, and the known ones are named", async () => {
  const { errors } = await check(`plugins.plugins = [{ name = "p", type = "zzz" }]\n${ONE_TARGET}`);
  assert.deepEqual(errors, [
    `x.toml:1:41 plugins.plugins[0].type: found "zzz", wanted one of ${
      Object.keys(PLUGIN_SETTINGS).join(", ")
    }`,
  ]);
});

const name = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.stringMatching(/^[a-zA-Z0-9-]{1,8}$/),
  fc.constantFrom("Connection", "te", "UPGRADE", "trailer", "expect", "Keep-Alive", "http2-settings"),
  fc.constantFrom("content-length", "proxy-connection", "transfer-encoding", "content-type", "date"),
);

Deno.test("a header that settings may name is one that a message may be given", () => {
  fc.assert(fc.property(name, (text) => {
    assert.equal(parseHeaderName(text).ok, isFieldName(text) && !isFramingField(text.toLowerCase()));
  }));
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
    if (parseHeaderValue(text).ok) assert.ok(isFieldValue(text));
  }));
});

Deno.test("a path that settings may name is its own matching form, so that it can match", () => {
  const segment = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 6 }),
    fc.constantFrom("", ".", "..", "%41", "%", "a b", "é"),
  );
  const path = fc.array(segment, { maxLength: 4 }).map((segments) => "/" + segments.join("/"));
  fc.assert(fc.property(path, (text) => {
    const parsed = parsePathPrefix(text);
    if (parsed.ok) assert.equal(matchingPath(encodePath(parsed.value)), parsed.value);
  }));
});

Deno.test("a plugin's module that cannot be read, or is no WebAssembly, is an error with its line; a missing one a warning", async () => {
  await withFolder(async (folder) => {
    const text = (type: string, key: string, file: string, more = "") =>
      `${ONE_TARGET}[plugins]\nenabled = true\n[[plugins.plugins]]\nname = "p"\ntype = "${type}"\n${more}` +
      `[plugins.plugins.config]\n${key} = "${folder}/${file}"\n`;
    await Deno.writeTextFile(`${folder}/text.wasm`, "(module)");
    await Deno.writeFile(`${folder}/empty.wasm`, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    await Deno.writeTextFile(`${folder}/plugin.js`, "export function onRequest() {}\n");
    await Deno.mkdir(`${folder}/folder.js`);
    const errorsOf = async (...parts: Parameters<typeof text>) => (await check(text(...parts))).errors;
    const warningsOf = async (...parts: Parameters<typeof text>) => (await check(text(...parts))).warnings;
    const at = (key: string) =>
      new RegExp(`^x\\.toml:\\d+:\\d+ plugins\\.plugins\\[0\\]\\.config\\.${key}: `);
    const cases: [type: string, key: string, file: string, problem: RegExp][] = [
      ["wasm", "module_path", "text.wasm", /".*\/text\.wasm" is not a WebAssembly module$/],
      ["script", "module", "folder.js", /cannot read ".*\/folder\.js": it is no file$/],
    ];
    for (const [type, key, file, problem] of cases) {
      const errors = await errorsOf(type, key, file);
      assert.equal(errors.length, 1, file);
      assert.match(errors[0], at(key));
      assert.match(errors[0], problem);
      // One that does not run needs no module.
      assert.deepEqual(await errorsOf(type, key, file, "enabled = false\n"), []);
    }
    // It may still have to be built.
    for (const [type, key] of [["wasm", "module_path"], ["script", "module"]]) {
      assert.deepEqual(await errorsOf(type, key, "none"), []);
      const [warning] = await warningsOf(type, key, "none");
      assert.match(warning, at(key));
      assert.match(warning, /there is no file ".*\/none", without which Dispa does not start$/);
    }
    assert.deepEqual(await errorsOf("wasm", "module_path", "empty.wasm"), []);
    assert.deepEqual(await errorsOf("script", "module", "plugin.js"), []);
  });
});
