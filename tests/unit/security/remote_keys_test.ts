/** Keys that a signer publishes: fetched, kept, looked for again, and done without. */
import assert from "node:assert/strict";
import type { JwtConfig } from "../../../src/config/model.ts";
import type { AuthStep } from "../../../src/security/auth.ts";
import { RemoteKeySets } from "../../../src/security/remote_keys.ts";
import { requestMessage } from "../../support/messages.ts";
import { type Answer, broken, keySet, type Rig, withKeyServer } from "./key_server.ts";
import {
  bearer,
  hmacToken,
  outcome,
  type Pair,
  pair,
  published,
  SECRET,
  signed,
  step,
  verdict,
} from "./tokens.ts";

const first = await pair("RS256", "first");
const second = await pair("RS256", "second");
const elliptic = await pair("ES256", "elliptic");

const UNKNOWN = "jwt_invalid: the token names no known key";
const UNAVAILABLE =
  "jwt_invalid: Service unavailable: the token cannot be verified now, see jwks_url in the log";

const tokenOf = async (pair: Pair) => bearer(await signed(pair));

/** Runs `body` with a step that takes its keys from the rig's server. */
async function withStep(
  { server, sets }: Rig,
  body: (auth: AuthStep) => Promise<void>,
  config: Partial<JwtConfig> = {},
): Promise<void> {
  const auth = await step({
    jwt: { algorithm: "RS256", jwksUrl: server.url, ...config },
    remoteKeys: sets,
  });
  try {
    await body(auth);
  } finally {
    await auth.dispose();
  }
}

Deno.test("published keys are fetched once, and serve every token that they fit", async () => {
  await withKeyServer(keySet(published(first), published(second), published(elliptic)), async (rig) => {
    await withStep(rig, async (auth) => {
      const tokens = await Promise.all([first, second, first].map(tokenOf));
      assert.deepEqual(await Promise.all(tokens.map((token) => verdict(auth, token))), [null, null, null]);
      // Only the key that is there once can be meant by a token that names none.
      const nameless = bearer(await signed(first, {}, { kid: undefined }));
      assert.equal(await verdict(auth, nameless), UNKNOWN);
    });
    await withStep(rig, async (auth) => {
      assert.equal(await verdict(auth, await tokenOf(elliptic)), null);
      assert.equal(await verdict(auth, bearer(await signed(elliptic, {}, { kid: undefined }))), null);
    }, { algorithm: "ES256" });
    assert.deepEqual(rig.server.requests, ["/jwks", "/jwks"]);
    assert.deepEqual(rig.lines, []);
  });
});

Deno.test("a token that waited for the first keys is remembered as any other", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => release = resolve);
  await withKeyServer(() => held.then(() => Response.json({ keys: [published(first)] })), async (rig) => {
    await withStep(rig, async (auth) => {
      const token = await tokenOf(first);
      const waiting = verdict(auth, token);
      await rig.server.asked(1);
      release();
      assert.equal(await waiting, null);
      assert.equal(auth.check(requestMessage({ headers: token })), null);
    });
  });
});

Deno.test("static keys go first, and need no fetch", async () => {
  await withKeyServer(broken, async (rig) => {
    await withStep(rig, async (auth) => {
      assert.equal(await verdict(auth, await tokenOf(first)), null);
      assert.equal(await verdict(auth, await tokenOf(second)), UNAVAILABLE);
    }, { keys: [first] });
  });
});

Deno.test("an algorithm that takes a secret fetches no keys", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    await withStep(rig, async (auth) => {
      assert.equal(await verdict(auth, bearer(hmacToken())), null);
    }, { algorithm: "HS256", secret: SECRET });
    assert.deepEqual(rig.server.requests, []);
  });
});

Deno.test("keys that are not for this use are passed over", async () => {
  const key = published(first);
  const sets: [title: string, entry: unknown][] = [
    ["for encryption", { ...key, use: "enc" }],
    ["for another algorithm", { ...key, alg: "RS512" }],
    ["for signing only", { ...key, key_ops: ["sign"] }],
    ["of another type", { ...key, kty: "oct", k: "AAAA" }],
    ["too small", { ...key, n: "sZ5kqw", e: "AQAB" }],
    ["with the exponent 1", { ...key, e: "AQ" }],
    ["without its members", { kid: "first", kty: "RSA" }],
    ["no object", "first"],
  ];
  for (const [title, entry] of sets) {
    await withKeyServer(keySet(entry, published(second), null), async (rig) => {
      await withStep(rig, async (auth) => {
        assert.equal(await verdict(auth, await tokenOf(first)), UNKNOWN, title);
        assert.equal(await verdict(auth, await tokenOf(second)), null, title);
      });
    });
  }
});

const badAnswers: [title: string, answer: Answer, reason: string][] = [
  ["an error", broken, "the answer has status 500, wanted 200"],
  ["no JSON", () => new Response("<html>"), "the answer is no JSON"],
  ["another JSON", () => Response.json(["x"]), 'the answer is no key set: it has no list "keys"'],
  [
    "no usable key",
    keySet({ kty: "oct", k: "AAAA" }),
    "the key set has no RSA key of 2048 bits or more and no P-256 key",
  ],
  ["too many keys", keySet(...Array(201).fill({})), "the key set has more than 200 keys"],
  ["too many bytes", () => new Response(" ".repeat(65_537)), "the answer has more than 65536 bytes"],
  [
    "endless bytes",
    () =>
      new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) })),
    "the answer has more than 65536 bytes",
  ],
  [
    "a redirect",
    () => Response.redirect("http://elsewhere.example:81/jwks?token=SECRET"),
    "the answer is a redirect to http://elsewhere.example:81, which is not followed: set jwks_url to the final address",
  ],
];

for (const [title, answer, reason] of badAnswers) {
  Deno.test(`a key server that answers ${title} is told in the log, and clients get 503`, async () => {
    await withKeyServer(answer, async (rig) => {
      await withStep(rig, async (auth) => {
        const { refusal } = await outcome(auth, await tokenOf(first));
        assert.deepEqual(refusal, {
          code: "auth_unavailable",
          message: "Service unavailable: the token cannot be verified now, see jwks_url in the log",
          headers: ["retry-after", "5"],
          denial: "jwt_invalid",
        });
        assert.equal(
          await verdict(auth, []),
          "auth_missing: a token is required, send Authorization: Bearer TOKEN",
        );
        assert.equal(await verdict(auth, bearer("x.y.z")), "jwt_invalid: the token is malformed");
      });
      const fields = { url: rig.server.url, error: reason, keys_in_use: 0 };
      assert.deepEqual(rig.lines, [`warn cannot fetch the keys of jwks_url ${JSON.stringify(fields)}`]);
    });
  });
}

Deno.test("a redirect is not followed, not even to the same server", async () => {
  await withKeyServer(({ url }) => Response.redirect(new URL("/elsewhere", url)), async (rig) => {
    await withStep(rig, async (auth) => assert.equal(await verdict(auth, await tokenOf(first)), UNAVAILABLE));
    assert.deepEqual(rig.server.requests, ["/jwks"]);
  });
});

for (
  const [title, answer] of [
    ["says nothing", () => new Promise<Response>(() => {})],
    [
      "stops in its answer",
      () =>
        new Response(
          new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([123])) }),
        ),
    ],
  ] as [string, Answer][]
) {
  Deno.test(`a request waits for a key server that ${title} until its time is up, and no longer`, async () => {
    let release = () => {};
    const held = new Promise<Response>((resolve) => release = () => resolve(new Response()));
    const slow: Answer = (request) => Promise.race([held, answer(request)]);
    await withKeyServer(slow, async (rig) => {
      await withStep(rig, async (auth) => {
        assert.equal(await verdict(auth, await tokenOf(first)), UNAVAILABLE);
        assert.match(rig.lines.join(), /no whole answer within 0\.05 s/);
      });
      release();
    }, { timeoutMs: 50, maxBytes: 65_536 });
  });
}

Deno.test("a server that cannot be reached is told without the query of its address", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.addr.port}/jwks`;
  listener.close();
  const lines: Record<string, unknown>[] = [];
  const sets = new RemoteKeySets({ log: (_level, _message, fields) => lines.push(fields ?? {}) });
  const auth = await step({ jwt: { algorithm: "RS256", jwksUrl: `${url}?code=SECRET` }, remoteKeys: sets });
  assert.equal(await verdict(auth, await tokenOf(first)), UNAVAILABLE);
  await auth.dispose();
  assert.equal(lines.length, 1);
  assert.equal(lines[0].url, url);
  assert.match(String(lines[0].error), /refused/i);
  assert.ok(!JSON.stringify(lines).includes("SECRET"));
});

Deno.test("an unknown kid makes it look again at once, but not again and again", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    const { server, clock } = rig;
    await withStep(rig, async (auth) => {
      assert.equal(await verdict(auth, await tokenOf(first)), null);
      const token = await tokenOf(second);
      clock.nowMs = 29_999;
      assert.equal(await verdict(auth, token), UNKNOWN);
      assert.equal(server.requests.length, 1);

      clock.nowMs = 30_000;
      const tokens = await Promise.all(["a", "b", "c"].map((kid) => signed(second, {}, { kid })));
      await Promise.all(
        tokens.map(async (token) => assert.equal(await verdict(auth, bearer(token)), UNKNOWN)),
      );
      assert.equal(server.requests.length, 2);
      clock.nowMs = 59_999;
      for (const token of tokens) assert.equal(await verdict(auth, bearer(token)), UNKNOWN);
      assert.equal(server.requests.length, 2);

      // The signer has a new key: the first token that names it is let in.
      server.answer = keySet(published(first), published(second));
      clock.nowMs = 60_000;
      assert.equal(await verdict(auth, token), null);
      assert.equal(server.requests.length, 3);
    });
  });
});

Deno.test("a key that may be new is not called wrong while the server cannot be asked", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    await withStep(rig, async (auth) => {
      assert.equal(await verdict(auth, await tokenOf(first)), null);
      rig.server.answer = broken;
      rig.clock.nowMs = 30_000;
      assert.equal(await verdict(auth, await tokenOf(second)), UNAVAILABLE);
      assert.equal(await verdict(auth, await tokenOf(first)), null);
    });
  });
});

Deno.test("a key that the signer withdraws lets nobody in, also with a remembered token", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    const { server, sets, clock } = rig;
    await withStep(rig, async (auth) => {
      const token = await tokenOf(first);
      assert.equal(await verdict(auth, token), null);
      assert.equal(auth.check(requestMessage({ headers: token })), null, "it is not remembered");
      server.answer = keySet(published(second));
      clock.nowMs = 30_000;
      // Somebody's new token makes it look again.
      assert.equal(await verdict(auth, await tokenOf(second)), null);
      assert.equal(await verdict(auth, token), UNKNOWN);
    });
    // The same keys again change nothing.
    const settings = { url: server.url, cacheMs: 600_000, staleMs: 0 };
    const keys = sets.acquire(settings);
    await keys.settled();
    const { version } = keys;
    clock.nowMs += 30_000;
    await keys.lookAgain();
    assert.equal(keys.version, version);
    await sets.release(settings);
  });
});

Deno.test("keys that cannot be fetched again are used for their time, and then no more", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    const { clock, lines } = rig;
    await withStep(rig, async (auth) => {
      const token = await tokenOf(first);
      assert.equal(await verdict(auth, token), null);
      rig.server.answer = broken;
      clock.nowMs = 700_000;
      assert.equal(await verdict(auth, token), null);
      clock.nowMs = 700_001;
      assert.equal(await verdict(auth, token), UNAVAILABLE);
      assert.equal(lines.length, 1);
      assert.match(lines[0], /^warn the keys of jwks_url are too old to be used/);
    }, { jwksCacheMs: 600_000, jwksStaleMs: 100_000 });
  });
});

Deno.test("keys are fetched again in the background, and a server that comes back is told", async () => {
  await withKeyServer(broken, async (rig) => {
    const { server, sets, lines } = rig;
    // Also the wait after a failure, which is never longer.
    const settings = { url: server.url, cacheMs: 5, staleMs: 0 };
    const keys = sets.acquire(settings);
    await server.asked(3);
    assert.equal(keys.keys.length, 0);
    server.answer = keySet(published(first));
    const { length } = server.requests;
    await server.asked(length + 3);
    assert.deepEqual(keys.keys.map(({ kid }) => kid), ["first"]);
    server.answer = keySet(published(second));
    await server.asked(server.requests.length + 3);
    assert.deepEqual(keys.keys.map(({ kid }) => kid), ["second"]);
    await sets.release(settings);
    const address = JSON.stringify({ url: server.url });
    assert.equal(lines.length, 2, lines.join("\n"));
    assert.match(lines[0], /^warn cannot fetch/);
    assert.equal(lines[1], `info the keys of jwks_url can be fetched again ${address}`);
  });
});

Deno.test("generations of the configuration share their keys, and the last one ends the fetching", async () => {
  await withKeyServer(keySet(published(first)), async (rig) => {
    const { server } = rig;
    const generation = () => step({ jwt: { algorithm: "RS256", jwksUrl: server.url }, remoteKeys: rig.sets });
    const old = await generation();
    assert.equal(await verdict(old, await tokenOf(first)), null);
    // The server is down when the configuration is loaded again: nobody notices.
    server.answer = broken;
    const next = await generation();
    await old.dispose();
    assert.equal(await verdict(next, await tokenOf(first)), null);
    await next.dispose();
    assert.equal(server.requests.length, 1);
    assert.deepEqual(rig.lines, []);
  });
});

Deno.test("a step that is disposed of while it fetches leaves nothing behind", async () => {
  let release = () => {};
  const held = new Promise<Response>((resolve) => release = () => resolve(new Response()));
  await withKeyServer(() => held, async (rig) => {
    const auth = await step({ jwt: { algorithm: "RS256", jwksUrl: rig.server.url }, remoteKeys: rig.sets });
    const waiting = verdict(auth, await tokenOf(first));
    await rig.server.asked(1);
    await auth.dispose();
    assert.equal(await waiting, UNAVAILABLE);
    release();
    assert.deepEqual(rig.lines, []);
  });
});
