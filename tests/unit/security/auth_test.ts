/** API keys, opaque bearer tokens, exempt paths, and keys and tokens together. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { authStep } from "../../../src/security/auth.ts";
import { ExemptPaths } from "../../../src/security/exempt_paths.ts";
import { requestMessage } from "../../support/messages.ts";
import { bearer, hmacToken, noRemoteKeys, outcome, SECRET, step, verdict } from "./tokens.ts";

const KEYS = ["first-key-0123456789", "second-key-0123456789"];
const apiKeys = () => step({ auth: { mode: "apikey", headerName: "x-api-key", keys: KEYS } });
const bearerKeys = () => step({ auth: { mode: "bearer", headerName: "authorization", keys: KEYS } });

Deno.test("a configuration without auth and jwt, or with security off, needs no step", async () => {
  const security = { enabled: true, auth: null, jwt: null, exemptPaths: ["/a"] };
  assert.equal(await authStep(security, { remoteKeys: noRemoteKeys() }), null);
  const auth = { mode: "apikey" as const, headerName: "x-api-key", keys: KEYS };
  assert.equal(await authStep({ ...security, enabled: false, auth }, { remoteKeys: noRemoteKeys() }), null);
});

Deno.test("every key that is configured lets in, at once, and the field goes on to the target", async () => {
  const auth = await apiKeys();
  for (const key of KEYS) {
    const request = requestMessage({ headers: ["x-api-key", key] });
    assert.equal(auth.check(request), null);
    assert.deepEqual(request.headers, ["host", "example.com", "x-api-key", key]);
  }
  const tokens = await bearerKeys();
  for (const key of KEYS) {
    for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer  "]) {
      assert.equal(tokens.check(requestMessage({ headers: ["authorization", `${scheme} ${key}`] })), null);
    }
  }
});

Deno.test("a key that is missing is told so, with the place where it belongs", async () => {
  const auth = await apiKeys();
  for (
    const [headers, target] of [
      [[], "/"],
      [["x-api-key", ""], "/"],
      // Nowhere else.
      [bearer(KEYS[0]), "/"],
      [["cookie", `x-api-key=${KEYS[0]}`], "/"],
      [[], `/?x-api-key=${KEYS[0]}&api_key=${KEYS[0]}`],
    ] as [string[], string][]
  ) {
    assert.deepEqual((await outcome(auth, headers, target)).refusal, {
      code: "unauthorized",
      message: "Unauthorized: a key is required, send it in x-api-key",
      headers: ["www-authenticate", 'ApiKey realm="dispa", header="x-api-key"'],
      denial: "auth_missing",
    });
  }
});

Deno.test("a key that is wrong is refused, however much of it is right", async () => {
  const auth = await apiKeys();
  const [key] = KEYS;
  for (
    const wrong of [
      key.slice(1),
      key.slice(0, -1),
      `${key}x`,
      key.toUpperCase(),
      `${KEYS[0]}, ${KEYS[1]}`,
      ` ${key}`,
      "x".repeat(100_000),
      "********",
    ]
  ) {
    assert.deepEqual((await outcome(auth, ["x-api-key", wrong])).refusal, {
      code: "unauthorized",
      message: "Unauthorized: the key in x-api-key is not valid",
      headers: ["www-authenticate", 'ApiKey realm="dispa", header="x-api-key"'],
      denial: "auth_apikey",
    });
  }
  // Two fields are not one that is right.
  assert.match(String(await verdict(auth, ["x-api-key", key, "x-api-key", "y"])), /^auth_apikey/);
  await fc.assert(
    fc.asyncProperty(fc.string(), async (text) => {
      fc.pre(!KEYS.includes(text));
      assert.notEqual(await verdict(auth, ["x-api-key", text]), null);
    }),
  );
});

Deno.test("a bearer challenge names an error only where a token was sent", async () => {
  const tokens = await bearerKeys();
  for (
    const headers of [[], ["authorization", "Basic dXNlcjpwdw=="], ["authorization", KEYS[0]], [
      "x-api-key",
      KEYS[0],
    ]]
  ) {
    assert.deepEqual((await outcome(tokens, headers)).refusal, {
      code: "unauthorized",
      message: "Unauthorized: a token is required, send Authorization: Bearer TOKEN",
      headers: ["www-authenticate", 'Bearer realm="dispa"'],
      denial: "auth_missing",
    });
  }
  for (
    const field of ["Bearer wrong", "Bearer", "Bearer ", `Bearer ${KEYS[0]} x`, `Bearer x, Bearer ${KEYS[0]}`]
  ) {
    assert.deepEqual((await outcome(tokens, ["authorization", field])).refusal, {
      code: "unauthorized",
      message: "Unauthorized: the token is not valid",
      headers: [
        "www-authenticate",
        'Bearer realm="dispa", error="invalid_token", error_description="the token is not valid"',
      ],
      denial: "auth_bearer",
    });
  }
});

Deno.test("exempt paths need no key, in any spelling that means nothing else", async () => {
  const auth = await step({
    auth: { mode: "apikey", headerName: "x-api-key", keys: KEYS },
    exemptPaths: ["/health", "/public/files", "/caf\u00e9"],
  });
  for (
    const target of [
      "/health",
      "/health/",
      "/health?x=/admin",
      "/health/live",
      "/%68ealth",
      "/h%65alth/%6Cive",
      "//health",
      "/./health/.",
      "/public/files/a;v=1",
      "/public/files/..a/.b",
      "/caf%C3%A9/1",
    ]
  ) {
    assert.equal(await verdict(auth, [], target), null, target);
  }
  for (
    const target of [
      "/",
      "/healthy",
      "/health-check",
      "/Health",
      "/public",
      "/public/filesystem",
      "/admin?/health",
      "/admin?x=/health",
      "/x/health",
      // Something else behind it, to this proxy, to an upstream, or to only one of them.
      "/health/../admin",
      "/health/%2e%2e/admin",
      "/health/.%2E/admin",
      "/health%2f..%2fadmin",
      "/health/..%5cadmin",
      "/health\\..\\admin",
      "/health/..;/admin",
      "/health/..;x=1/admin",
      "/health;/../admin",
      "/health;x/live",
      "/admin/../health",
      "/admin/%2e%2e/health",
      "/admin/..;/health",
      "/admin%2f..%2fhealth",
      "/admin\\..\\health",
      "/health/a/..",
      "/health/%252e%252e/admin",
      "/health/..%252fadmin",
      "/%2568ealth",
    ]
  ) {
    assert.match(String(await verdict(auth, [], target)), /^auth_missing/, target);
  }
});

Deno.test("a path that climbs or is encoded twice is never exempt, wherever it leads", () => {
  const exempt = new ExemptPaths(["/"]);
  const climb = fc.constantFrom("..", "%2e%2e", ".%2e", "%2E.", "..;a", "%252e", "%255c");
  const part = fc.constantFrom("a", "b;c", ".", "%41", "");
  const slash = fc.constantFrom("/", "%2f", "\\", "%5C", "//");
  const parts = fc.array(fc.tuple(slash, part), { maxLength: 3 }).map((all) => all.flat().join(""));
  fc.assert(
    fc.property(parts, slash, climb, parts, (before, slash, climb, after) => {
      const target = `/x${before}${slash}${climb}${after}`;
      assert.equal(exempt.match(requestMessage({ target })), false, target);
    }),
  );
  assert.equal(exempt.match(requestMessage({ target: "/anything/else" })), true);
});

Deno.test("with auth and jwt both are needed, the key first", async () => {
  const both = await step({
    auth: { mode: "apikey", headerName: "x-api-key", keys: KEYS },
    jwt: { secret: SECRET },
    exemptPaths: ["/health"],
  });
  const key = ["x-api-key", KEYS[0]];
  const token = bearer(hmacToken());
  assert.match(String(await verdict(both, [])), /^auth_missing: a key is required/);
  assert.match(String(await verdict(both, token)), /^auth_missing: a key is required/);
  assert.match(String(await verdict(both, key)), /^auth_missing: a token is required/);
  assert.match(String(await verdict(both, [...key, ...bearer("x")])), /^jwt_invalid/);
  assert.match(String(await verdict(both, ["x-api-key", "x", ...token])), /^auth_apikey/);
  assert.equal(await verdict(both, [...key, ...token]), null);
  assert.equal(await verdict(both, [], "/health"), null);
});

Deno.test("a step says why a request passes, without the secret that made it pass", async () => {
  const both = await step({
    auth: { mode: "apikey", headerName: "x-api-key", keys: KEYS },
    jwt: { secret: SECRET, claimHeaders: [{ claim: "sub", header: "x-user-id" }] },
    exemptPaths: ["/health"],
  });
  const told: [string, Record<string, unknown>][] = [];
  const passed = (summary: string, details: Record<string, unknown>) => told.push([summary, details]);
  const headers = ["x-api-key", KEYS[0], ...bearer(hmacToken({ sub: "user-7" }))];
  assert.equal(await both.check(requestMessage({ headers }), passed), null);
  assert.equal(await both.check(requestMessage({ headers }), passed), null);
  assert.equal(both.check(requestMessage({ target: "/health" }), passed), null);
  assert.equal((await apiKeys()).check(requestMessage({ headers }), passed), null);
  assert.equal((await bearerKeys()).check(requestMessage({ headers: bearer(KEYS[1]) }), passed), null);
  const finding = { key: "key in x-api-key", algorithm: "HS256", headers: ["x-user-id"] };
  assert.deepEqual(told, [
    ["the HS256 token, verified now, and the key in x-api-key are valid", { ...finding, cached: false }],
    ["the HS256 token, verified before, and the key in x-api-key are valid", { ...finding, cached: true }],
    ["the path needs no authentication", { exempt: true }],
    ["the key in x-api-key is valid", { key: "key in x-api-key" }],
    ["the bearer token is valid", { key: "bearer token" }],
  ]);
  assert.equal(
    both.check(requestMessage({ headers: [] }), () => assert.fail("it has not passed"))?.constructor,
    Object,
  );
});
