/** What the listener takes from the runtime beyond its public API. */
import assert from "node:assert/strict";
import { serveConnection, serverNameResolverKey } from "../../../src/proxy/http_runtime.ts";

Deno.test("this runtime serves single connections: without it time-outs and limits of clients are off", () => {
  assert.notEqual(serveConnection(), null);
});

Deno.test("this runtime chooses certificates by name: without it there can be one only", () => {
  assert.notEqual(serverNameResolverKey(), null);
});
