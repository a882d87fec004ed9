/**
 * Hostile answers against the whole transport, over connections in memory. `DISPA_FUZZ_SECONDS` is the time
 * for all of it; 5 by default. A failure prints the seed that repeats it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Http1Pool } from "../../../src/upstream/http1_pool.ts";
import { UpstreamError } from "../../../src/upstream/transport.ts";
import {
  fromLatin1,
  latin1,
  MemoryConnection,
  nextTurn,
  requestTo,
  targetAt,
  textOf,
} from "./exchange_support.ts";

const FUZZ_MS = Number(Deno.env.get("DISPA_FUZZ_SECONDS") ?? "5") * 1000;

/** What came of an exchange. */
interface Outcome {
  /** Null for an error, whether of the header or inside the body. */
  response: { status: number; body: string } | null;
  /** Whether the connection could carry another request when all bytes had arrived. */
  reusable: boolean;
}

/** Sends one request, lets the answer arrive in pieces, and then the end of the connection. */
async function exchange(method: string, pieces: Uint8Array[]): Promise<Outcome> {
  const connection = new MemoryConnection();
  const pool = new Http1Pool({
    poolMaxIdlePerHost: 1,
    poolIdleTimeoutMs: 60_000,
    dial: () => Promise.resolve(connection),
  });
  const result = pool.send(requestTo(targetAt(80), { method, timeoutMs: 0 })).then(
    async (response) => ({ status: response.status, body: await textOf(response) }),
  ).catch((error) => {
    assert.ok(error instanceof UpstreamError, Deno.inspect(error));
    assert.ok(["reset", "bad_response"].includes(error.code), error.code);
    return null;
  });
  await connection.requested;
  for (const piece of pieces) connection.push(piece);
  await nextTurn();
  const reusable = [...pool.stats().values()].some(({ idle }) => idle === 1);
  assert.ok(!reusable || connection.undelivered === 0, "idle with bytes of the answer unread");
  connection.end();
  const response = await withoutHanging(result);
  pool.close();
  assert.equal(pool.stats().size, 0, "a connection is left over");
  assert.ok(connection.closed);
  return { response, reusable };
}

/** The connection has ended, so the exchange must too: without anything more from outside. */
async function withoutHanging<T>(result: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const hanging = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the exchange hangs")), 5000);
  });
  return await Promise.race([result, hanging]).finally(() => clearTimeout(timer));
}

/**
 * A second reading of RFC 9112, written for clearness: takes the whole input, cuts it with regular
 * expressions.
 */
function reference(method: string, text: string): Outcome {
  const failed = { response: null, reusable: false };
  const line = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/;
  const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n/;
  for (let interim = 0; interim <= 50; interim++) {
    const start = line.exec(text);
    if (start === null) return failed;
    text = text.slice(start[0].length);
    const status = Number(start[2]);
    const fields: [string, string][] = [];
    for (let found; (found = field.exec(text)) !== null; text = text.slice(found[0].length)) {
      fields.push([found[1].toLowerCase(), found[2]]);
    }
    if (!text.startsWith("\r\n")) return failed;
    text = text.slice(2);
    const valuesOf = (name: string) => fields.filter((field) => field[0] === name).map((field) => field[1]);
    const lengths = valuesOf("content-length").flatMap((value) =>
      value.split(",").map((part) => part.trim())
    );
    const codings = valuesOf("transfer-encoding");
    const options = valuesOf("connection").flatMap((value) => value.toLowerCase().split(",")).map((o) =>
      o.trim()
    );
    if (lengths.some((length) => !/^\d{1,16}$/.test(length) || !Number.isSafeInteger(Number(length)))) {
      return failed;
    }
    if (new Set(lengths.map(Number)).size > 1) return failed;
    if (codings.length > 1 || codings.some((coding) => coding.toLowerCase() !== "chunked")) return failed;
    if (codings.length > 0 && (lengths.length > 0 || start[1] === "0")) return failed;
    if (status === 101) return failed;
    if (status < 200) continue;

    const stays = start[1] === "1" && !options.includes("close");
    if (method === "HEAD" || [204, 205, 304].includes(status)) {
      const certain = method === "HEAD" || status !== 205 || Number(lengths[0] ?? -1) === 0;
      return { response: { status, body: "" }, reusable: stays && certain && text === "" };
    }
    if (codings.length > 0) {
      const chunks = readChunks(text);
      if (chunks === null) return failed;
      return { response: { status, body: chunks.body }, reusable: stays && chunks.rest === "" };
    }
    if (lengths.length === 0) return { response: { status, body: text }, reusable: false };
    const length = Number(lengths[0]);
    if (text.length < length) return failed;
    return { response: { status, body: text.slice(0, length) }, reusable: stays && text.length === length };
  }
  return failed;
}

function readChunks(text: string): { body: string; rest: string } | null {
  let body = "";
  for (;;) {
    const size = /^([0-9A-Fa-f]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n/.exec(text);
    if (size === null) return null;
    const length = parseInt(size[1], 16);
    text = text.slice(size[0].length);
    if (length === 0) break;
    if (text.slice(length, length + 2) !== "\r\n") return null;
    body += text.slice(0, length);
    text = text.slice(length + 2);
  }
  const trailers = /^(?:[\t\x20-\x7e\x80-\xff]+\r\n)*\r\n/.exec(text);
  return trailers === null ? null : { body, rest: text.slice(trailers[0].length) };
}

function cut(text: string, at: number[]): Uint8Array[] {
  const bytes = latin1(text);
  const positions = [
    0,
    ...at.map((position) => position % bytes.length).toSorted((a, b) => a - b),
    bytes.length,
  ];
  return positions.slice(1).map((to, i) => bytes.subarray(positions[i], to));
}

const MESSAGES: [method: string, text: string][] = [
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello"],
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["GET", "HTTP/1.1 404\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 5, 5\r\n\r\nhello"],
  ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\nX: \xe9\x80\r\n\r\nto the \r\n\r\n close"],
  ["GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"],
  [
    "GET",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
  ],
  ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
  ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
  ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
  ["GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"],
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"],
  ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"],
  ["GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
  ["GET", `HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n${"0123456789".repeat(7000)}`],
  ["GET", `HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n${"0123456789".repeat(2000)}`],
  [
    "GET",
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n${"0123456789".repeat(2000)}\r\n0\r\n\r\n`,
  ],
  ["GET", `HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(40000)}\r\nContent-Length: 2\r\n\r\nab`],
];

/** Bytes that have a meaning in some place. */
const SEEDS = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "0",
  "1",
  "f",
  "-",
  "\xff",
  "\r\n\r\n",
  "0\r\n\r\n",
]
  .concat(
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "HTTP/1.1 200 OK\r\n",
  );

Deno.test("any partition of an answer's bytes gives the answer that the bytes mean", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...MESSAGES),
      fc.array(fc.nat(100_000), { maxLength: 12 }),
      async ([method, text], at) => {
        assert.deepEqual(await exchange(method, cut(text, at)), reference(method, text));
      },
    ),
    { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: FUZZ_MS / 2 },
  );
});

Deno.test("an answer that arrives byte by byte is the same answer", async () => {
  for (const [method, text] of MESSAGES.filter(([, text]) => text.length < 1000)) {
    const pieces = Array.from(text, (character) => latin1(character));
    assert.deepEqual(await exchange(method, pieces), reference(method, text), text);
  }
});

Deno.test("mutated answers end, mean what the reference reads, and leave no dirty connection", async () => {
  const mutation = fc.record({
    at: fc.nat(400),
    remove: fc.nat(3),
    insert: fc.oneof(
      fc.constantFrom("", ...SEEDS),
      fc.string({ unit: fc.nat(255).map((c) => String.fromCharCode(c)), maxLength: 3 }),
    ),
  });
  const small = MESSAGES.filter(([, text]) => text.length < 1000);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...small),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat(1000), { maxLength: 4 }),
      async ([method, text], mutations, at) => {
        for (const { at, remove, insert } of mutations) {
          const position = at % (text.length + 1);
          text = text.slice(0, position) + insert + text.slice(position + remove);
        }
        if (text === "") return;
        assert.deepEqual(
          await exchange(method, cut(text, at)),
          reference(method, text),
          JSON.stringify(fromLatin1(latin1(text))),
        );
      },
    ),
    { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: FUZZ_MS / 2 },
  );
});
