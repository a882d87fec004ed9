/** `config` may import nothing of `http`; that both know the same header fields is seen to here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseFieldName, parseFieldValue } from "../../../src/config/header_fields.ts";
import { isFieldName, isFieldValue, isFramingField } from "../../../src/http/flat_headers.ts";

const FRAMING = [
  "connection",
  "content-length",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

Deno.test("the configuration refuses to write exactly the fields that are the proxy's own", () => {
  for (
    const name of [...FRAMING, "host", "x-forwarded-for", "content-type", "set-cookie", "trailers", "via"]
  ) {
    assert.equal(parseFieldName(name).ok, !isFramingField(name), name);
    assert.deepEqual(parseFieldName(name.toUpperCase()), parseFieldName(name));
  }
});

const characters = fc.string({
  unit: fc.constantFrom("a", "Z", "-", " ", "\t", "\n", "\0", "é", "中", ":", "{"),
  maxLength: 5,
});

Deno.test("the configuration takes a field's name or value exactly if it can be sent", () => {
  fc.assert(
    fc.property(characters, (text) => {
      assert.equal(parseFieldName(text).ok, isFieldName(text) && !isFramingField(text.toLowerCase()));
      assert.equal(parseFieldValue(text).ok, isFieldValue(text));
    }),
    { numRuns: 500 },
  );
});
