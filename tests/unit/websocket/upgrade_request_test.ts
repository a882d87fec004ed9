import assert from "node:assert/strict";
import { upgradeRefusal, wantsWebSocket } from "../../../src/websocket/upgrade_request.ts";

const GOOD = {
  "upgrade": "websocket",
  "connection": "Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

Deno.test("wantsWebSocket takes lists and any case, and needs Connection to name the upgrade", () => {
  const wants = (more: Record<string, string>) => wantsWebSocket(new Headers({ ...GOOD, ...more }));
  assert.equal(wants({}), true);
  assert.equal(wants({ connection: "keep-alive, UPGRADE", upgrade: "h2c, WebSocket" }), true);
  assert.equal(wants({ connection: "keep-alive" }), false);
  assert.equal(wants({ upgrade: "h2c" }), false);
  assert.equal(wants({ upgrade: "websockets" }), false);
  assert.equal(wantsWebSocket(new Headers({ upgrade: "websocket" })), false);
  assert.equal(wantsWebSocket(new Headers({ connection: "upgrade" })), false);
});

Deno.test("upgradeRefusal lets a whole request pass", () => {
  assert.equal(upgradeRefusal("GET", new Headers(GOOD)), null);
});

const REFUSED: [
  name: string,
  method: string,
  more: Record<string, string | null>,
  code: string,
  message: RegExp,
][] = [
  ["another method", "POST", {}, "bad_request", /with GET, not with POST/],
  ["no key", "GET", { "sec-websocket-key": null }, "bad_request", /Sec-WebSocket-Key is missing/],
  [
    "a key of 15 bytes",
    "GET",
    { "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAA" },
    "bad_request",
    /Key is wrong/,
  ],
  [
    "two keys",
    "GET",
    {
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    },
    "bad_request",
    /Key is wrong/,
  ],
  [
    "a key with bits too many",
    "GET",
    {
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZR==",
    },
    "bad_request",
    /Key is wrong/,
  ],
  [
    "no version",
    "GET",
    { "sec-websocket-version": null },
    "upgrade_required",
    /Version is missing, wanted 13/,
  ],
  [
    "an old version",
    "GET",
    { "sec-websocket-version": "8" },
    "upgrade_required",
    /another version, wanted 13/,
  ],
  ["two versions", "GET", { "sec-websocket-version": "13, 13" }, "upgrade_required", /another version/],
];

for (const [name, method, more, code, message] of REFUSED) {
  Deno.test(`upgradeRefusal refuses ${name}`, () => {
    const headers = new Headers(GOOD);
    for (const [key, value] of Object.entries(more)) {
      if (value === null) headers.delete(key);
      else headers.set(key, value);
    }
    const refusal = upgradeRefusal(method, headers);
    assert.equal(refusal?.code, code);
    assert.match(refusal!.message, message);
  });
}

Deno.test("upgradeRefusal says which version is spoken", () => {
  const refusal = upgradeRefusal("GET", new Headers({ ...GOOD, "sec-websocket-version": "8" }));
  assert.deepEqual(refusal?.headers, [
    "sec-websocket-version",
    "13",
    "upgrade",
    "websocket",
    "connection",
    "upgrade",
  ]);
});
