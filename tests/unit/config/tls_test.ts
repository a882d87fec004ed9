/** `[tls]`, the certificates of `[http_client]`, and the files that both name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Authority } from "../../support/certificates.ts";
import { accepted, check, ONE_TARGET, withFolder } from "./support.ts";

/** `check` with the folder's path taken out of what it says. */
async function checkIn(folder: string, text: string): Promise<{ errors: string[]; warnings: string[] }> {
  const { errors, warnings } = await check(text + ONE_TARGET);
  const short = (lines: string[]) => lines.map((line) => line.replaceAll(`${folder}/`, ""));
  return { errors: short(errors), warnings: short(warnings) };
}

Deno.test("a certificate that is named is used, unless enabled says otherwise", async () => {
  await withFolder(async (folder) => {
    const { certPath, keyPath } = await (await Authority.make(folder)).leaf({ names: ["a.test"] });
    const pair = `[tls]\ncert_file = "${certPath}"\nkey_file = "${keyPath}"\n`;
    const { tls } = await accepted(pair + ONE_TARGET);
    assert.deepEqual([tls.enabled, tls.port, tls.plainHttp, tls.redirectPort], [true, 8443, true, 8443]);
    assert.deepEqual(tls.defaultCertificate, { certPath, keyPath });
    assert.equal((await accepted(`${pair}enabled = false\n${ONE_TARGET}`)).tls.enabled, false);
    const only = await accepted(`${pair}plain_http = false\nport = 8080\n${ONE_TARGET}`);
    assert.equal(only.tls.plainHttp, false);
  });
});

Deno.test("certificates that are missing, unreadable, not one, or of another key are errors", async () => {
  await withFolder(async (folder) => {
    const authority = await Authority.make(folder);
    const one = await authority.leaf({ names: ["one"] });
    const two = await authority.leaf({ names: ["two"] });
    Deno.writeTextFileSync(join(folder, "text"), "hello");
    Deno.writeTextFileSync(join(folder, "torn.pem"), Deno.readTextFileSync(one.certPath).slice(0, 300));
    await new Deno.Command("openssl", {
      args: ["pkcs8", "-topk8", "-in", one.keyPath, "-passout", "pass:x", "-out", join(folder, "locked.key")],
    }).output();
    const tls = (cert: string, key: string) =>
      checkIn(folder, `[tls]\ncert_file = "${join(folder, cert)}"\nkey_file = "${join(folder, key)}"\n`);
    const cases: [cert: string, key: string, expected: string][] = [
      ["none.pem", "one.key", '2:13 tls.cert_file: cannot read "none.pem": there is no such file'],
      ["one.pem", "none.key", '3:12 tls.key_file: cannot read "none.key": there is no such file'],
      [
        "text",
        "one.key",
        '2:13 tls.cert_file: "text" holds nothing that can be read as a certificate, wanted PEM',
      ],
      [
        "torn.pem",
        "one.key",
        '2:13 tls.cert_file: "torn.pem" holds nothing that can be read as a certificate, wanted PEM',
      ],
      [
        "one.pem",
        "text",
        '3:12 tls.key_file: "text" holds nothing that can be read as a private key, wanted PEM',
      ],
      [
        "one.pem",
        "two.key",
        '3:12 tls.key_file: "two.key" is the key of another certificate, wanted that of "one.pem"',
      ],
      [
        "one.pem",
        "locked.key",
        '3:12 tls.key_file: "locked.key" has a passphrase, wanted a private key without one',
      ],
      ["two.pem", "two.key", ""],
    ];
    for (const [cert, key, expected] of cases) {
      const { errors } = await tls(cert, key);
      assert.deepEqual(errors, expected === "" ? [] : [`x.toml:${expected}`]);
    }
    assert.ok(two.keyPath.endsWith("two.key"));
  });
});

Deno.test("a certificate that is too old and a key that all can read are warnings", async () => {
  await withFolder(async (folder) => {
    const { certPath, keyPath } = await (await Authority.make(folder)).leaf({ names: ["old"], days: -1 });
    Deno.chmodSync(keyPath, 0o644);
    const { errors, warnings } = await checkIn(
      folder,
      `[[tls.certificates]]\ndomain = "old"\ncert_path = "${certPath}"\nkey_path = "${keyPath}"\n`,
    );
    assert.deepEqual(errors, []);
    assert.match(
      warnings[0],
      /^x\.toml:3:13 tls\.certificates\[0\]\.cert_path: the certificate in "old\.pem" expired at 20/,
    );
    assert.equal(
      warnings[1],
      'x.toml:4:12 tls.certificates[0].key_path: every user of this machine can read "old.key": chmod o-r it',
    );
  });
});

const refused: [title: string, text: string, expected: string[]][] = [
  ["HTTPS without a certificate", "[tls]\nenabled = true\n", [
    "x.toml:2:11 tls.enabled: found true, wanted cert_file and key_file beside it",
  ]],
  ["no HTTP at all", "[tls]\nplain_http = false\n", [
    "x.toml:2:14 tls.plain_http: found false, wanted tls.enabled beside it",
  ]],
  ["a certificate without its key", '[tls]\ncert_path = "a"\n[http_client]\nclient_key_file = "b"\n', [
    "x.toml:2:13 tls.cert_path: found without key_file, wanted both",
    "x.toml:4:19 http_client.client_key_file: found without client_cert_file, wanted both",
  ]],
  [
    "what the runtime cannot do",
    '[tls]\nclient_auth = "required"\nmin_version = "1.3"\nmin_versoin = "1.2"\n',
    [
      "x.toml:2:1 tls.client_auth: asking clients for a certificate is not possible: the runtime's TLS listener " +
      "has no such setting, leave it out",
      'x.toml:3:15 tls.min_version: found "1.3", wanted "1.2": the runtime cannot refuse TLS 1.2 to clients that ' +
      "want it",
      "x.toml:4:1 tls.min_versoin: unknown key, did you mean min_version?",
    ],
  ],
  ["a target's certificate left unchecked", "[http_client]\ninsecure_skip_verify = true\n", [
    "x.toml:2:24 http_client.insecure_skip_verify: found true, wanted false: the runtime cannot leave out the " +
    "check of a target's certificate for single connections; name the authority that signed it in ca_file",
  ]],
  ["an authority that is none", '[http_client]\nca_file = "/dev/null"\n', [
    'x.toml:2:11 http_client.ca_file: "/dev/null" holds nothing that can be read as certificates, wanted PEM',
  ]],
];

for (const [title, text, expected] of refused) {
  Deno.test(`refused: ${title}`, async () => {
    assert.deepEqual((await check(text + ONE_TARGET)).errors, expected);
  });
}

Deno.test("names of certificates are unique, and the TLS port is nobody else's", async () => {
  await withFolder(async (folder) => {
    const { certPath, keyPath } = await (await Authority.make(folder)).leaf({ names: ["a.test"] });
    const entry = `cert_path = "${certPath}", key_path = "${keyPath}"`;
    const { errors } = await checkIn(
      folder,
      `[tls]\nport = 9090\ncertificates = [{ domain = "a.test", ${entry} }, { domain = "A.test.", ${entry} }]\n`,
    );
    assert.equal(errors.length, 2);
    assert.match(errors[0], /tls\.port: found port 9090, which monitoring\.metrics_port has too by default/);
    assert.match(
      errors[1],
      /tls\.certificates\[1\]\.domain: found "a.test" again after tls\.certificates\[0\]/,
    );
  });
});
