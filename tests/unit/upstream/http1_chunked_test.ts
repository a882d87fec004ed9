import assert from "node:assert/strict";
import {
  ChunkedDecoder,
  MAX_SIZE_LINE_BYTES,
  MAX_TRAILER_BYTES,
} from "../../../src/upstream/http1_chunked.ts";
import { Http1SyntaxError } from "../../../src/upstream/http1_syntax.ts";
import { fromLatin1, latin1 } from "./exchange_support.ts";

/** The payload of a message that arrives in pieces of `size` bytes, and whether it was whole. */
function decode(text: string, size = text.length): { payload: string; done: boolean; excessBytes: number } {
  const decoder = new ChunkedDecoder();
  const bytes = latin1(text);
  let payload = "";
  let excessBytes = 0;
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.slice(at, at + size);
    if (decoder.done) {
      excessBytes += piece.length;
    } else {
      payload += fromLatin1(piece.subarray(0, decoder.decode(piece, 0, piece.length)));
      excessBytes += decoder.excessBytes;
    }
  }
  return { payload, done: decoder.done, excessBytes };
}

Deno.test("ChunkedDecoder gives the payload of chunks, however they are cut", () => {
  const messages = [
    "5\r\nhello\r\n0\r\n\r\n",
    "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0;x\r\n\r\n",
    '005 ; a="q;q"\r\nhello\r\n000\r\n\r\n',
    "5\r\nhello\r\n0\r\nTrailer: x\r\nContent-Length: 9\r\n\r\n",
  ];
  for (const message of messages) {
    for (let size = 1; size <= message.length; size++) {
      assert.deepEqual(
        decode(message, size),
        { payload: "hello", done: true, excessBytes: 0 },
        `${message} by ${size}`,
      );
    }
  }
  assert.equal(decode("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n").payload, "01234567890123456789");
});

Deno.test("ChunkedDecoder counts the bytes after the message", () => {
  assert.deepEqual(decode("1\r\nh\r\n0\r\n\r\nHTTP/1.1"), { payload: "h", done: true, excessBytes: 8 });
});

Deno.test("ChunkedDecoder is not done before the empty line of the trailer section", () => {
  const message = "5\r\nhello\r\n0\r\na: b\r\n\r\n";
  for (let length = 1; length < message.length; length++) {
    assert.equal(decode(message.slice(0, length)).done, false);
  }
});

Deno.test("ChunkedDecoder refuses what is no chunk", () => {
  for (
    const message of [
      "\r\nhello",
      "g\r\n",
      "-5\r\nhello",
      "+5\r\nhello",
      "0x5\r\nhello",
      " 5\r\nhello",
      "5 \r\nhello",
      "5 5\r\nhello",
      "5\nhello",
      "5\r\rhello",
      "5\r\nhelloo\r\n",
      "5\r\nhello0\r\n",
      "5\r\nhello\n0\r\n",
      "5\r\nhello\r0",
      "5;a\0\r\n",
      "5;a\nhello",
      "0\r\n\n",
      "0\r\na: \0\r\n",
      "0\r\na\nb\r\n",
      "0\r\na\r\r\n",
      "0\r\n\rX",
      "ffffffffffffffff\r\n",
      "10000000000001\r\n",
    ]
  ) {
    assert.throws(() => decode(message), Http1SyntaxError, JSON.stringify(message));
    assert.throws(() => decode(message, 1), Http1SyntaxError, JSON.stringify(message));
  }
});

Deno.test("ChunkedDecoder bounds size lines, extensions and trailers", () => {
  assert.throws(() => decode("5;" + "a".repeat(MAX_SIZE_LINE_BYTES)), /chunk size line/);
  assert.throws(() => decode("5" + " ".repeat(MAX_SIZE_LINE_BYTES)), /chunk size line/);
  assert.throws(() => decode("0".repeat(MAX_SIZE_LINE_BYTES + 1)), /chunk size line/);
  assert.throws(() => decode("0\r\n" + "a: b\r\n".repeat(MAX_TRAILER_BYTES / 6 + 1)), /trailer section/);
  const manyLines = `1;${"a".repeat(100)}\r\nx\r\n`.repeat(1000) + "0\r\n\r\n";
  assert.equal(decode(manyLines).payload, "x".repeat(1000));
});
