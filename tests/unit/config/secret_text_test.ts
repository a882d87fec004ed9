/** Secrets in the text of a configuration: masked, and put back. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { parse } from "smol-toml";
import { maskSecrets, maskTree, unmaskSecrets } from "../../../src/config/secret_text.ts";
import { TextEdits } from "../../../src/config/text_edits.ts";

const fingerprint = (secret: string) => createHash("sha256").update(secret).digest("hex").slice(0, 8);
const MASKED = /\*{8}[0-9a-f]{8}/;

async function masked(text: string): Promise<string> {
  const result = await maskSecrets(text, fingerprint);
  assert.ok(result !== null, text);
  parse(result);
  return result;
}

for (
  const text of [
    'password = "SECRET"',
    "password = 'SECRET'",
    'password = """\nSECRET\n"""',
    '[security.jwt]\nsecret = "SECRET"',
    '[security.auth]\nkeys = ["SECRET", "x"]',
    '[[plugins.plugins]]\nconfig = { env = { A = "SECRET" } }',
    '[[plugins.plugins]]\nconfig = { request_headers = { Authorization = "Bearer SECRET" } }',
    '[[plugins.plugins]]\nconfig.request_headers.cookie = "id=SECRET"',
    'headers = [{ name = "x-api-key", value = "SECRET" }]',
    'headers = [{ value = ["SECRET"], name = "Authorization" }]',
    'api_key = "SECRET"',
    '"x-auth-token" = "SECRET"',
    'url = "postgresql://user:SECRET@host/db"',
    'url = "postgresql://user:p@ss/SECRET@host/db"',
    'url = "postgresql://host/db?password=SECRET"',
    'url = "postgresql://user:${USER}SECRET@host/db"',
    'password = "${NAME:-SECRET}"',
    '# password = "SECRET"',
    "a = 1 # api_key = 'SECRET'",
    "# url = 'postgresql://user:SECRET@host/db'",
  ]
) {
  Deno.test(`the secret is masked, and comes back, in ${JSON.stringify(text)}`, async () => {
    const shown = await masked(text);
    assert.ok(!shown.includes("SECRET"), shown);
    assert.match(shown, MASKED);
    const back = await unmaskSecrets(shown, text, fingerprint);
    assert.equal(back!.edits.text(), text);
    assert.deepEqual(back!.unknown, []);
  });
}

Deno.test("what is no secret is shown as it is", async () => {
  for (
    const text of [
      'key_file = "/etc/tls.key"',
      'cookie = "session"\nheader_name = "x-api-key"',
      'headers = [{ name = "accept", value = "text/html" }]',
      'password = ""',
      'password = "${DB_PASSWORD}"',
      'url = "postgresql://user:${DB_PASSWORD}@host/db"',
      'url = "http://127.0.0.1:3000/a"',
      "[security.jwt]\ncache_enabled = true",
      "# a comment about passwords and tokens",
    ]
  ) assert.equal(await masked(text), text);
});

Deno.test("masks follow their entries when those are moved", async () => {
  const text = '[[t]]\npassword = "one"\n[[t]]\npassword = "two"\n';
  const [first, second] = (await masked(text)).split(/(?=\[\[t)/);
  const back = await unmaskSecrets(second + first, text, fingerprint);
  assert.equal(back!.edits.text(), '[[t]]\npassword = "two"\n[[t]]\npassword = "one"\n');
});

Deno.test("any values under any secret key come back byte for byte", async () => {
  const name = fc.constantFrom("password", "api_key", "secret", "plain", "url");
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(name, fc.string({ unit: "grapheme" })), { selector: ([key]) => key }),
      async (pairs) => {
        const text = pairs.map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("");
        const shown = await maskSecrets(text, fingerprint);
        // A string of JSON is one of TOML but for the control character DEL.
        fc.pre(shown !== null);
        const back = await unmaskSecrets(shown, text, fingerprint);
        assert.deepEqual([back!.edits.text(), back!.unknown], [text, []]);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("in plain data secrets are masked by the same rules", () => {
  const tree = {
    security: { auth: { enabled: true, keys: ["k1", "k2"] }, jwt: { secret: "s" } },
    headers: [{ name: "authorization", value: "v" }],
    url: "postgresql://u:p@h/d",
    note: "holds VALUE inside",
  };
  assert.deepEqual(maskTree(tree, ["VALUE"]), {
    security: { auth: { enabled: true, keys: ["********", "********"] }, jwt: { secret: "********" } },
    headers: [{ name: "authorization", value: "********" }],
    url: "postgresql://u:********@h/d",
    note: "********",
  });
});

Deno.test("a position after replacements is told as it was before them", () => {
  const edits = new TextEdits("a = X\nb = Y # end\nc = 1\n");
  edits.replace(4, 5, '"""\n1\n2"""');
  edits.replace(10, 11, "long");
  const after = edits.text();
  for (const [what, line, column] of [["# end", 2, 7], ["c = 1", 3, 1]] as const) {
    const before = after.slice(0, after.indexOf(what));
    const lines = before.split("\n");
    const position = edits.originalPosition(lines.length, lines.at(-1)!.length + 1);
    assert.deepEqual(position, { line, column }, what);
  }
});
