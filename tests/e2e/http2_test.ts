/** HTTP/2 clients of HTTP/1.1 targets, without TLS (prior knowledge); tls_test.ts has the choice by ALPN. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import http2 from "node:http2";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { targetsToml } from "../support/targets.ts";

const HOST = "example.com";
const LARGE = new Uint8Array(randomBytes(4_000_000));

/** Answers by path; counts what is in flight. */
class Upstream implements AsyncDisposable {
  inFlight = 0;
  /** Lets the answers to `/late` go. */
  readonly late = Promise.withResolvers<void>();
  readonly #server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request, info) => {
    this.inFlight++;
    info.completed.catch(() => {}).finally(() => this.inFlight--);
    switch (new URL(request.url).pathname) {
      case "/digest":
        return new Response(sha256(new Uint8Array(await request.arrayBuffer())));
      case "/large":
        return new Response(LARGE);
      case "/late":
        await this.late.promise;
        return new Response(LARGE);
      case "/silent":
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        return new Response();
      case "/events":
        return new Response(events(), { headers: { "content-type": "text/event-stream" } });
    }
    return new Response(`${request.method} ${request.headers.get("host")}`);
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** The first event at once, and no other. */
function events(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: first\n\n")),
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A connection on which nothing but HTTP/2 is spoken. */
function connect(dispa: Dispa): http2.ClientHttp2Session {
  const session = http2.connect(dispa.origin);
  // What ends it shows in its streams.
  session.on("error", () => {});
  return session;
}

function open(session: http2.ClientHttp2Session, path: string, body: Uint8Array | null = null) {
  const method = body === null ? "GET" : "POST";
  const stream = session.request({ ":path": path, ":authority": HOST, ":method": method });
  if (body !== null) stream.end(body);
  return stream;
}

async function fetched(session: http2.ClientHttp2Session, path: string, body: Uint8Array | null = null) {
  const stream = open(session, path, body);
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: Buffer }>();
  let status = 0;
  const chunks: Uint8Array[] = [];
  stream.on("response", (headers) => status = Number(headers[":status"]));
  stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  stream.on("end", () => resolve({ status, body: Buffer.concat(chunks) }));
  stream.on("error", reject);
  return await promise;
}

Deno.test("many streams on one HTTP/2 connection are answered, with large bodies both ways", async () => {
  await using upstream = new Upstream();
  await using dispa = await Dispa.start({ toml: targetsToml([upstream]) });
  const session = connect(dispa);
  const hello = await fetched(session, "/");
  assert.deepEqual([hello.status, String(hello.body)], [200, `GET ${HOST}`]);
  const expected = sha256(LARGE);
  await Promise.all(Array.from({ length: 12 }, async (_, i) => {
    if (i % 2 === 0) assert.equal(sha256((await fetched(session, "/large")).body), expected);
    else assert.equal(String((await fetched(session, "/digest", LARGE)).body), expected);
  }));
  // A body without any bytes, and without a length to say so.
  assert.equal(
    String((await fetched(session, "/digest", new Uint8Array(0))).body),
    sha256(new Uint8Array(0)),
  );
  assert.equal(await dispa.metric("dispa_active_connections"), 1);
  session.destroy();
  const record = await dispa.record("of an upload", ({ path }) => path === "/digest");
  assert.equal(record.protocol, "h2");
  await eventually(
    "the connection is gone",
    async () => await dispa.metric("dispa_active_connections") === 0,
  );
});

const MOMENTS: [moment: string, path: string][] = [
  ["before the target answers, which it never does", "/silent"],
  ["before the target answers, which it then does", "/late"],
  ["in a large answer", "/large"],
  ["in a stream of events", "/events"],
];

const WAYS: [
  way: string,
  leave: (session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream) => void,
][] = [
  ["resets its stream", (_session, stream) => stream.close(http2.constants.NGHTTP2_CANCEL)],
  ["closes the connection", (session) => session.destroy()],
];

for (const [way, leave] of WAYS) {
  Deno.test(`an HTTP/2 client that ${way} is let go of, whenever it does`, async (t) => {
    await using upstream = new Upstream();
    await using dispa = await Dispa.start({ toml: targetsToml([upstream]) });
    for (const [moment, path] of MOMENTS) {
      await t.step(moment, async () => {
        const session = connect(dispa);
        const stream = open(session, path);
        stream.on("error", () => {});
        if (path === "/silent" || path === "/late") {
          await eventually("the target is asked", () => upstream.inFlight === 1);
        } else {
          await new Promise((resolve) => stream.once("data", resolve));
        }
        leave(session, stream);
        if (path === "/late") upstream.late.resolve();
        const record = await dispa.record("of who left", (record) => record.path === path);
        assert.match(record.error_message ?? "", /^client_gone/);
        const active = (what: string) => dispa.metric(`dispa_active_${what}`);
        await eventually("nothing is left at the target", () => upstream.inFlight === 0);
        await eventually("no request is in flight", async () => await active("requests") === 0);
        session.destroy();
        await eventually("the connection is gone", async () => await active("connections") === 0);
      });
    }
    assert.equal(await dispa.stop(), 0);
    assert.doesNotMatch(dispa.stderr.all.join("\n"), /did not answer/);
  });
}
