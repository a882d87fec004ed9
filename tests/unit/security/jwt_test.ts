/** JSON web tokens with keys that the configuration holds. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";
import fc from "fast-check";
import type { JwtAlgorithm } from "../../../src/config/model.ts";
import { requestMessage } from "../../support/messages.ts";
import {
  bearer,
  hmacToken,
  NOW,
  NOW_MS,
  outcome,
  type Pair,
  pair,
  SECRET,
  signed,
  step,
  verdict,
} from "./tokens.ts";

const rsa = await pair("RS256", "rsa-1");
const ec = await pair("ES256", "ec-1");

const hs = (parts = {}) => step({ jwt: { secret: SECRET, ...parts } });

for (const algorithm of ["HS256", "HS384", "HS512"] as const) {
  Deno.test(`${algorithm} takes tokens signed with the secret, and no others`, async () => {
    const auth = await hs({ algorithm });
    assert.equal(await verdict(auth, bearer(hmacToken({}, { header: { alg: algorithm } }))), null);
    const forged = hmacToken({}, { header: { alg: algorithm }, secret: `${SECRET}x` });
    assert.equal(await verdict(auth, bearer(forged)), "jwt_invalid: the token's signature is wrong");
    for (const other of ["HS256", "HS384", "HS512"].filter((name) => name !== algorithm)) {
      assert.equal(
        await verdict(auth, bearer(hmacToken({}, { header: { alg: other } }))),
        "jwt_invalid: the token's algorithm is not accepted",
      );
    }
  });
}

for (const algorithm of ["RS256", "RS384", "RS512", "ES256"] as const) {
  Deno.test(`${algorithm} takes tokens signed with the key of their kid, and no others`, async () => {
    const [mine, other, stranger] = await Promise.all(["a", "b", "a"].map((kid) => pair(algorithm, kid)));
    const auth = await step({ jwt: { algorithm, keys: [mine, other] } });
    assert.equal(await verdict(auth, bearer(await signed(mine))), null);
    assert.equal(await verdict(auth, bearer(await signed(other))), null);
    const wrong = "jwt_invalid: the token's signature is wrong";
    assert.equal(await verdict(auth, bearer(await signed(stranger))), wrong);
    assert.equal(await verdict(auth, bearer(await signed(mine, {}, { kid: "b" }))), wrong);
    const unknown = "jwt_invalid: the token names no known key";
    assert.equal(await verdict(auth, bearer(await signed(mine, {}, { kid: "c" }))), unknown);
    assert.equal(await verdict(auth, bearer(await signed(mine, {}, { kid: undefined }))), unknown);
    const only = await step({ jwt: { algorithm, keys: [mine] } });
    assert.equal(await verdict(only, bearer(await signed(mine, {}, { kid: undefined }))), null);
  });
}

Deno.test("a token without a signature is refused, however the algorithm none is written", async () => {
  const claims = Buffer.from(JSON.stringify({ exp: NOW + 60 })).toString("base64url");
  for (const config of [{ secret: SECRET }, { algorithm: "RS256" as const, keys: [rsa] }]) {
    const auth = await step({ jwt: config });
    for (const alg of ["none", "None", "NONE", "", null, undefined, ["HS256"], { toString: "HS256" }]) {
      const header = Buffer.from(JSON.stringify({ alg, kid: "rsa-1" })).toString("base64url");
      for (const signature of ["", "AAAA"]) {
        const found = await verdict(auth, bearer(`${header}.${claims}.${signature}`));
        assert.match(String(found), /^jwt_invalid: the token/, JSON.stringify(alg));
      }
    }
  }
});

Deno.test("a public key is no secret: a token with an HMAC over it is refused", async () => {
  const auth = await step({ jwt: { algorithm: "RS256", keys: [rsa], secret: null } });
  const key = createPublicKey({ key: { ...rsa.jwk }, format: "jwk" });
  const texts = [
    key.export({ type: "spki", format: "pem" }),
    String(key.export({ type: "spki", format: "pem" })).trim(),
    key.export({ type: "pkcs1", format: "pem" }),
    JSON.stringify(rsa.jwk),
    rsa.jwk.kty === "RSA" ? rsa.jwk.n : "",
  ];
  for (const secret of texts.map(String)) {
    for (const alg of ["HS256", "HS384", "HS512", "RS256"]) {
      const token = hmacToken({}, { secret, header: { alg, kid: "rsa-1" } });
      assert.match(String(await verdict(auth, bearer(token))), /^jwt_invalid/);
    }
  }
});

Deno.test("keys serve only their own kind of algorithm", async () => {
  // A secret beside public keys, public keys beside a secret, keys of two kinds under one kid.
  const rsaOnly = await step({
    jwt: { algorithm: "RS256", secret: SECRET, keys: [{ ...ec, kid: "rsa-1" }, rsa] },
  });
  assert.equal(await verdict(rsaOnly, bearer(await signed(rsa))), null);
  const notAccepted = "jwt_invalid: the token's algorithm is not accepted";
  assert.equal(
    await verdict(rsaOnly, bearer(hmacToken({}, { header: { alg: "HS256", kid: "rsa-1" } }))),
    notAccepted,
  );
  assert.equal(await verdict(rsaOnly, bearer(await signed({ ...ec, kid: "rsa-1" }))), notAccepted);
  const secretOnly = await hs({ keys: [rsa, ec] });
  assert.equal(await verdict(secretOnly, bearer(hmacToken())), null);
  assert.equal(await verdict(secretOnly, bearer(await signed(rsa))), notAccepted);
  const noSecret = await step({ jwt: { algorithm: "HS256", secret: null, keys: [rsa] } });
  assert.match(String(await verdict(noSecret, bearer(hmacToken({}, { secret: "" })))), /^jwt_invalid/);
});

Deno.test("keys that the token itself brings or points to are not used", async () => {
  const auth = await step({ jwt: { algorithm: "RS256", keys: [rsa] } });
  const stranger = await pair("RS256", "rsa-1");
  for (
    const header of [{ jwk: stranger.jwk }, { jku: "http://127.0.0.1:9/jwks" }, {
      x5u: "http://127.0.0.1:9/x",
    }]
  ) {
    const token = await signed(stranger, {}, header);
    assert.equal(await verdict(auth, bearer(token)), "jwt_invalid: the token's signature is wrong");
  }
});

Deno.test("exp, nbf and iat are checked to the second, with the leeway that is configured", async () => {
  for (const leewaySecs of [0, 30]) {
    const auth = await hs({ leewayMs: leewaySecs * 1000 });
    const cases: [claims: Record<string, unknown>, expected: string | null][] = [
      [{ exp: NOW - leewaySecs + 1 }, null],
      [{ exp: NOW - leewaySecs }, "the token has expired"],
      [{ exp: NOW - 86_400 }, "the token has expired"],
      [{ nbf: NOW + leewaySecs }, null],
      [{ nbf: NOW + leewaySecs + 1 }, "the token is not valid yet"],
      [{ iat: NOW - 86_400 }, null],
      [{ iat: NOW + leewaySecs }, null],
      [{ iat: NOW + leewaySecs + 1 }, "the token's iat is in the future"],
      [{ exp: undefined }, "the token's exp is not accepted"],
      [{ exp: "1e12" }, "the token's exp is not accepted"],
      [{ nbf: "0" }, "the token is not valid yet"],
      [{ iat: "0" }, "the token's iat is not accepted"],
      [{ exp: null }, "the token's exp is not accepted"],
    ];
    for (const [claims, expected] of cases) {
      const found = await verdict(auth, bearer(hmacToken(claims)));
      assert.equal(found, expected === null ? null : `jwt_invalid: ${expected}`, JSON.stringify(claims));
    }
    // JSON's way to say for ever.
    assert.equal(
      await verdict(auth, bearer(hmacToken('{"exp":1e999}'))),
      "jwt_invalid: the token's exp is no time",
    );
  }
});

Deno.test("iss must be one of the issuers, and aud name one of the audiences", async () => {
  const auth = await hs({ issuers: ["https://a/", "https://b/"], audiences: ["api", "web"] });
  const good = { iss: "https://b/", aud: "web" };
  const iss = "jwt_invalid: the token's iss is not accepted";
  const aud = "jwt_invalid: the token's aud is not accepted";
  for (
    const [claims, expected] of [
      [good, null],
      [{ ...good, iss: "https://a/" }, null],
      [{ ...good, aud: ["x", "api"] }, null],
      [{ ...good, iss: "https://c/" }, iss],
      [{ ...good, iss: "https://b" }, iss],
      [{ ...good, iss: ["https://b/"] }, iss],
      [{ ...good, iss: undefined }, iss],
      [{ ...good, aud: "ap" }, aud],
      [{ ...good, aud: ["x", "y"] }, aud],
      [{ ...good, aud: [] }, aud],
      [{ ...good, aud: undefined }, aud],
      [{ ...good, aud: { api: true } }, aud],
    ] as [Record<string, unknown>, string | null][]
  ) {
    assert.equal(await verdict(auth, bearer(hmacToken(claims))), expected, JSON.stringify(claims));
  }
  assert.equal(await verdict(await hs(), bearer(hmacToken({ iss: "any", aud: ["any"] }))), null);
});

Deno.test("the challenge of a refused token says why, and that of a missing one does not", async () => {
  const auth = await hs();
  assert.deepEqual((await outcome(auth, bearer(hmacToken({ exp: NOW })))).refusal, {
    code: "unauthorized",
    message: "Unauthorized: the token has expired",
    headers: [
      "www-authenticate",
      'Bearer realm="dispa", error="invalid_token", error_description="the token has expired"',
    ],
    denial: "jwt_invalid",
  });
  for (const headers of [[], ["authorization", "Basic x"]]) {
    assert.deepEqual((await outcome(auth, headers)).refusal, {
      code: "unauthorized",
      message: "Unauthorized: a token is required, send Authorization: Bearer TOKEN",
      headers: ["www-authenticate", 'Bearer realm="dispa"'],
      denial: "auth_missing",
    });
  }
});

Deno.test("a token counts only in Authorization, and only once", async () => {
  const auth = await hs();
  const token = hmacToken();
  for (const headers of [["x-api-key", token], ["cookie", `token=${token}`], ["authorization", token]]) {
    assert.match(String(await verdict(auth, headers, `/?access_token=${token}`)), /^auth_missing/);
  }
  assert.match(String(await verdict(auth, [...bearer(token), ...bearer(token)])), /^jwt_invalid/);
});

Deno.test("whatever stands in the place of a token, it is refused and nothing breaks", async () => {
  const keys = { secret: SECRET, keys: [rsa, ec] };
  const steps = await Promise.all(
    (["HS256", "RS256", "ES256"] as JwtAlgorithm[]).map((algorithm) => step({ jwt: { ...keys, algorithm } })),
  );
  const base64 = (text: string) => Buffer.from(text).toString("base64url");
  const part = fc.oneof(fc.string(), fc.json().map(base64), fc.base64String(), fc.constant("e30"));
  const header = fc.record({
    alg: fc.constantFrom("HS256", "RS256", "ES256", "none"),
    kid: fc.oneof(fc.constantFrom("rsa-1", "ec-1", "__proto__"), fc.jsonValue()),
    crit: fc.jsonValue(),
    b64: fc.boolean(),
    zip: fc.constant("DEF"),
  }, { requiredKeys: [] }).map((value) => base64(JSON.stringify(value)));
  const token = fc.tuple(fc.oneof(header, part), part, part).map((parts) => parts.join("."));
  await fc.assert(
    fc.asyncProperty(fc.oneof(token, fc.string()), async (token) => {
      for (const auth of steps) {
        assert.match(String(await verdict(auth, bearer(token))), /^(jwt_invalid|auth_missing)/);
      }
    }),
    { numRuns: 300 },
  );
  const long = hmacToken({ x: "x".repeat(8192) });
  assert.equal(await verdict(steps[0], bearer(long)), "jwt_invalid: the token has more than 8192 characters");
});

Deno.test("no part of a valid token can be changed", async () => {
  const auth = await step({ jwt: { algorithm: "ES256", keys: [ec] } });
  const token = await signed(ec, { sub: "user-7" });
  assert.equal(await verdict(auth, bearer(token)), null);
  // But for the last character of the signature, some of whose bits stand for nothing.
  await fc.assert(
    fc.asyncProperty(
      fc.nat(token.length - 2),
      fc.stringMatching(/^[A-Za-z0-9_.-]$/),
      async (at, character) => {
        fc.pre(token[at] !== character);
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        assert.match(String(await verdict(auth, bearer(changed))), /^jwt_invalid/, changed);
      },
    ),
    { numRuns: 100 },
  );
});

const CLAIM_HEADERS = [
  { claim: "sub", header: "x-user-id" },
  { claim: "roles", header: "x-roles" },
  { claim: "email", header: "x-email" },
];

Deno.test("the target gets the claims of the token, never those that a client has made up", async () => {
  const auth = await step({ jwt: { secret: SECRET, claimHeaders: CLAIM_HEADERS }, exemptPaths: ["/open"] });
  const forged = [
    "x-user-id",
    "admin",
    "X-Other".toLowerCase(),
    "1",
    "x_roles",
    "admin",
    "x-email",
    "a@b",
    "x-user-id",
    "2",
  ];
  const token = bearer(hmacToken({ sub: "user-7", roles: ["a", "b\r\nx-admin: 1"] }));
  const kept = ["host", "example.com", "x-other", "1"];
  // Once verified, once remembered.
  for (let i = 0; i < 2; i++) {
    const { headers } = await outcome(auth, [...forged, ...token]);
    assert.deepEqual(headers, [...kept, ...token, "x-user-id", "user-7", "x-roles", "a,b%0D%0Ax-admin: 1"]);
  }
  assert.deepEqual((await outcome(auth, forged, "/open/x")).headers, kept);
  assert.deepEqual((await outcome(auth, [...forged, ...token], "/open")).headers, [...kept, ...token]);
});

Deno.test("a token that was found valid passes at once, until it expires", async () => {
  let nowMs = NOW_MS;
  const auth = await step({ jwt: { secret: SECRET, leewayMs: 5000 }, nowMs: () => nowMs });
  const request = () => requestMessage({ headers: bearer(token) });
  const token = hmacToken({ exp: NOW + 10 });
  assert.equal(await auth.check(request()), null);
  assert.equal(auth.check(request()), null);
  nowMs = NOW_MS + 14_999;
  assert.equal(auth.check(request()), null);
  nowMs = NOW_MS + 15_000;
  assert.equal(await verdict(auth, bearer(token)), "jwt_invalid: the token has expired");
});

Deno.test("what was refused is not remembered as valid, nor is anything without the cache", async () => {
  const auth = await hs();
  const forged = bearer(hmacToken({}, { secret: "other" }));
  for (let i = 0; i < 3; i++) assert.match(String(await verdict(auth, forged)), /signature/);
  const cacheless = await hs({ cacheEnabled: false });
  for (let i = 0; i < 3; i++) {
    const answer = cacheless.check(requestMessage({ headers: bearer(hmacToken()) }));
    assert.ok(answer instanceof Promise);
    assert.equal(await answer, null);
  }
});

Deno.test("another generation of the configuration remembers nothing", async () => {
  const keys = (...pairs: Pair[]) => step({ jwt: { algorithm: "ES256", keys: pairs } });
  const other = await pair("ES256", "ec-1");
  const token = bearer(await signed(ec));
  assert.equal(await verdict(await keys(ec), token), null);
  assert.match(String(await verdict(await keys(other), token)), /signature/);
});
