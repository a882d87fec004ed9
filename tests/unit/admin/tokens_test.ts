/** The tokens of the three roles. */
import assert from "node:assert/strict";
import { Tokens } from "../../../src/admin/tokens.ts";

Deno.test("a token names its role and a fingerprint that does not hold any of it", async () => {
  const tokens = new Tokens(new Map([["DISPA_EDITOR_TOKEN", "correct horse battery staple"]]));
  const identity = await tokens.identify("correct horse battery staple");
  assert.equal(identity?.role, "editor");
  assert.match(identity!.name, /^editor [0-9a-f]{8}$/);
  assert.deepEqual(tokens.roles, ["editor"]);
  assert.deepEqual(tokens.warnings(), []);
});

Deno.test("no other token is taken, however much of it is right", async () => {
  const right = "0123456789abcdef0123456789abcdef";
  const tokens = new Tokens(new Map([["DISPA_ADMIN_TOKEN", right]]));
  assert.equal(await tokens.identify(""), null);
  assert.equal(await tokens.identify(right.slice(0, -1)), null);
  assert.equal(await tokens.identify(right + "0"), null);
  assert.equal(await tokens.identify(right.toUpperCase()), null);
  // Of so many, some have a hash with the same last byte, some with the same first.
  for (let index = 0; index < 2_000; index++) assert.equal(await tokens.identify(`guess ${index}`), null);
});

Deno.test("an empty variable is no token: it opens nothing", async () => {
  const tokens = new Tokens(new Map([["DISPA_ADMIN_TOKEN", ""], ["DISPA_VIEWER_TOKEN", "  "]]));
  assert.deepEqual(tokens.roles, []);
  assert.equal(await tokens.identify(""), null);
  assert.equal(await tokens.identify("  "), null);
});

Deno.test("weak tokens are told by their variable, never by their value", async () => {
  const tokens = new Tokens(new Map([["DISPA_VIEWER_TOKEN", "guess-me"], ["DISPA_ADMIN_TOKEN", "guess-me"]]));
  const warnings = tokens.warnings().join("\n");
  assert.match(warnings, /DISPA_VIEWER_TOKEN is shorter than 16/);
  assert.match(warnings, /the same token/);
  assert.ok(!warnings.includes("guess-me"));
  assert.equal((await tokens.identify("guess-me"))?.role, "admin");
});
