import assert from "node:assert/strict";
import { framingProblem } from "../../../src/http/framing.ts";

Deno.test("a body that ends in one way only is no problem", () => {
  for (const contentLength of [null, "0", "5", "00005", "123456789012345"]) {
    assert.equal(framingProblem({ contentLength, transferEncoding: null }), null);
  }
  for (const transferEncoding of ["chunked", "Chunked"]) {
    assert.equal(framingProblem({ contentLength: null, transferEncoding }), null);
  }
});

Deno.test("two ways to end, an unknown coding, or a length that is no number is one", () => {
  assert.match(framingProblem({ contentLength: "5", transferEncoding: "chunked" })!, /both there/);
  for (
    const transferEncoding of [
      "",
      "gzip",
      "chunked, chunked",
      "chunked, identity",
      "xchunked",
      "gzip, chunked",
    ]
  ) {
    assert.match(framingProblem({ contentLength: null, transferEncoding })!, /not chunked alone/);
  }
  for (const contentLength of ["", "5, 5", "+5", "-5", "0x5", "5.0", " 5", "1234567890123456"]) {
    assert.match(framingProblem({ contentLength, transferEncoding: null })!, /not one whole number/);
  }
});
