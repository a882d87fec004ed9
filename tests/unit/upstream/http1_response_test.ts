import assert from "node:assert/strict";
import {
  checkHeadBeginning,
  findHeadEnd,
  MAX_FIELDS,
  parseResponseHead,
  type ResponseHead,
} from "../../../src/upstream/http1_response.ts";
import { Http1SyntaxError } from "../../../src/upstream/http1_syntax.ts";
import { latin1 } from "./exchange_support.ts";

function parse(lines: string[], method = "GET"): ResponseHead {
  const text = lines.map((line) => line + "\r\n").join("") + "\r\n";
  const bytes = latin1(text);
  assert.equal(findHeadEnd(bytes, 0, bytes.length), bytes.length);
  return parseResponseHead(bytes, bytes.length, text, method);
}

function parseFields(...fields: string[]): ResponseHead {
  return parse(["HTTP/1.1 200 OK", ...fields]);
}

Deno.test("findHeadEnd finds the empty line wherever it stands and nowhere else", () => {
  for (let before = 0; before < 12; before++) {
    const bytes = latin1("x".repeat(before) + "\r\n\r\n" + "y\r\n\r\n");
    assert.equal(findHeadEnd(bytes, 0, bytes.length), before + 4);
    for (let to = 0; to < before + 4; to++) assert.equal(findHeadEnd(bytes, 0, to), -1);
  }
  for (const text of ["\r\n\n\r\n", "\r\r\n\n", "\n\n\n\n", "\r\n\r\r\n\n\r", "a\r\nb\r\nc\r\n"]) {
    assert.equal(findHeadEnd(latin1(text), 0, text.length), -1, JSON.stringify(text));
  }
  assert.equal(findHeadEnd(latin1("\r\n\r\r\n\r\n"), 0, 7), 7);
});

Deno.test("parseResponseHead lowers names, trims and keeps values byte for byte, order and copies", () => {
  const { status, headers } = parse([
    "HTTP/1.1 299 Any \xfc Reason: at all",
    "Set-Cookie: a=1",
    "X-Latin:\t caf\xe9\x80\x9f\xff \t",
    "set-cookie: B=2",
    'ETag: W/"Q"',
    "Empty:",
  ]);
  assert.equal(status, 299);
  assert.deepEqual(
    headers,
    [
      "set-cookie",
      "a=1",
      "x-latin",
      "caf\xe9\x80\x9f\xff",
      "set-cookie",
      "B=2",
      "etag",
      'W/"Q"',
      "empty",
      "",
    ],
  );
});

Deno.test("parseResponseHead takes a status line without a reason", () => {
  assert.equal(parse(["HTTP/1.1 200"]).status, 200);
  assert.equal(parse(["HTTP/1.0 404 "]).status, 404);
});

Deno.test("parseResponseHead refuses bad status lines", () => {
  for (
    const line of [
      "",
      "HTTP/2 200 OK",
      "HTTP/1.2 200 OK",
      "HTTP/1.1  200 OK",
      "HTTP/1.1 20 OK",
      "HTTP/1.1 2000 OK",
      "HTTP/1.1 099 OK",
      "HTTP/1.1 600 OK",
      "HTTP/1.1 2x0 OK",
      "HTTP/1.1 +20 OK",
      "http/1.1 200 OK",
      "HTTP/1.1 200\tOK",
      "HTTP/1.1 200 O\0K",
      "HTTP/1.1 200 O\nK",
      "HTTP/1.1 200 O\rK",
      "ICY 200 OK",
      "GET / HTTP/1.1",
    ]
  ) {
    assert.throws(() => parse([line, "a: b"]), Http1SyntaxError, JSON.stringify(line));
  }
});

Deno.test("parseResponseHead refuses bad fields", () => {
  for (
    const field of [
      "no colon",
      ": no name",
      "name : space before the colon",
      " folded",
      "\tfolded",
      "na me: a",
      "n\xe4me: a",
      "name\0: a",
      "a: nul \0",
      "a: bare CR \r here",
      "a: bare LF \n here",
      "a: b\nc: d",
      "a: bell \x07",
      "a: del \x7f",
    ]
  ) {
    assert.throws(() => parseFields("first: 1", field, "last: 1"), Http1SyntaxError, JSON.stringify(field));
  }
});

Deno.test("parseResponseHead takes MAX_FIELDS fields and not one more", () => {
  const fields = Array.from({ length: MAX_FIELDS }, (_, i) => `f${i}: ${i}`);
  assert.equal(parseFields(...fields).headers.length, MAX_FIELDS * 2);
  assert.throws(() => parseFields(...fields, "one: more"), Http1SyntaxError);
});

Deno.test("parseResponseHead takes one number for content-length, copies of it included", () => {
  for (const fields of [["5"], ["5", "5"], ["5, 5"], ["5,5", "5"], ["05"]]) {
    const head = parseFields(...fields.map((value) => `Content-Length: ${value}`));
    assert.deepEqual([head.framing, head.length], ["length", 5], fields.join());
    assert.equal(head.headers.length, 2);
    assert.equal(Number(head.headers[1]), 5);
  }
  assert.equal(parseFields("content-length: 0").framing, "none");
});

Deno.test("parseResponseHead refuses any other content-length", () => {
  for (
    const value of [
      "",
      "+5",
      "-5",
      "0x5",
      "5.0",
      "5e1",
      "5 5",
      "5;",
      "five",
      "5, 6",
      "5,",
      ",5",
      "\xb2",
      "9".repeat(16),
    ]
      .concat("9007199254740992", "18446744073709551617", "1".repeat(100))
  ) {
    assert.throws(() => parseFields(`Content-Length: ${value}`), Http1SyntaxError, value);
  }
  assert.throws(() => parseFields("Content-Length: 5", "a: b", "content-length: 6"), Http1SyntaxError);
});

Deno.test("parseResponseHead takes chunked alone for transfer-encoding", () => {
  assert.equal(parseFields("Transfer-Encoding: chunked").framing, "chunked");
  assert.equal(parseFields("transfer-encoding: CHUNKED").framing, "chunked");
  for (
    const value of [
      "",
      "identity",
      "gzip, chunked",
      "chunked, chunked",
      "chunked, identity",
      "xchunked",
      "chunked;q=1",
      '"chunked"',
      "chunked,",
    ]
  ) {
    assert.throws(() => parseFields(`Transfer-Encoding: ${value}`), Http1SyntaxError, value);
  }
  assert.throws(
    () => parseFields("transfer-encoding: chunked", "transfer-encoding: chunked"),
    Http1SyntaxError,
  );
  assert.throws(() => parseFields("transfer-encoding: chunked", "content-length: 5"), Http1SyntaxError);
  assert.throws(() => parseFields("content-length: 5", "transfer-encoding: chunked"), Http1SyntaxError);
  assert.throws(() => parse(["HTTP/1.0 200 OK", "transfer-encoding: chunked"]), Http1SyntaxError);
});

Deno.test("parseResponseHead gives HEAD, 204 and 304 no body whatever the fields say", () => {
  for (const field of ["content-length: 5", "transfer-encoding: chunked", "a: b"]) {
    assert.equal(parse(["HTTP/1.1 200 OK", field], "HEAD").framing, "none");
    assert.equal(parse(["HTTP/1.1 304 Not Modified", field]).framing, "none");
    assert.equal(parse(["HTTP/1.1 204 No Content", field]).framing, "none");
  }
  assert.deepEqual(parse(["HTTP/1.1 200 OK", "content-length: 5"], "HEAD").headers, ["content-length", "5"]);
  assert.deepEqual(parse(["HTTP/1.1 304 Not Modified", "content-length: 5"]).headers, [
    "content-length",
    "5",
  ]);
  assert.deepEqual(parse(["HTTP/1.1 204 No Content", "content-length: 5"]).headers, []);
});

Deno.test("parseResponseHead gives 205 no body and reads nothing behind one that may have some", () => {
  const withLength = (length: number) => parse(["HTTP/1.1 205 Reset Content", `content-length: ${length}`]);
  assert.deepEqual([withLength(0).framing, withLength(0).persistent], ["none", true]);
  assert.deepEqual([withLength(5).framing, withLength(5).persistent], ["none", false]);
});

Deno.test("parseResponseHead reads to the close if nothing else frames the body", () => {
  assert.deepEqual([parseFields().framing, parseFields().persistent], ["close", false]);
});

Deno.test("parseResponseHead tells whether the connection stays", () => {
  const persistent = (...fields: string[]) => parseFields("content-length: 1", ...fields).persistent;
  assert.equal(persistent(), true);
  assert.equal(persistent("connection: keep-alive"), true);
  assert.equal(persistent("Connection: Close"), false);
  assert.equal(persistent("connection: x, close"), false);
  assert.equal(persistent("connection: keep-alive", "connection: close"), false);
  assert.equal(parse(["HTTP/1.0 200 OK", "content-length: 1", "connection: keep-alive"]).persistent, false);
});

Deno.test("parseResponseHead reads the time-out of Keep-Alive", () => {
  const keepAliveMs = (value: string) => parseFields(`Keep-Alive: ${value}`).keepAliveMs;
  assert.equal(keepAliveMs("timeout=5"), 5000);
  assert.equal(keepAliveMs("max=100, timeout=15"), 15_000);
  assert.equal(keepAliveMs("timeout=x"), null);
  assert.equal(keepAliveMs("xtimeout=5"), null);
  assert.equal(parseFields().keepAliveMs, null);
});

Deno.test("parseResponseHead removes hop-by-hop fields and those that Connection names", () => {
  assert.deepEqual(
    parseFields(
      ...["Connection: X-Hop, Content-Length, Set-Cookie", "X-Hop: 1", "Content-Length: 5", "Set-Cookie: a"],
      ...["Keep-Alive: timeout=5", "Upgrade: h2c", "TE: x", "Trailer: x", "Proxy-Connection: x", "Kept: 1"],
      "Proxy-Authenticate: Basic",
    ).headers,
    ["content-length", "5", "set-cookie", "a", "kept", "1", "proxy-authenticate", "Basic"],
  );
});

Deno.test("checkHeadBeginning lets every beginning of a head pass and tells other protocols at once", () => {
  const head = latin1("HTTP/1.1 200 OK\r\na: b\r\n\r\n");
  for (let to = 0; to <= head.length; to++) checkHeadBeginning(head, 0, to);
  for (
    const text of ["\x16\x03\x01", "SSH-2.0", "\0", "HTTP/2", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\na\0"]
  ) {
    const bytes = latin1(text);
    assert.throws(() => checkHeadBeginning(bytes, 0, bytes.length), Http1SyntaxError, JSON.stringify(text));
  }
});
