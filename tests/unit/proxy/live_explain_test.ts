import assert from "node:assert/strict";
import { ExplainToken } from "../../../src/proxy/live_explain.ts";

Deno.test("ExplainToken matches the token and nothing else, and nothing at all without one", () => {
  const token = new ExplainToken("an-admin-token");
  assert.ok(token.matches("an-admin-token"));
  assert.ok(token.matches(" an-admin-token "));
  assert.ok(!token.matches("an-admin-tokem"));
  assert.ok(!token.matches(""));
  assert.ok(!new ExplainToken(null).matches(""));
});

Deno.test("ExplainToken believes nobody after ten wrong tokens, so that none can be guessed", () => {
  const token = new ExplainToken("an-admin-token");
  for (let i = 0; i < 10; i++) assert.ok(!token.matches(`wrong-${i}`));
  assert.ok(!token.matches("an-admin-token"));
});
