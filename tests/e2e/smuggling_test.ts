/**
 * Hostile requests on raw sockets through the real program, to an upstream that records bytes: none may reach
 * it as two requests, or with another meaning than every reader gives it (RFC 9112 sections 2, 5, 6 and 11.2).
 */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { field, ok, RawClient, type RawRequest, RawUpstream } from "../support/upstream.ts";

/** What is smuggled: a request of its own, if somebody takes it for one. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";
const POST = "POST /a HTTP/1.1\r\nHost: example.com\r\n";
const END = "0\r\n\r\n";

/** The one request that may reach the upstream, and in which form. */
interface Taken {
  target?: string;
  body?: string;
  host?: string;
  fields?: Record<string, string | undefined>;
}

interface Case {
  title: string;
  bytes: string;
  /**
   * `refused`: 4xx, and nothing of it reaches the upstream. `cut`: the fault is inside the body, when the header
   * may be on its way already: the connection is closed, perhaps without a 4xx, and no whole request reaches
   * the upstream. Otherwise one request in this form; where `orRefused` is set, refusing or cutting it is as
   * good: runtimes differ.
   */
  outcome: "refused" | "cut" | Taken;
  orRefused?: true;
}

const refused = (title: string, bytes: string): Case => ({ title, bytes, outcome: "refused" });
const cut = (title: string, bytes: string): Case => ({ title, bytes, outcome: "cut" });
const either = (title: string, bytes: string, outcome: Taken): Case => ({
  title,
  bytes,
  outcome,
  orRefused: true,
});
const taken = (title: string, bytes: string, outcome: Taken): Case => ({ title, bytes, outcome });

const chunked = (coding: string, body: string) => `${POST}Transfer-Encoding: ${coding}\r\n\r\n${body}`;

const CASES: Case[] = [
  // Two ways to tell where the body ends.
  either(
    "Content-Length before Transfer-Encoding",
    `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${END}${SMUGGLED}`,
    { body: "hello" },
  ),
  // Deno 2.6 drops this Content-Length before anybody can see it, and goes by the chunks (RFC 9112 section 6.3).
  either(
    "Transfer-Encoding before Content-Length",
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n${END}`,
    { body: "hello", fields: { "content-length": undefined } },
  ),
  refused(
    "two Content-Lengths that differ",
    `${POST}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${SMUGGLED}`,
  ),
  either("two Content-Lengths that agree", `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, {
    body: "hello",
  }),
  either("a list of Content-Lengths", `${POST}Content-Length: 5, 5\r\n\r\nhello`, { body: "hello" }),
  refused("a list of Content-Lengths that differ", `${POST}Content-Length: 0, 44\r\n\r\n${SMUGGLED}`),
  refused("Content-Length with a sign", `${POST}Content-Length: +5\r\n\r\nhello`),
  refused("Content-Length below zero", `${POST}Content-Length: -5\r\n\r\nhello`),
  refused("Content-Length in hexadecimal", `${POST}Content-Length: 0x5\r\n\r\nhello`),
  refused("Content-Length with a fraction", `${POST}Content-Length: 5.0\r\n\r\nhello`),
  refused(
    "Content-Length that overflows 64 bits",
    `${POST}Content-Length: 18446744073709551621\r\n\r\nhello`,
  ),
  refused("an empty Content-Length", `${POST}Content-Length: \r\n\r\n${SMUGGLED}`),
  refused("Content-Length with a space inside", `${POST}Content-Length: 4 4\r\n\r\n${SMUGGLED}`),

  // Codings that one reader knows and another does not.
  refused("xchunked", chunked("xchunked", `${END}${SMUGGLED}`)),
  refused("chunked that is not the last coding", chunked("chunked, identity", `${END}${SMUGGLED}`)),
  refused("chunked twice", chunked("chunked, chunked", `${END}${SMUGGLED}`)),
  refused(
    "chunked twice in two fields",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${END}`,
  ),
  refused(
    "identity after chunked in a field of its own",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n${END}${SMUGGLED}`,
  ),
  refused("gzip alone", chunked("gzip", `${END}${SMUGGLED}`)),
  refused("chunked in quotes", chunked('"chunked"', `${END}${SMUGGLED}`)),
  refused("chunked behind a vertical tab", chunked("\x0bchunked", `${END}${SMUGGLED}`)),
  refused("chunked with a parameter", chunked("chunked;q=1", `${END}${SMUGGLED}`)),
  refused(
    "chunked in HTTP/1.0",
    `POST /a HTTP/1.0\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n${END}${SMUGGLED}`,
  ),

  // Lines and fields that readers split in different places.
  refused("a space before the colon", `${POST}Transfer-Encoding : chunked\r\n\r\n${END}${SMUGGLED}`),
  refused("a tab before the colon", `${POST}Content-Length\t: 44\r\n\r\n${SMUGGLED}`),
  either("a folded field", `${POST}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n`, { body: "" }),
  refused("a folded Transfer-Encoding", `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n${END}${SMUGGLED}`),
  refused(
    "a field that begins the header with a space",
    "GET /a HTTP/1.1\r\n X-A: b\r\nHost: example.com\r\n\r\n",
  ),
  refused("a bare CR in a value", `${POST}X-A: b\rTransfer-Encoding: chunked\r\n\r\n`),
  refused("a bare CR for a line end", "GET /a HTTP/1.1\rHost: example.com\r\r"),
  either("bare LF for line ends", "GET /a HTTP/1.1\nHost: example.com\n\n", { target: "/a" }),
  either("a bare LF before a field", `${POST}X-A: b\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, {
    body: SMUGGLED,
  }),
  refused("NUL in a value", `${POST}X-A: b\0c\r\n\r\n`),
  refused("NUL in a name", `${POST}X\0A: b\r\n\r\n`),
  refused("a control character in a value", `${POST}X-A: b\x01c\r\n\r\n`),
  refused("a control character in a name", `${POST}X\x01A: b\r\n\r\n`),
  refused("a line without a colon", `${POST}Content-Length 44\r\n\r\n${SMUGGLED}`),
  refused("an empty name", `${POST}: chunked\r\n\r\n`),
  refused("a name with a bracket", `${POST}Content[Length: 44\r\n\r\n${SMUGGLED}`),
  refused("no HTTP version", "GET /a\r\nHost: example.com\r\n\r\n"),
  refused("an unknown HTTP version", "GET /a HTTP/1.2\r\nHost: example.com\r\n\r\n"),
  refused("two spaces in the request line", "GET /a  HTTP/1.1\r\nHost: example.com\r\n\r\n"),
  refused("a space in the target", "GET /a b HTTP/1.1\r\nHost: example.com\r\n\r\n"),
  refused("a method with a bracket", "GE[T /a HTTP/1.1\r\nHost: example.com\r\n\r\n"),

  // Chunks.
  cut("a chunk size that is no number", chunked("chunked", `x\r\nhello\r\n${END}`)),
  cut("a chunk size with a sign", chunked("chunked", `+5\r\nhello\r\n${END}`)),
  cut("a chunk size with 0x", chunked("chunked", `0x5\r\nhello\r\n${END}`)),
  cut("an empty chunk size", chunked("chunked", `\r\nhello\r\n${END}`)),
  cut("a chunk size that overflows", chunked("chunked", `fffffffffffffffff\r\nhello\r\n${END}`)),
  cut("a chunk longer than its size", chunked("chunked", `3\r\nhello\r\n${END}`)),
  cut("a chunk without a line end", chunked("chunked", `5\r\nhello0\r\n\r\n`)),
  either("a chunk with an extension", chunked("chunked", `5;a="b;c"\r\nhello\r\n${END}`), { body: "hello" }),
  either("bare LF after a chunk's size", chunked("chunked", `5\nhello\r\n${END}`), { body: "hello" }),
  cut("bare LF inside a chunk's extension", chunked("chunked", `5;\nx\r\nhello\r\n${END}`)),
  cut("an endless chunk extension", chunked("chunked", `5;${"a".repeat(200_000)}\r\nhello\r\n${END}`)),
  taken(
    "trailers that name framing fields",
    chunked("chunked", `5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: evil.com\r\nX-Trailer: 1\r\n\r\n`),
    {
      body: "hello",
      host: "example.com",
      fields: { "content-length": undefined, "x-trailer": undefined },
    },
  ),

  // Where the request goes.
  refused("no Host", "GET /a HTTP/1.1\r\n\r\n"),
  refused("two Hosts", "GET /a HTTP/1.1\r\nHost: example.com\r\nHost: evil.com\r\n\r\n"),
  refused("a Host with a path", "GET /a HTTP/1.1\r\nHost: example.com/evil\r\n\r\n"),
  refused("a Host with userinfo", "GET /a HTTP/1.1\r\nHost: evil@example.com\r\n\r\n"),
  refused("a Host with two ports", "GET /a HTTP/1.1\r\nHost: example.com:80:81\r\n\r\n"),
  refused("a Host that is a list", "GET /a HTTP/1.1\r\nHost: example.com, evil.com\r\n\r\n"),
  taken(
    "an absolute-form target with another Host",
    "GET http://example.com/a HTTP/1.1\r\nHost: evil.com\r\n\r\n",
    { target: "/a", host: "example.com" },
  ),
  either(
    "an absolute-form target of another scheme",
    "GET ftp://example.com/a HTTP/1.1\r\nHost: evil.com\r\n\r\n",
    {
      target: "/a",
      host: "example.com",
    },
  ),

  // Connection names fields that somebody else needs.
  taken("Connection: content-length", `${POST}Connection: content-length\r\nContent-Length: 5\r\n\r\nhello`, {
    body: "hello",
    fields: { "content-length": "5", connection: undefined },
  }),
  taken(
    "Connection: transfer-encoding",
    `${POST}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${END}`,
    {
      body: "hello",
    },
  ),
  taken("Connection: host", "GET /a HTTP/1.1\r\nConnection: HOST\r\nHost: example.com\r\n\r\n", {
    host: "example.com",
  }),
  taken(
    "Connection names what tells who asked",
    "GET /a HTTP/1.1\r\nHost: example.com\r\nConnection: X-Forwarded-For, X-Forwarded-Proto, X-Request-Id\r\n\r\n",
    {
      fields: { "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http" },
    },
  ),

  // Upgrades.
  taken(
    "an upgrade to h2c",
    `GET /a HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n` +
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    {
      target: "/a",
      fields: { upgrade: undefined, connection: undefined, "http2-settings": undefined },
    },
  ),
  either(
    "an upgrade to h2c with a body",
    `${POST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n` +
      `Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    {
      body: SMUGGLED,
      fields: { upgrade: undefined, "http2-settings": undefined },
    },
  ),
  taken(
    "an upgrade to something unknown",
    "GET /a HTTP/1.1\r\nHost: example.com\r\nConnection: upgrade\r\nUpgrade: smtp\r\n\r\n",
    {
      fields: { upgrade: undefined, connection: undefined },
    },
  ),
  taken("Expect: 100-continue", `${POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`, {
    body: "hello",
    fields: { expect: undefined },
  }),
];

/** Every field whose name is spelt so that a sloppy reader takes it for the framing one. */
const MISSPELT = [
  "Transfer_Encoding",
  "Content_Length",
  "TransferEncoding",
  "X-Content-Length",
];
for (const name of MISSPELT) {
  CASES.push(either(`${name} is no framing`, `${POST}${name}: chunked\r\nContent-Length: 5\r\n\r\nhello`, {
    body: "hello",
  }));
}

/** Comes after the first answer: only whoever has read the request before to its end, and no further, reads this. */
const NEXT = "GET /next HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";

/** Sends the bytes, the next request once there is an answer, and returns all that comes until the end. */
async function send(dispa: Dispa, bytes: string): Promise<string> {
  using client = await RawClient.connect(dispa.port);
  try {
    await client.send(bytes);
    await client.readUntil(/^HTTP\/1\.1 [2-5]\d\d .*\r\n\r\n/ms);
    if (!client.ended) await client.send(NEXT);
  } catch (fault) {
    // It was refused before all of it was sent.
    if (!(fault instanceof Deno.errors.ConnectionReset || fault instanceof Deno.errors.BrokenPipe)) {
      throw fault;
    }
  }
  return await client.readToEnd();
}

/** The statuses of all answers, interim ones left out. */
function answers(received: string): number[] {
  return [...received.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => Number(status))
    .filter((status) => status >= 200);
}

function checkTaken(
  request: RawRequest,
  { target = "/a", body = "", host = "example.com", fields = {} }: Taken,
) {
  assert.equal(request.target, target);
  assert.equal(request.body, body);
  assert.equal(field(request, "host"), host);
  for (const [name, value] of Object.entries(fields)) assert.equal(field(request, name), value, name);
  const framing = request.fields.filter(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  assert.ok(framing.length <= 1, `framed twice: ${JSON.stringify(framing)}`);
}

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: no hostile request reaches the upstream as two, or with another meaning`, async (t) => {
    await using upstream = new RawUpstream(() => ok("answer"));
    const toml = `[http_client]\ntransport = "${transport}"\n[[targets.targets]]\nname = "one"\n` +
      `url = "${upstream.url}"\n[targets.health_check]\nenabled = false\n`;
    await using dispa = await Dispa.start({ toml, server: "header_timeout = 5\n" });
    for (const { title, bytes, outcome, orRefused } of CASES) {
      await t.step(title, async () => {
        const before = upstream.requests.length;
        const received = await send(dispa, bytes);
        const seen = upstream.requests.slice(before);
        if (outcome === "cut" || outcome === "refused" || (orRefused && seen[0]?.target !== "/a")) {
          const [status, ...more] = answers(received);
          if (outcome === "refused") assert.ok(status >= 400, `answered ${JSON.stringify(received)}`);
          if (status !== undefined) assert.ok(status >= 400 && status < 500, received);
          // Either the connection is closed, the next request perhaps refused, or it goes on exactly behind what was refused.
          assert.deepEqual(seen.map(({ target }) => target), more.includes(200) ? ["/next"] : []);
          assert.deepEqual(more.filter((status) => status !== 200 && status !== 400), []);
        } else {
          checkTaken(seen[0], outcome);
          // Some runtimes close the connection behind a body with trailers.
          const after = seen.slice(1).map(({ target }) => target);
          assert.ok(after.length === 0 || (after.length === 1 && after[0] === "/next"), `then came ${after}`);
        }
      });
    }
  });
}

Deno.test("nothing behind a refused request is taken for a request, however much came at once", async () => {
  await using upstream = new RawUpstream(() => ok("answer"));
  const toml =
    `[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n[targets.health_check]\nenabled = false\n`;
  await using dispa = await Dispa.start({ toml });
  using client = await RawClient.connect(dispa.port);
  // A request can be wrong in two ways: this one is closed for its framing, whatever its Host.
  // What is behind it may look like HTTP/2's, which has no Host.
  const noHost = "GET http://example.com/smuggled HTTP/1.1\r\n\r\n";
  const request = chunked("gzip, chunked", `5\r\nhello\r\n${END}`);
  await client.send(request.replace("Host: example.com\r\n", "") + noHost);
  const received = await client.readToEnd();
  assert.match(
    received,
    /^HTTP\/1\.1 400 [\s\S]*\r\nconnection: close\r\n[\s\S]*is not chunked alone\n(HTTP\/1\.1 400 [^]*)?$/,
  );
  assert.deepEqual(upstream.requests, []);
  await eventually("it is gone", async () => await dispa.metric("dispa_active_connections") === 0);
});

Deno.test("a connection whose end has been told is ended, also behind a request that waits to send its body", async () => {
  await using upstream = new RawUpstream(() => ok("answer"));
  const toml =
    `[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n[targets.health_check]\nenabled = false\n`;
  await using dispa = await Dispa.start({ toml, server: "header_timeout = 600\nkeep_alive_timeout = 600\n" });
  using client = await RawClient.connect(dispa.port);
  const waiting = `${POST}Expect: 100-continue\r\nContent-Length: 10000\r\n\r\nbegin`;
  await client.send(chunked("gzip, chunked", `${END}${waiting}`));
  await client.readToEnd();
  assert.deepEqual(upstream.requests, []);
  await eventually("it is gone", async () => await dispa.metric("dispa_active_connections") === 0);
});
