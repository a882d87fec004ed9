/** Requests as clients send them, and what becomes of them on a bad day or in bad hands. Bytes are latin-1 text. */
import type { Seeded } from "../../support/seeded.ts";

/** One to four requests on one connection. @param mark stands in every target, so that no two cases share one */
export function pipeline(random: Seeded, mark: string): string {
  const count = random.pick([1, 1, 1, 2, 2, 3, 4]);
  return Array.from({ length: count }, (_, index) => request(random, `${mark}.${index}`)).join("");
}

function request(random: Seeded, mark: string): string {
  const target = random.pick([
    `/${mark}`,
    `/${mark}`,
    `/${mark}/a%2Fb/../c?q=1&q=%00`,
    `http://other.test/${mark}`,
    `/${mark}/${"x".repeat(random.whole(1, 3000))}`,
  ]);
  const fields = ["Host: example.com"];
  for (let more = random.whole(0, 4); more > 0; more--) fields.push(random.pick(FIELDS));
  const inner = random.pick([
    "",
    "hello",
    "0\r\n\r\n",
    `GET /${mark}/inner HTTP/1.1\r\nHost: example.com\r\n\r\n`,
    `5\r\nhello\r\n0\r\n\r\nGET /${mark}/inner HTTP/1.1\r\nHost: example.com\r\n\r\n`,
    "z".repeat(random.whole(1, 20_000)),
  ]);
  switch (random.whole(0, 7)) {
    case 0:
    case 1:
      return head(random.pick(["GET", "GET", "HEAD", "DELETE", "OPTIONS"]), target, fields);
    case 2:
      return head("GET", target, [...fields, "Connection: keep-alive"], "HTTP/1.0");
    case 3:
      return head("POST", target, [...fields, "Expect: 100-continue", `Content-Length: ${inner.length}`]) +
        inner;
    case 4:
    case 5:
      return head(random.pick(["POST", "PUT", "PATCH"]), target, [
        ...fields,
        `Content-Length: ${inner.length}`,
      ]) +
        inner;
    default:
      return head("POST", target, [...fields, "Transfer-Encoding: chunked"]) + chunks(random, inner);
  }
}

const FIELDS = [
  "Accept: */*",
  "Cookie: a=1",
  "Cookie: b=2; c=3",
  "X-One: 1",
  "X-Two: \xe4\xf6",
  "X-Empty:",
  "Connection: keep-alive",
  "Connection: close, X-One",
  "Connection: Content-Length, Host, Transfer-Encoding",
  "X-Forwarded-For: 10.0.0.1",
  "Upgrade: h2c",
  "TE: trailers",
  "Trailer: X-One",
  "Range: bytes=0-1",
  `X-Long: ${"y".repeat(5000)}`,
];

function head(method: string, target: string, fields: string[], version = "HTTP/1.1"): string {
  return `${method} ${target} ${version}\r\n${fields.join("\r\n")}\r\n\r\n`;
}

function chunks(random: Seeded, body: string): string {
  let text = "";
  for (let at = 0; at < body.length;) {
    const size = random.whole(1, body.length - at);
    const extension = random.pick(["", "", "", ";a=b", ';a="b;c"']);
    text += `${size.toString(16)}${extension}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${random.pick(["", "", "X-Trailer: 1\r\n", "Content-Length: 3\r\n"])}\r\n`;
}

const NUMBERS = ["0", "1", "5", "44", "-1", "+5", "0x5", "5.0", "5, 5", "4294967296", "9007199254740993"];
const HUGE = [
  "18446744073709551616",
  "18446744073709551621",
  "9".repeat(40),
  "ffffffffffffffff",
  "fffffffffffffffff1",
];

/** What is put somewhere into a request. */
const PIECES = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  "\0",
  "\x01",
  "\x0b",
  "\x7f",
  "\x80",
  "\xff\xfe",
  " ",
  "\t",
  ":",
  ",",
  ";",
  "#",
  "%",
  "%zz",
  "\\",
  "../",
  "//",
  "@",
  "Content-Length: 0\r\n",
  "Content-Length: 5\r\n",
  "Content-Length : 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding:\x0bchunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  " Transfer-Encoding: chunked\r\n",
  "Host: evil.test\r\n",
  "Host:\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "Expect: nonsense\r\n",
  "0\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "\x16\x03\x01\x02\x00",
];

type Mutation = (text: string, random: Seeded) => string;

/** Where to change something: heads, where the meaning is, more often than bodies. */
function place(text: string, random: Seeded): number {
  const end = text.indexOf("\r\n\r\n");
  return end > 0 && random.next() < 0.7
    ? random.whole(0, end + 3)
    : random.whole(0, Math.max(0, text.length - 1));
}

/** Start and end of a line, its line break included. */
function line(text: string, random: Seeded): [start: number, end: number] {
  const at = place(text, random);
  const start = text.lastIndexOf("\n", at - 1) + 1;
  const end = text.indexOf("\n", at);
  return [start, end === -1 ? text.length : end + 1];
}

const MUTATIONS: Mutation[] = [
  function flipBit(text, random) {
    const at = place(text, random);
    const code = text.charCodeAt(at) ^ 1 << random.whole(0, 7);
    return text.slice(0, at) + String.fromCharCode(code & 255) + text.slice(at + 1);
  },
  function insertPiece(text, random) {
    const at = place(text, random);
    return text.slice(0, at) + random.pick(PIECES) + text.slice(at);
  },
  function insertLine(text, random) {
    const [start] = line(text, random);
    return text.slice(0, start) + random.pick(PIECES.filter((piece) => piece.includes(": "))) +
      text.slice(start);
  },
  function insertBytes(text, random) {
    const at = place(text, random);
    return text.slice(0, at) + String.fromCharCode(...random.bytes(random.whole(1, 8))) + text.slice(at);
  },
  function removeBytes(text, random) {
    const at = place(text, random);
    return text.slice(0, at) + text.slice(at + random.whole(1, 12));
  },
  function truncate(text, random) {
    return text.slice(0, place(text, random));
  },
  function repeatLine(text, random) {
    const [start, end] = line(text, random);
    return text.slice(0, end) + text.slice(start, end).repeat(random.pick([1, 1, 1, 2, 300])) +
      text.slice(end);
  },
  function removeLine(text, random) {
    const [start, end] = line(text, random);
    return text.slice(0, start) + text.slice(end);
  },
  function swapLines(text, random) {
    const [a, b] = [line(text, random), line(text, random)].sort(([x], [y]) => x - y);
    if (b[0] < a[1]) return text;
    return text.slice(0, a[0]) + text.slice(...b) + text.slice(a[1], b[0]) + text.slice(...a) +
      text.slice(b[1]);
  },
  function changeNumber(text, random) {
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length === 0) return text;
    const { index, 0: old } = random.pick(numbers);
    return text.slice(0, index) + random.pick([...NUMBERS, ...HUGE]) + text.slice(index + old.length);
  },
  function changeLength(text, random) {
    return text.replace(/Content-Length: \d+/, () => `Content-Length: ${random.pick([...NUMBERS, ...HUGE])}`);
  },
  function bareLineFeed(text, random) {
    const [, end] = line(text, random);
    return text.slice(end - 2, end) === "\r\n" ? `${text.slice(0, end - 2)}\n${text.slice(end)}` : text;
  },
  function foldLine(text, random) {
    const [start] = line(text, random);
    return `${text.slice(0, start)} ${text.slice(start)}`;
  },
  function changeCase(text, random) {
    const [start, end] = line(text, random);
    const old = text.slice(start, end);
    return text.slice(0, start) + random.pick([old.toUpperCase(), old.toLowerCase()]) + text.slice(end);
  },
];

/** `text` with one to four changes; now and then none. */
export function mutated(text: string, random: Seeded): string {
  let result = text;
  for (let count = random.pick([0, 1, 1, 1, 2, 2, 3, 4]); count > 0; count--) {
    if (result !== "") result = random.pick(MUTATIONS)(result, random);
  }
  return result;
}

/** `text` in one to five pieces, as the network might bring it. */
export function pieces(text: string, random: Seeded): string[] {
  const cuts = Array.from({ length: random.pick([0, 0, 0, 1, 2, 4]) }, () => random.whole(0, text.length));
  const ends = [...cuts.sort((a, b) => a - b), text.length];
  return ends.map((end, index) => text.slice(index === 0 ? 0 : ends[index - 1], end)).filter((piece) =>
    piece !== ""
  );
}
