import assert from "node:assert/strict";
import { removeHopByHop } from "../../../src/upstream/hop_by_hop.ts";

function strip(...headers: string[]): string[] {
  return removeHopByHop(headers);
}

Deno.test("removeHopByHop takes out each hop-by-hop field and keeps the others in order", () => {
  assert.deepEqual(
    strip(
      ...["a", "1", "connection", "keep-alive", "keep-alive", "timeout=5", "b", "2", "te", "trailers"],
      ...["trailer", "x", "transfer-encoding", "chunked", "upgrade", "h2c", "http2-settings", "AAMAAABk"],
      ...["proxy-connection", "close", "a", "3"],
    ),
    ["a", "1", "b", "2", "a", "3"],
  );
});

Deno.test("removeHopByHop takes out the fields that Connection names, before and after it, in any case", () => {
  assert.deepEqual(
    strip("x-a", "1", "connection", "close, X-A ,x-B", "x-b", "2", "x-c", "3", "x-a", "4"),
    ["x-c", "3"],
  );
});

Deno.test("removeHopByHop adds up several Connection fields", () => {
  assert.deepEqual(strip("connection", "x-a", "connection", "x-b", "x-a", "1", "x-b", "2", "c", "3"), [
    "c",
    "3",
  ]);
});

Deno.test("removeHopByHop keeps what framing, identity and security need although Connection names it", () => {
  for (
    const name of [
      "content-length",
      "content-type",
      "host",
      "x-forwarded-for",
      "x-forwarded-proto",
      "forwarded",
      "authorization",
      "cookie",
      "set-cookie",
      "x-request-id",
      "x-real-ip",
      "strict-transport-security",
      "sec-websocket-key",
      "cache-control",
    ]
  ) {
    assert.deepEqual(strip(name, "1", "connection", `close, ${name}, x-a`, "x-a", "1"), [name, "1"]);
  }
});

Deno.test("removeHopByHop returns the array it was given and takes nothing from one without hop-by-hop fields", () => {
  const headers = ["host", "a", "accept", "*/*", "proxy-authenticate", "Basic"];
  assert.equal(removeHopByHop(headers), headers);
  assert.deepEqual(headers, ["host", "a", "accept", "*/*", "proxy-authenticate", "Basic"]);
});

Deno.test("removeHopByHop takes empty Connection options for nothing", () => {
  assert.deepEqual(strip("connection", ", ,", "", "odd", "a", "1"), ["", "odd", "a", "1"]);
});
