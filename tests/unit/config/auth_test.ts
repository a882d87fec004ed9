/** `[security.auth]`, `[security.jwt]` and `[security] exempt_paths`. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { stringify } from "smol-toml";
import { printConfig } from "../../../src/config/mod.ts";
import { configToFile } from "../../../src/config/schema.ts";
import { maskSecrets, maskTree } from "../../../src/config/secret_text.ts";
import { escapeVariables } from "../../../src/config/tree.ts";
import { accepted, check, ONE_TARGET } from "./support.ts";

const GOOD_KEY = "0123456789abcdef";
const GOOD_SECRET = "0123456789abcdef0123456789abcdef";

function rsaPair(modulusLength = 2048) {
  return generateKeyPairSync("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

function ecPair(namedCurve: string) {
  return generateKeyPairSync("ec", {
    namedCurve,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

const rsa = rsaPair();
const ec = ecPair("prime256v1");

async function problems(text: string): Promise<string[]> {
  const { errors, warnings } = await check(text + ONE_TARGET);
  return [...errors, ...warnings];
}

const securityOf = async (text: string) => (await accepted(text + ONE_TARGET)).security;

Deno.test("auth is off unless keys are set, and jwt unless there is something to verify with", async () => {
  for (const text of ["", "[security.auth]\n[security.jwt]\n"]) {
    const { auth, jwt } = await securityOf(text);
    assert.deepEqual([auth, jwt], [null, null]);
  }
  const { auth, jwt } = await securityOf(
    `[security]\nauth.keys = ["${GOOD_KEY}"]\njwt.secret = "${GOOD_SECRET}"\n`,
  );
  assert.deepEqual(auth, { mode: "apikey", headerName: "x-api-key", keys: [GOOD_KEY] });
  assert.deepEqual(jwt, {
    algorithm: "HS256",
    secret: GOOD_SECRET,
    keys: [],
    jwksUrl: null,
    jwksCacheMs: 600_000,
    jwksStaleMs: 3_600_000,
    leewayMs: 60_000,
    issuers: [],
    audiences: [],
    cacheEnabled: true,
    claimHeaders: [],
  });
  const off = await securityOf(
    `[security]\nauth = { enabled = false, keys = ["${GOOD_KEY}"] }\njwt = { enabled = false, secret = "x" }\n`,
  );
  assert.deepEqual([off.auth, off.jwt], [null, null]);
});

Deno.test("keys may be called valid_keys or valid_tokens, and mode bearer reads Authorization", async () => {
  for (const name of ["keys", "valid_keys", "valid_tokens"]) {
    const { auth } = await securityOf(`[security.auth]\nmode = "Bearer"\n${name} = ["${GOOD_KEY}"]\n`);
    assert.deepEqual(auth, { mode: "bearer", headerName: "authorization", keys: [GOOD_KEY] });
  }
});

const complaints: [title: string, text: string, expected: string[]][] = [
  ["auth that is on without keys", "[security.auth]\nenabled = true\n", [
    "x.toml:1:2 security.auth.keys: missing, wanted a list of keys, or enabled = false",
  ]],
  ["auth that is only half there", '[security.auth]\nmode = "bearer"\n', [
    "x.toml:1:2 security.auth.keys: missing, wanted a list of keys, or enabled = false",
  ]],
  ["an empty list of keys", "[security.auth]\nvalid_keys = []\n", [
    "x.toml:2:14 security.auth.valid_keys: found an empty list, wanted at least one key, or enabled = false",
  ]],
  [
    "keys that no field can hold",
    '[security.auth]\nkeys = ["a secret key of mine", "geheimnisvoller-schlüssel", 7]\n',
    [
      "x.toml:2:9 security.auth.keys[0]: found a secret value, wanted 1 to 4096 visible ASCII characters without spaces",
      "x.toml:2:33 security.auth.keys[1]: found a secret value, wanted 1 to 4096 visible ASCII characters without spaces",
      "x.toml:2:62 security.auth.keys[2]: found a secret value, wanted a key in quotes",
    ],
  ],
  ["a key that is a mask", '[security.auth]\nkeys = ["********"]\n', [
    "x.toml:2:9 security.auth.keys[0]: found a secret value, wanted the key itself: ******** is what a masked one looks " +
    "like",
  ]],
  ["a secret that is a mask", '[security.jwt]\nsecret = "********"\n', [
    "x.toml:2:10 security.jwt.secret: found a secret value, wanted the secret itself: ******** is what a masked one " +
    "looks like",
  ]],
  ["keys under two names that differ", '[security.auth]\nkeys = "s3cret-one"\nvalid_keys = "s3cret-two"\n', [
    "x.toml:2:8 security.auth.keys: found a secret value, wanted a list of keys",
    "x.toml:3:14 security.auth.valid_keys: found a secret value, but keys, which means the same, is a secret value: " +
    "wanted only one of them",
  ]],
  ["a short key", '[security.auth]\nkeys = ["short"]\n', [
    "x.toml:2:9 security.auth.keys[0]: the key has 5 characters and can be guessed, wanted at least 16",
  ]],
  [
    "a header that only the proxy writes",
    `[security.auth]\nkeys = ["${GOOD_KEY}"]\nheader_name = "X-Forwarded-For"\n`,
    [
      'x.toml:3:15 security.auth.header_name: found "X-Forwarded-For", wanted another header: the proxy itself writes ' +
      "x-forwarded-for",
    ],
  ],
  [
    "a header without use",
    `[security.auth]\nmode = "bearer"\nkeys = ["${GOOD_KEY}"]\nheader_name = "x-key"\n`,
    [
      "x.toml:4:15 security.auth.header_name: plays no part in mode bearer, which reads Authorization",
    ],
  ],
  [
    "bearer beside jwt",
    `[security]\nauth = { mode = "bearer", keys = ["${GOOD_KEY}"] }\njwt = { secret = "${GOOD_SECRET}" }\n`,
    [
      'x.toml:2:17 security.auth.mode: found "bearer", but security.jwt reads Authorization too, wanted "apikey", or ' +
      "one of the two with enabled = false",
    ],
  ],
  [
    "a key in Authorization beside jwt",
    `[security]\nauth = { header_name = "authorization", keys = ["${GOOD_KEY}"] }\njwt = { secret = "${GOOD_SECRET}" }\n`,
    [
      'x.toml:2:24 security.auth.header_name: found "authorization", which security.jwt reads, wanted another header',
    ],
  ],
  ["jwt without a key", "[security.jwt]\nenabled = true\n", [
    "x.toml:1:2 security.jwt.secret: missing, wanted secret for HS256, or enabled = false",
  ]],
  ["public keys without their algorithm", '[security.jwt]\njwks_url = "https://h/jwks"\n', [
    'x.toml:1:2 security.jwt.secret: missing, wanted secret for HS256 or algorithm = "RS256" or "ES256", or enabled = ' +
    "false",
    "x.toml:2:12 security.jwt.jwks_url: plays no part, because algorithm is HS256",
  ]],
  [
    "an algorithm whose keys are not there",
    `[security.jwt]\nalgorithm = "es256"\nsecret = "${GOOD_SECRET}"\n`,
    [
      "x.toml:1:2 security.jwt.es256_keys: missing, wanted es256_keys or jwks_url for ES256, or enabled = false",
    ],
  ],
  ["the algorithm none", `[security.jwt]\nalgorithm = "none"\nsecret = "${GOOD_SECRET}"\n`, [
    'x.toml:2:13 security.jwt.algorithm: found "none", wanted one of HS256, HS384, HS512, RS256, RS384, RS512, ES256',
  ]],
  ["a secret shorter than the hash", `[security.jwt]\nalgorithm = "HS384"\nsecret = "${GOOD_SECRET}"\n`, [
    "x.toml:3:10 security.jwt.secret: the secret has 32 bytes and may be guessed, wanted at least 48 for HS384",
  ]],
  [
    "keys over plain HTTP",
    '[security.jwt]\nalgorithm = "RS256"\njwks_url = "http://login.example.com/jwks"\n',
    [
      'x.toml:3:12 security.jwt.jwks_url: the keys come over plain HTTP from "login.example.com": who can change them on ' +
      "the way can sign tokens",
    ],
  ],
  ["a password in jwks_url", '[security.jwt]\nalgorithm = "RS256"\njwks_url = "https://u:geheim@h/jwks"\n', [
    'x.toml:3:12 security.jwt.jwks_url: found "https://u:********@h/jwks", wanted an https:// or http:// URL such as ' +
    '"https://login.example.com/.well-known/jwks.json", without user name, password and fragment',
  ]],
  ["times of keys that are not fetched", `[security.jwt]\nsecret = "${GOOD_SECRET}"\njwks_cache_secs = 5\n`, [
    "x.toml:3:19 security.jwt.jwks_cache_secs: plays no part without jwks_url",
  ]],
  ["an empty audience", `[security.jwt]\nsecret = "${GOOD_SECRET}"\naudience = []\n`, [
    "x.toml:3:12 security.jwt.audience: found a list of 0 entries, wanted at least one of the audiences",
  ]],
  [
    "claims in headers that mean something else",
    `[security.jwt]\nsecret = "${GOOD_SECRET}"\nclaims_to_headers = { a = "Host", b = "authorization", c = "te", d = "x-d", e = "X_D" }\n`,
    [
      'x.toml:3:27 security.jwt.claims_to_headers.a: found "Host", wanted another header: the proxy itself writes host',
      'x.toml:3:39 security.jwt.claims_to_headers.b: found "authorization", wanted another header: targets read ' +
      "authorization as what the client has sent",
      'x.toml:3:60 security.jwt.claims_to_headers.c: found "te", wanted another header: only the proxy itself writes te',
    ],
  ],
  [
    "two claims in one header",
    `[security.jwt]\nsecret = "${GOOD_SECRET}"\nclaims_to_headers = { d = "x-d", e = "X_D" }\n`,
    ['x.toml:3:38 security.jwt.claims_to_headers.e: found "X_D", wanted every header once: x_d is there already'],
  ],
  ["exempt paths with nothing to be exempt from", '[security]\nexempt_paths = ["/health"]\n', [
    "x.toml:2:16 security.exempt_paths: plays no part, because neither auth nor jwt is on",
  ]],
  ["every path exempt", `[security]\nexempt_paths = ["/a", "/"]\nauth.keys = ["${GOOD_KEY}"]\n`, [
    'x.toml:2:23 security.exempt_paths[1]: every path lies below "/": no client needs a key or token',
  ]],
];

for (const [title, text, expected] of complaints) {
  Deno.test(`${title}: the problem is told, without secrets`, async () => {
    assert.deepEqual(await problems(text), expected);
  });
}

Deno.test("public keys are read from PEM by kid, from a list with PEM, and from their members", async () => {
  const { n, e } = (await securityOf(
    stringify({ security: { jwt: { algorithm: "RS256", rs256_keys: { first: rsa.publicKey } } } }),
  )).jwt!.keys[0].jwk as { n: string; e: string };
  const { x, y } = (await securityOf(
    stringify({ security: { jwt: { algorithm: "ES256", es256_keys: { first: ec.publicKey } } } }),
  )).jwt!.keys[0].jwk as { x: string; y: string };
  assert.equal(n.length, 342);
  for (
    const [rsaKey, ecKey] of [
      [{ kid: "a", key: rsa.publicKey }, { kid: "b", key: ec.publicKey }],
      [{ kid: "a", n, e }, { kid: "b", x, y }],
    ]
  ) {
    const jwt = { algorithm: "RS512", rs256_keys: [rsaKey], es256_keys: [ecKey] };
    assert.deepEqual((await securityOf(stringify({ security: { jwt } }))).jwt!.keys, [
      { kid: "a", jwk: { kty: "RSA", n, e } },
      { kid: "b", jwk: { kty: "EC", crv: "P-256", x, y } },
    ]);
  }
});

Deno.test("keys of the wrong kind or size, private ones and malformed ones are refused", async () => {
  const wrong = (name: string, keys: unknown) =>
    problems(
      stringify({
        security: { jwt: { algorithm: name === "rs256_keys" ? "RS256" : "ES256", [name]: keys } },
      }),
    );
  const pkcs1 = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "pkcs1", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  assert.deepEqual(await wrong("rs256_keys", { k: pkcs1.publicKey }), []);
  for (
    const [name, keys, wanted] of [
      ["rs256_keys", { k: ec.publicKey }, "an RSA public key of 2048"],
      ["rs256_keys", { k: rsaPair(1024).publicKey }, "an RSA public key of 2048"],
      ["rs256_keys", { k: "MIIB" }, "an RSA public key of 2048"],
      ["rs256_keys", [{ kid: "k", n: "AQAB", e: "AQAB" }], "an RSA public key of 2048"],
      ["rs256_keys", [{ kid: "k", n: "w".repeat(342), e: "AQ" }], "an RSA public key of 2048"],
      ["rs256_keys", [{ kid: "k" }], "a table with kid and key, or with kid, n and e"],
      [
        "rs256_keys",
        [{ kid: "k", key: rsa.publicKey, d: "x" }],
        "a table with kid and key, or with kid, n and e",
      ],
      ["rs256_keys", [{ kid: "", key: rsa.publicKey }], "a kid of 1 to 256 characters"],
      ["rs256_keys", "k", "a table of keys in PEM by their kid, or a list"],
      ["es256_keys", { k: rsa.publicKey }, "an elliptic-curve public key on P-256"],
      ["es256_keys", { k: ecPair("secp384r1").publicKey }, "an elliptic-curve public key on P-256"],
      ["es256_keys", [{ kid: "k", x: "AAAA", y: "AAAA" }], "an elliptic-curve public key on P-256"],
      ["es256_keys", [{ kid: "k", key: ec.publicKey }, { kid: "k", key: ec.publicKey }], "every kid once"],
    ] as const
  ) {
    const found = await wrong(name, keys);
    assert.equal(found.length, 1, `${wanted}: ${found.join("; ")}`);
    assert.ok(found[0].includes(`wanted ${wanted}`), found[0]);
  }
  for (const [name, pair] of [["rs256_keys", rsa], ["rs256_keys", pkcs1], ["es256_keys", ec]] as const) {
    const found = await wrong(name, { k: pair.privateKey });
    assert.equal(found.length, 1);
    assert.match(found[0], /found a secret value, wanted .*; this is a private key$/);
  }
});

/** A configuration in which every secret of this part holds the word SECRET. */
const SECRETS = stringify({
  security: {
    auth: { keys: ["SECRET-0123456789", "SECRET-abcdefghij"] },
    jwt: { secret: "SECRET-0123456789abcdef0123456789" },
  },
});

Deno.test("keys and secret are masked when printed, for the admin, and in the file as text", async () => {
  const config = await accepted(SECRETS + ONE_TARGET);
  const printed = printConfig(config);
  const forAdmin = JSON.stringify(maskTree(configToFile(config)));
  for (const shown of [printed, forAdmin]) {
    assert.ok(!shown.includes("SECRET"), shown);
    assert.ok(shown.includes("********"), shown);
  }
  for (const name of ["keys", "valid_keys", "valid_tokens"]) {
    for (const comment of ["", "# "]) {
      const text = `[security.auth]\n${comment}${name} = ["SECRET-0123456789"]\n`;
      assert.ok(!(await maskSecrets(text, () => "1"))!.includes("SECRET"), text);
    }
  }
  const pem = stringify({ security: { jwt: { rs256_keys: { k: rsa.privateKey, l: rsa.publicKey } } } });
  const masked = (await maskSecrets(pem, () => "1"))!;
  assert.ok(!masked.includes("PRIVATE"), masked);
  assert.ok(masked.includes("BEGIN PUBLIC KEY"), masked);
});

Deno.test("a printed configuration with masked secrets is refused, so that no mask becomes a key", async () => {
  const printed = printConfig(await accepted(SECRETS + ONE_TARGET));
  const { errors } = await check(printed);
  assert.equal(errors.length, 3, errors.join("; "));
  for (const error of errors) {
    assert.match(error, /security\.(auth\.keys\[[01]\]|jwt\.secret): found a secret value/);
  }
});

Deno.test("a printed configuration of keys and claims loads back to the same", async () => {
  const text = stringify({
    security: {
      exempt_paths: ["/health/", "/"],
      jwt: {
        algorithm: "RS384",
        rs256_keys: { "key 1": rsa.publicKey },
        es256_keys: [{ kid: escapeVariables("${x}"), key: ec.publicKey }],
        jwks_url: escapeVariables("HTTPS://Login.Example.com/jwks?p=${x}"),
        issuer: "https://login.example.com/",
        audience: ["a", "b"],
        leeway_secs: 0,
        cache_enabled: false,
        claims_to_headers: { "https://example.com/roles": "X-Roles", sub: "x-user" },
      },
    },
  }) + ONE_TARGET;
  const { config, errors } = await check(text);
  assert.deepEqual(errors, []);
  const again = await check(printConfig(config!));
  assert.deepEqual(again.errors, []);
  assert.deepEqual(again.config, config);
});
