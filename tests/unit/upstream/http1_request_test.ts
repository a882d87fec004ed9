import assert from "node:assert/strict";
import fc from "fast-check";
import { requestHeadBound, writeRequestHead } from "../../../src/upstream/http1_request.ts";
import { UpstreamError, type UpstreamRequest } from "../../../src/upstream/transport.ts";
import { fromLatin1, requestTo, streamOf, targetAt } from "./exchange_support.ts";

function write(more: Partial<UpstreamRequest>): string {
  const request = requestTo(targetAt(80), more);
  const into = new Uint8Array(requestHeadBound(request));
  return fromLatin1(into.subarray(0, writeRequestHead(request, into)));
}

function assertRefused(more: Partial<UpstreamRequest>): void {
  assert.throws(
    () => write(more),
    (error) => error instanceof UpstreamError && error.code === "bad_request" && !error.sent,
    Deno.inspect(more),
  );
}

Deno.test("writeRequestHead writes line and fields byte for byte and in their order", () => {
  assert.equal(
    write({
      method: "Get",
      path: "/a//b/../%2F?q=\\&é",
      headers: ["host", "h", "x", "caf\xe9\x80\xff", "x", ""],
    }),
    "Get /a//b/../%2F?q=\\&é HTTP/1.1\r\nhost: h\r\nx: caf\xe9\x80\xff\r\nx: \r\n\r\n",
  );
  assert.equal(write({ method: "OPTIONS", path: "*", headers: [] }), "OPTIONS * HTTP/1.1\r\n\r\n");
});

Deno.test("writeRequestHead writes the framing field that bodyLength asks for", () => {
  const headers: string[] = [];
  const body = streamOf("12345");
  assert.equal(write({ headers, body, bodyLength: 5 }), "GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\n");
  assert.equal(write({ headers, body: null, bodyLength: 0 }), "GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
  assert.equal(write({ headers, body }), "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
  assert.equal(write({ headers }), "GET / HTTP/1.1\r\n\r\n");
});

Deno.test("writeRequestHead refuses what could end a line or a field", () => {
  for (const bad of ["\r", "\n", "\0", "\r\n", "\x0b", "\x7f", "\u010a", "\u560d"]) {
    assertRefused({ path: `/a${bad}b` });
    assertRefused({ method: `G${bad}T` });
    assertRefused({ headers: ["x", `a${bad}b`] });
    assertRefused({ headers: [`x${bad}`, "a"] });
  }
  for (const path of ["", "a", "/a b", "/a\tb", "http://other/", "*/"]) assertRefused({ path });
  for (const method of ["", "G ET", "G:T", "CONNECT"]) assertRefused({ method });
  for (const name of ["", "a b", "a:", "é", "(x)"]) assertRefused({ headers: [name, "a"] });
});

Deno.test("writeRequestHead refuses a second framing and a length that is none", () => {
  for (const name of ["content-length", "Content-Length", "transfer-encoding", "TRANSFER-ENCODING"]) {
    assertRefused({ headers: [name, "5"] });
  }
  for (const bodyLength of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertRefused({ body: streamOf("a"), bodyLength });
  }
  assertRefused({ body: null, bodyLength: 1 });
});

Deno.test("writeRequestHead writes exactly one head for any strings, or refuses them", () => {
  const text = fc.string({ unit: "binary", maxLength: 8 });
  fc.assert(
    fc.property(text, text, fc.array(fc.tuple(text, text), { maxLength: 4 }), (method, path, fields) => {
      let head: string;
      try {
        head = write({ method, path: "/" + path, headers: fields.flat() });
      } catch (error) {
        assert.ok(error instanceof UpstreamError);
        return;
      }
      const lines = head.split("\r\n");
      assert.equal(lines[0], `${method} /${path} HTTP/1.1`);
      assert.equal(lines[0].split(" ").length, 3);
      assert.deepEqual(lines.slice(1), [...fields.map(([name, value]) => `${name}: ${value}`), "", ""]);
      assert.ok(!/[\r\n\0]/.test(lines.join("")));
    }),
  );
});
