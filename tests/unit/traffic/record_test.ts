import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeLine, decodeLines, encodeRecord, isError } from "../../../src/traffic/record.ts";
import { makeRecord } from "../../support/traffic.ts";

Deno.test("encodeRecord and decodeLine: any text a client sends comes back as it was, on one line", () => {
  const anyText = fc.string({ unit: "binary" });
  fc.assert(
    fc.property(anyText, anyText, fc.option(anyText), fc.option(anyText), (path, host, userAgent, error) => {
      const line = encodeRecord(makeRecord(1, { path, host, userAgent, errorMessage: error }));
      assert.equal(line.indexOf("\n"), line.length - 1);
      const row = decodeLine(line);
      assert.deepEqual([row?.path, row?.host, row?.user_agent, row?.error_message], [
        path,
        host,
        userAgent,
        error,
      ]);
    }),
  );
});

Deno.test("encodeRecord writes the fields in the documented order with their units", () => {
  const line = encodeRecord(makeRecord(7, { durationMs: 12.34567, upstreamMs: null, route: "api" }));
  assert.equal(
    line,
    '{"id":"019cd79e-4607-7000-8000-000000000007","timestamp":"2026-03-10T12:00:00.007Z",' +
      '"request_id":"request-7","client_ip":"10.0.0.7","host":"b.example.com","method":"GET",' +
      '"path":"/items/7","target":"west","status_code":200,"duration_ms":12.346,"request_size":10,' +
      '"response_size":100,"user_agent":"test/1.0","error_message":null,"route":"api","upstream_ms":null,' +
      '"retries":0,"protocol":"http/1.1","worker":0}\n',
  );
});

Deno.test("decodeLines leaves out torn and foreign lines and keeps the rest", () => {
  const good = encodeRecord(makeRecord(1)) + encodeRecord(makeRecord(2));
  assert.deepEqual(decodeLines(good).map((row) => row.request_id), ["request-1", "request-2"]);
  const mixed = `${encodeRecord(makeRecord(1))}{"id":"torn\n{"other":1}\n42\n${encodeRecord(makeRecord(2))}`;
  assert.deepEqual(decodeLines(mixed).map((row) => row.request_id), ["request-1", "request-2"]);
  assert.deepEqual(decodeLines(""), []);
});

Deno.test("isError: a 5xx or a noted fault, and nothing else", () => {
  assert.equal(isError({ status_code: 200, error_message: null }), false);
  assert.equal(isError({ status_code: 404, error_message: null }), false);
  assert.equal(isError({ status_code: 500, error_message: null }), true);
  assert.equal(isError({ status_code: 200, error_message: "reset: upstream" }), true);
});
