import assert from "node:assert/strict";
import { isShortage } from "../../../src/upstream/shortage.ts";

/** As `fetch` of Deno 2.9 says it. */
function ofFetch(cause: string): Error {
  const error = new Error(`error sending request for url (http://a.test/): client error (Connect): ${cause}`);
  return new TypeError("fetch failed", { cause: error });
}

Deno.test("isShortage knows the system's words for want of descriptors and memory, however deep", () => {
  for (const text of ["Too many open files (os error 24)", "Cannot allocate memory (os error 12)"]) {
    assert.ok(isShortage(new Error(text)));
    assert.ok(isShortage(ofFetch(`tcp open error: ${text}`)));
  }
});

Deno.test("isShortage knows a look-up that asked nobody", () => {
  assert.ok(isShortage(ofFetch("dns error: Invalid argument (os error 22)")));
});

Deno.test("isShortage is nothing that a target or a name server says", () => {
  const reason = "failed to lookup address information: Name or service not known";
  for (
    const fault of [
      new Error("Connection refused (os error 111)"),
      new Error("Connection reset by peer (os error 104)"),
      ofFetch("tcp connect error: Connection refused (os error 111)"),
      ofFetch(`dns error: ${reason}`),
      "Too many open files (os error 24)",
    ]
  ) assert.ok(!isShortage(fault));
});
