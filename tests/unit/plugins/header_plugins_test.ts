import assert from "node:assert/strict";
import { fieldValues, getField } from "../../../src/http/flat_headers.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { now, onePlugin } from "./support.ts";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

Deno.test("headerinjector sets headers of the request and of the answer, in the place of what was there", async () => {
  const { requestChain, responseChain } = await onePlugin(
    "headerinjector",
    '{ request_headers = { "X-Env" = "prod", "x-new" = "" }, response_headers = { "x-power" = "dispa" } }',
  );
  const request = requestMessage({ headers: ["x-env", "dev", "accept", "*/*", "x-env", "test"] });
  assert.equal(now(requestChain!.runRequest(request)), null);
  assert.deepEqual(request.headers, ["host", "example.com", "x-env", "prod", "accept", "*/*", "x-new", ""]);
  const response = responseMessage(201, ["x-power", "php", "set-cookie", "a", "set-cookie", "b"]);
  assert.equal(now(responseChain!.runResponse(request, response)), null);
  assert.deepEqual(response, {
    status: 201,
    headers: ["x-power", "dispa", "set-cookie", "a", "set-cookie", "b"],
  });
});

Deno.test("headerinjector's `generated` is the request's id for x-request-id, and a new UUID for other headers", async () => {
  const config =
    '{ request_headers = { "X-Request-Id" = "generated", x-trace = "generated" }, response_headers = { x-request-id = "generated" } }';
  const { requestChain, responseChain } = await onePlugin("headerinjector", config);
  const traces = new Set<string>();
  for (let i = 0; i < 5; i++) {
    const request = requestMessage({ requestId: `id-${i}` });
    const response = responseMessage();
    requestChain!.runRequest(request);
    responseChain!.runResponse(request, response);
    assert.deepEqual(fieldValues(request.headers, "x-request-id"), [`id-${i}`]);
    assert.deepEqual(response.headers, ["x-request-id", `id-${i}`]);
    const trace = getField(request.headers, "x-trace")!;
    assert.match(trace, new RegExp(`^${UUID}$`));
    traces.add(trace);
  }
  assert.equal(traces.size, 5);
});

Deno.test("headerinjector's {{uuid}} is a new UUID each time it stands in a value", async () => {
  const { requestChain } = await onePlugin(
    "headerinjector",
    '{ request_headers = { x-a = "a {{uuid}}/{{uuid}} z", x-request-id = "{{uuid}}", x-b = "{{UUID}} {uuid}" } }',
  );
  const request = requestMessage({ headers: ["x-request-id", "request-1"] });
  requestChain!.runRequest(request);
  const ids = new RegExp(`^a (${UUID})/(${UUID}) z$`).exec(getField(request.headers, "x-a")!);
  assert.ok(ids !== null && ids[1] !== ids[2]);
  assert.match(getField(request.headers, "x-request-id")!, new RegExp(`^${UUID}$`));
  assert.equal(request.requestId, "request-1", "the record keeps its id");
  assert.equal(getField(request.headers, "x-b"), "{{UUID}} {uuid}");
});

Deno.test("headeroverride removes headers first and then sets others, values as they are", async () => {
  const { requestChain, responseChain } = await onePlugin(
    "headeroverride",
    `{ remove_request_headers = ["Cookie", "x-gone"], request_headers = { X-Gone = "generated" },
       remove_response_headers = ["Server", "set-cookie"], response_headers = { cache-control = "{{uuid}}" } }`,
  );
  const request = requestMessage({ headers: ["cookie", "a", "x-gone", "1", "x-stays", "2", "cookie", "b"] });
  assert.equal(now(requestChain!.runRequest(request)), null);
  assert.deepEqual(request.headers, ["host", "example.com", "x-stays", "2", "x-gone", "generated"]);
  const response = responseMessage(200, ["set-cookie", "a", "server", "x", "set-cookie", "b"]);
  assert.equal(now(responseChain!.runResponse(request, response)), null);
  assert.deepEqual(response.headers, ["cache-control", "{{uuid}}"]);
});

Deno.test("a header plugin with nothing to do at a stage has no place in its chain", async () => {
  const injector = await onePlugin("headerinjector", '{ response_headers = { a = "b" } }');
  assert.deepEqual([injector.requestChain, injector.responseChain?.names], [null, ["p"]]);
  const override = await onePlugin("headeroverride", '{ remove_request_headers = ["a"] }');
  assert.deepEqual([override.requestChain?.names, override.responseChain], [["p"], null]);
  const idle = await onePlugin("headeroverride", "{}");
  assert.deepEqual([idle.requestChain, idle.responseChain], [null, null]);
});
