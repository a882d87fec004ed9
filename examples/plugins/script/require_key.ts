/**
 * Lets requests for /api pass only with a key, and keeps the key from the target:
 *
 *     [[plugins.plugins]]
 *     name = "require-key"
 *     type = "script"
 *     stage = "both"
 *     error_strategy = "fail"
 *     config = { module = "examples/plugins/script/require_key.ts", sandbox = true }
 *
 * The executable wants JavaScript: `deno bundle -o require_key.js require_key.ts`.
 */
import type { OnRequest, OnResponse } from "../plugin.d.ts";

const KEYS = new Set(["let-me-in"]);

export const onRequest: OnRequest = (request) => {
  if (request.path !== "/api" && !request.path.startsWith("/api/")) return null;
  const key = request.headers.get("x-api-key");
  if (key === null || !KEYS.has(key)) {
    return new Response("A valid x-api-key is required\n", { status: 401 });
  }
  request.headers.delete("x-api-key");
  return null;
};

export const onResponse: OnResponse = (request, response) => {
  response.headers.set("x-checked-path", request.path);
  if (response.status === 404) response.headers.set("cache-control", "no-store");
};
