import assert from "node:assert/strict";
import fc from "fast-check";
import { isFieldName, isFieldValue, isFramingField } from "../../../src/http/flat_headers.ts";
import { PluginError, type Stage } from "../../../src/plugins/plugin.ts";
import { applyResult, parseOutput, requestInput, responseInput } from "../../../src/plugins/protocol.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";

Deno.test("requestInput tells the request in the words of the protocol", () => {
  const request = requestMessage({
    method: "POST",
    scheme: "https",
    target: "/x/../a%20b?q=1",
    headers: ["host", "example.com:8443", "accept", "*/*"],
  });
  assert.deepEqual(JSON.parse(requestInput(request)), {
    stage: "request",
    method: "POST",
    scheme: "https",
    host: "example.com",
    path: "/a b",
    query: "q=1",
    client_ip: "192.0.2.1",
    request_id: "request-1",
    headers: { host: "example.com:8443", accept: "*/*" },
  });
});

Deno.test("responseInput tells the answer, and the request beside it", () => {
  const input = JSON.parse(
    responseInput(requestMessage({ headers: ["a", "1"] }), responseMessage(404, ["b", "2"])),
  );
  assert.equal(input.stage, "response");
  assert.equal(input.status, 404);
  assert.deepEqual(input.headers, { b: "2" });
  assert.deepEqual(input.request_headers, { host: "example.com", a: "1" });
});

Deno.test("fields that come twice are joined, as their specifications say", () => {
  const headers = [
    "cookie",
    "a=1",
    "cookie",
    "b=2",
    "via",
    "x",
    "via",
    "y",
    "set-cookie",
    "c=1, d",
    "set-cookie",
    "e",
  ];
  assert.deepEqual(JSON.parse(requestInput(requestMessage({ headers }))).headers, {
    host: "example.com",
    cookie: "a=1; b=2",
    via: "x, y",
    "set-cookie": "c=1, d\ne",
  });
});

Deno.test("a field named __proto__ or constructor reaches the plugin like any other", () => {
  const json = requestInput(
    requestMessage({ headers: ["__proto__", "a", "__proto__", "b", "constructor", "c"] }),
  );
  assert.deepEqual(Object.entries(JSON.parse(json).headers).slice(1), [["__proto__", "a, b"], [
    "constructor",
    "c",
  ]]);
});

Deno.test("empty output, null and an empty object leave the message as it is", () => {
  for (const text of ["", " \n", "null", "{}", '{"set_headers":null,"short_circuit":null}']) {
    const request = requestMessage({ target: "/a?b", headers: ["x", "1"] });
    assert.equal(applyResult(parseOutput(text, "request"), request, null), null);
    assert.deepEqual([request.target, request.headers], ["/a?b", ["host", "example.com", "x", "1"]]);
  }
});

Deno.test("set_headers replaces every value, a list becomes several fields", () => {
  const request = requestMessage({ headers: ["x", "1", "x", "2", "y", "3", "z", "4"] });
  const output = '{"set_headers":{"X":"new","y":["a","b"]},"remove_headers":["Z","absent"]}';
  applyResult(parseOutput(output, "request"), request, null);
  assert.deepEqual(request.headers, ["host", "example.com", "x", "new", "y", "a", "y", "b"]);
});

Deno.test("remove_headers comes before set_headers", () => {
  const request = requestMessage({ headers: ["x", "1"] });
  applyResult(parseOutput('{"set_headers":{"x":"2"},"remove_headers":["x"]}', "request"), request, null);
  assert.deepEqual(request.headers, ["host", "example.com", "x", "2"]);
});

Deno.test("set_path rewrites the path, keeps the query, and encodes what a path cannot hold", () => {
  const request = requestMessage({ target: "/a?b=1" });
  applyResult(parseOutput('{"set_path":"/ü ?x%20"}', "request"), request, null);
  assert.equal(request.target, "/%C3%BC%20%3Fx%2520?b=1");
});

Deno.test("every path that the input tells can be given back", () => {
  const path = fc.string({ unit: "binary", maxLength: 20 }).map((text) =>
    `/${encodeURIComponent(text.toWellFormed())}`
  );
  fc.assert(fc.property(path, (target) => {
    const request = requestMessage({ target });
    const { path: told } = JSON.parse(requestInput(request));
    fc.pre(!told.includes("\0"));
    applyResult(parseOutput(JSON.stringify({ set_path: told }), "request"), request, null);
    assert.equal(request.path, told);
  }));
});

Deno.test("set_status changes the answer's status", () => {
  const response = responseMessage(200, ["a", "1"]);
  const result = parseOutput('{"set_status":503,"set_headers":{"a":"2"}}', "response");
  assert.equal(applyResult(result, requestMessage(), response), null);
  assert.deepEqual(response, { status: 503, headers: ["a", "2"] });
});

Deno.test("short_circuit becomes an answer; text without a type is plain text", () => {
  const answer = (short_circuit: unknown) =>
    parseOutput(JSON.stringify({ short_circuit }), "request").shortCircuit;
  const plain = ["content-type", "text/plain; charset=utf-8"];
  assert.deepEqual(answer({ status: 403, body: "no" }), { status: 403, headers: plain, body: "no" });
  assert.deepEqual(answer({ status: 204 }), { status: 204, headers: [], body: null });
  assert.deepEqual(answer({ status: 200, body: "" }), { status: 200, headers: [], body: null });
  assert.deepEqual(
    answer({ status: 200, headers: { "Content-Type": "a/b", "set-cookie": ["x", "y"] }, body: "{}" }),
    {
      status: 200,
      headers: ["content-type", "a/b", "set-cookie", "x", "set-cookie", "y"],
      body: "{}",
    },
  );
  assert.deepEqual(answer({ status: 200, body_base64: "AP8=" }), {
    status: 200,
    headers: [],
    body: new Uint8Array([0, 255]),
  });
});

const REFUSED: [output: string, message: string, stage?: Stage][] = [
  ["blocked", 'the answer is not JSON: found "blocked"'],
  ["[]", "the answer: found a list, wanted an object"],
  ["5", "the answer: found 5, wanted an object"],
  [
    '{"shortcircuit":{"status":403}}',
    'the answer: found the key "shortcircuit", wanted set_headers, remove_headers, set_path, set_status, short_circuit',
  ],
  ['{"set_headers":["a"]}', "set_headers: found a list, wanted an object"],
  ['{"set_headers":{"a":1}}', "set_headers.a: found 1, wanted a string or a list of strings"],
  ['{"set_headers":{"a":["x",null]}}', "set_headers.a: found a list, wanted a string or a list of strings"],
  ['{"set_headers":{"a b":"1"}}', 'set_headers: found "a b", wanted the name of a header'],
  ['{"set_headers":{"Content-Length":"1"}}', "set_headers: only the proxy itself writes content-length"],
  [
    '{"remove_headers":["transfer-encoding"]}',
    "remove_headers: only the proxy itself writes transfer-encoding",
  ],
  ['{"remove_headers":"a"}', 'remove_headers: found "a", wanted a list of names'],
  ['{"remove_headers":[{}]}', "remove_headers: found an object, wanted a name"],
  ['{"remove_headers":["Host"]}', "remove_headers: a request cannot do without host"],
  ['{"set_headers":{"host":"a/b"}}', 'set_headers.host: found "a/b", wanted one host with an optional port'],
  [
    '{"set_headers":{"host":["a","b"]}}',
    "set_headers.host: found a list, wanted one host with an optional port",
  ],
  [
    '{"set_path":"a"}',
    'set_path: found "a", wanted a path that begins with "/", decoded, without ".." or "." parts and NUL',
  ],
  ['{"set_status":200}', "set_status is for the response stage: wanted short_circuit to answer a request"],
  ['{"set_status":"200"}', 'set_status: found "200", wanted a whole number from 200 to 599', "response"],
  ['{"set_status":101}', "set_status: found 101, wanted a whole number from 200 to 599", "response"],
  [
    '{"set_path":"/a"}',
    "set_path is for the request stage: the request has already been forwarded",
    "response",
  ],
  ['{"short_circuit":true}', "short_circuit: found true, wanted an object"],
  ['{"short_circuit":{}}', "short_circuit.status: found nothing, wanted a whole number from 200 to 599"],
  [
    '{"short_circuit":{"status":600}}',
    "short_circuit.status: found 600, wanted a whole number from 200 to 599",
  ],
  [
    '{"short_circuit":{"status":403,"reason":"x"}}',
    'short_circuit: found the key "reason", wanted status, headers, body, body_base64',
  ],
  ['{"short_circuit":{"status":200,"body":{}}}', "short_circuit.body: found an object, wanted a string"],
  [
    '{"short_circuit":{"status":304,"body":"x"}}',
    "short_circuit.body: found a body, wanted none with status 304",
  ],
  [
    '{"short_circuit":{"status":200,"body":"a","body_base64":"AA=="}}',
    "short_circuit: wanted body or body_base64, not both",
  ],
  [
    '{"short_circuit":{"status":200,"body_base64":"?"}}',
    'short_circuit.body_base64: found "?", wanted base64 (RFC 4648 section 4)',
  ],
  [
    '{"short_circuit":{"status":200,"headers":{"connection":"close"}}}',
    "short_circuit.headers: only the proxy itself writes connection",
  ],
];

for (const [output, message, stage = "request"] of REFUSED) {
  Deno.test(`at the ${stage} stage parseOutput refuses ${output}`, () => {
    assert.throws(() => parseOutput(output, stage), (fault) => {
      assert.ok(fault instanceof PluginError);
      assert.deepEqual([fault.kind, fault.message], ["bad_output", message]);
      return true;
    });
  });
}

for (const path of ["/a/../b", "/..", "/./a", "/a\\..\\b", "/\0", "", "a"]) {
  Deno.test(`parseOutput refuses ${JSON.stringify(path)} as a path`, () => {
    assert.throws(
      () => parseOutput(JSON.stringify({ set_path: path }), "request"),
      /^PluginError: set_path: found/,
    );
  });
}

Deno.test("a header's value cannot end its line", () => {
  for (const value of ["a\r\nb: c", "a\n", "\0", "ü€", " a", "a "]) {
    const output = JSON.stringify({ set_headers: { a: value } });
    assert.throws(() => parseOutput(output, "request"), /^PluginError: set_headers\.a: found/, value);
  }
});

Deno.test("whatever the output is, parseOutput refuses it or gives what can be forwarded", () => {
  const header = fc.oneof(fc.string(), fc.constantFrom("x", "host", "connection", "Set-Cookie"));
  const output = fc.oneof(
    fc.json(),
    fc.record({
      set_headers: fc.dictionary(header, fc.oneof(fc.string(), fc.array(fc.string()))),
      remove_headers: fc.array(header),
      set_path: fc.oneof(fc.string(), fc.string().map((text) => `/${text}`)),
      short_circuit: fc.record({ status: fc.integer({ min: 199, max: 601 }), body: fc.string() }, {
        requiredKeys: [],
      }),
    }, { requiredKeys: [] }).map((value) => JSON.stringify(value)),
  );
  fc.assert(fc.property(output, (text) => {
    const request = requestMessage({ target: "/a?b" });
    try {
      applyResult(parseOutput(text, "request"), request, null);
    } catch (fault) {
      assert.ok(fault instanceof PluginError, String(fault));
      return;
    }
    const { headers } = request;
    for (let i = 0; i < headers.length; i += 2) {
      assert.ok(isFieldName(headers[i]) && !isFramingField(headers[i]) && isFieldValue(headers[i + 1]));
    }
    assert.match(request.target, /^\/[\x21-\x7e]*\?b$/);
  }));
});
