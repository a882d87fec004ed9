/** The OpenAPI document against what is really there. */
import assert from "node:assert/strict";
import { TRAFFIC_QUERY } from "../../../src/admin/api.ts";
import { ENDPOINTS } from "../../../src/admin/endpoints.ts";
import { openApi } from "../../../src/admin/openapi.ts";
import { AdminFixture, body } from "./support.ts";

Deno.test("the document names exactly the routes that there are", async () => {
  await using fixture = await AdminFixture.create();
  const routes = fixture.admin.app.routes
    // Middleware is registered under the method ALL.
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}").replace(/(.)\/$/, "$1")}`);
  const described = Object.entries(openApi().paths as Record<string, Record<string, unknown>>)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(described.sort(), [...new Set(routes)].sort());
});

Deno.test("every schema that the document refers to is in it", () => {
  const document = openApi() as { components: { schemas: Record<string, unknown> } };
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)];
  assert.ok(references.length > ENDPOINTS.length);
  for (const [, name] of references) assert.ok(Object.hasOwn(document.components.schemas, name), name);
});

Deno.test("the parameters of traffic questions are those of the API", () => {
  const records = ENDPOINTS.find(({ path }) => path === "/admin/traffic");
  assert.deepEqual(Object.keys(records!.query!).sort(), [...TRAFFIC_QUERY].sort());
});

Deno.test("the document and the page are served, and the state is as described", async () => {
  await using fixture = await AdminFixture.create();
  const document = await (await fixture.request("/admin/openapi.json")).json();
  assert.equal(document.openapi, "3.1.0");
  assert.match((await fixture.request("/admin")).headers.get("content-type")!, /^text\/html/);
  await body("Status", await fixture.request("/admin/status", { as: "viewer" }));
  await body("Failure", await fixture.request("/admin/nothing", { as: "viewer" }), 404);
});

Deno.test("the manual names every endpoint with its role", () => {
  const manual = Deno.readTextFileSync(new URL("../../../docs/ADMIN.md", import.meta.url));
  const rows = manual.split("\n").filter((line) => line.startsWith("| `"));
  for (const { method, path, role } of ENDPOINTS) {
    const row = rows.find((line) => line.includes(method.toUpperCase()) && line.includes(`${path}\``));
    assert.ok(row !== undefined, `${method} ${path}`);
    assert.equal(row.split("|")[2].trim(), role ?? "", `${method} ${path}`);
  }
});
