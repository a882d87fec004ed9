/**
 * Clients that abuse HTTP/2 (RFC 9113), frame by frame, against the real program: nothing is smuggled, others
 * are served meanwhile, memory is bounded, and nothing stays behind. The HTTP/2 server is the runtime's.
 */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { quiet, residentMiB } from "../support/footprint.ts";
import {
  block,
  END_HEADERS,
  END_STREAM,
  type Fields,
  FRAME,
  frame,
  get,
  Http2Client,
  type Http2Options,
  indexed,
  literal,
  number,
  reference,
} from "../support/http2_client.ts";
import { freePort } from "../support/ports.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../support/tls_fixture.ts";
import { field, fromLatin1, ok, RawUpstream } from "../support/upstream.ts";

const GROWTH_MIB = 96;
const LARGE = fromLatin1(ok("x".repeat(1_000_000)));

interface Stage {
  dispa: Dispa;
  upstream: RawUpstream;
  connect(options?: Http2Options): Promise<Http2Client>;
}

/** Runs `body` with the program, over plain TCP with prior knowledge or over TLS. */
async function onStage(isTls: boolean, body: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "dispa-http2-" });
  await using upstream = new RawUpstream(({ target }) => target === "/large" ? LARGE : ok("hello"));
  try {
    const port = freePort();
    Deno.writeTextFileSync(`${directory}/cert.pem`, SERVER_CERT);
    Deno.writeTextFileSync(`${directory}/key.pem`, SERVER_KEY);
    const toml =
      `[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n[targets.health_check]\nenabled = false\n` +
      `[tls]\nport = ${port}\ncert_file = "${directory}/cert.pem"\nkey_file = "${directory}/key.pem"\n`;
    await using dispa = await Dispa.start({
      toml,
      server: "header_timeout = 1\nkeep_alive_timeout = 2\nsend_timeout = 2\n",
    });
    const connect = async (options: Http2Options = {}) => {
      if (!isTls) return await Http2Client.connect(dispa.port, options);
      const plain = await Deno.connect({ hostname: "127.0.0.1", port });
      const tls = { hostname: "localhost", caCerts: [CA_CERT], alpnProtocols: ["h2"] };
      return await Http2Client.connect(port, { ...options, socket: await Deno.startTls(plain, tls) });
    };
    await body({ dispa, upstream, connect });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

interface Odd {
  title: string;
  fields: Fields;
  body?: string;
  /** Target and Host that may reach the upstream; null: nothing may. */
  taken: [target: string, host: string] | null;
}

const withField = (name: string, value: string): Fields => [...get("/s"), [name, value]];
const refused = (title: string, fields: Fields, body?: string): Odd => ({ title, fields, body, taken: null });
const taken = (title: string, fields: Fields, target: string, body?: string): Odd => ({
  title,
  fields,
  body,
  taken: [target, "example.com"],
});
const post = (length: string): Fields => [
  [":method", "POST"],
  ...get("/s").slice(1),
  ["content-length", length],
];

const ODD: Odd[] = [
  refused("a line break in a value", withField("x-a", "b\r\nx-smuggled: 1")),
  refused("NUL in a value", withField("x-a", "b\0c")),
  refused("a line break in a name", withField("x-a: b\r\nx-smuggled", "1")),
  refused("a line break in the path", get("/s HTTP/1.1\r\nx-smuggled: 1")),
  refused("a line break in the method", [[":method", "GET /x HTTP/1.1\r\nx: y"], ...get("/s").slice(1)]),
  refused("a line break in the authority", get("/s", "example.com\r\nx-smuggled: 1")),
  refused("a space in the path", get("/s HTTP/1.1")),
  refused("an empty name", withField("", "x")),
  refused("a name in capitals", withField("X-Upper", "1")),
  refused("transfer-encoding", withField("transfer-encoding", "chunked")),
  refused("connection", withField("connection", "close")),
  refused("keep-alive", withField("keep-alive", "1")),
  refused("upgrade", withField("upgrade", "h2c")),
  refused("proxy-connection", withField("proxy-connection", "close")),
  refused("te with more than trailers", withField("te", "gzip")),
  refused("a pseudo-field behind a field", [["x-a", "1"], ...get("/s")]),
  refused("an unknown pseudo-field", withField(":evil", "1")),
  refused("a pseudo-field of answers", withField(":status", "200")),
  refused("two authorities", withField(":authority", "evil.test")),
  refused("two paths", withField(":path", "/evil")),
  refused("two methods", withField(":method", "POST")),
  refused("no path", get("/s").slice(0, 3)),
  refused("an empty path", get("")),
  refused("an asterisk", get("*")),
  refused("an authority with userinfo", get("/s", "u@example.com")),
  refused("an authority with a path", get("/s", "example.com/evil")),
  refused("an empty authority", get("/s", "")),
  refused("a scheme with an authority", [
    [":method", "GET"],
    [":scheme", "http://evil.test"],
    ...get("/s").slice(2),
  ]),
  refused("two Hosts", [...get("/s"), ["host", "example.com"], ["host", "evil.test"]]),
  refused("more fields than max_headers", [
    ...get("/s"),
    ...Array.from({ length: 120 }, (_, index) => [`x-${index}`, "1"] as const),
  ]),
  refused("CONNECT", [[":method", "CONNECT"], [":authority", "example.com:443"]]),
  refused("CONNECT for a WebSocket", [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    ...get("/s").slice(1),
  ]),
  refused("content-length without a body", withField("content-length", "5")),
  refused("content-length with a sign", post("+5"), "hello"),
  refused("a body longer than its content-length", post("3"), "hello"),
  refused("a body shorter than its content-length", post("50"), "hello"),
  taken("a body as long as its content-length", post("5"), "/s", "hello"),
  taken("te: trailers", withField("te", "trailers"), "/s"),
  taken("a Host that differs from the authority, which wins", withField("host", "evil.test"), "/s"),
  taken("a Host in place of the authority", [...get("/s").toSpliced(2, 1), ["host", "example.com"]], "/s"),
  taken("an absolute path", get("/http://evil.test/s"), "/http://evil.test/s"),
];

for (const isTls of [false, true]) {
  const over = isTls ? "over TLS" : "with prior knowledge";
  Deno.test(`HTTP/2 ${over}: no odd request reaches the upstream as another, or as two`, async (t) => {
    await onStage(isTls, async ({ upstream, connect }) => {
      for (const { title, fields, body, taken } of ODD) {
        await t.step(title, async () => {
          const before = upstream.requests.length;
          using client = await connect();
          const id = client.open();
          const flags = END_HEADERS | (body === undefined ? END_STREAM : 0);
          const data = body === undefined ? "" : frame(FRAME.DATA, END_STREAM, id, body);
          await client.send(frame(FRAME.HEADERS, flags, id, block(fields)) + data);
          const stream = client.streams.get(id)!;
          await client.until(() => stream.ended || stream.reset !== null || client.ended);
          const seen = upstream.requests.slice(before);
          if (taken === null) {
            const { status } = stream;
            assert.ok(status === null || (status >= 400 && status < 500), `${status}`);
            assert.deepEqual(seen, []);
          } else {
            assert.equal(stream.status, 200);
            assert.deepEqual(seen.map((request) => [request.target, field(request, "host")]), [taken]);
            assert.equal(seen[0].body, body ?? "");
            const framing = seen[0].fields.filter(([name]) =>
              /^(content-length|transfer-encoding)$/.test(name)
            );
            assert.ok(framing.length <= 1);
          }
          // One that was refused on a stream of its own leaves the others alone.
          if (!client.ended && client.goaway === null) assert.equal((await client.answer(get())).status, 200);
        });
      }
    });
  });
}

interface Abuse {
  title: string;
  /** Resolves when the client has done its worst; says what the program has done about it. */
  run(stage: Stage): Promise<void>;
  /** How many requests of it may reach the upstream. */
  reaches: number;
}

/** Error codes of RFC 9113 section 7. */
const REFUSED_STREAM = 7, CANCEL = 8, ENHANCE_YOUR_CALM = 11;

/** Sends `bytes(n)` for n = 0, 1, … until the connection is closed or `most` times. @returns how often */
async function flood(client: Http2Client, most: number, bytes: (index: number) => string): Promise<number> {
  for (let index = 0; index < most; index++) {
    if (client.ended || client.goaway !== null || !await client.send(bytes(index))) return index;
    // Lets the answers in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return most;
}

/** Clients with 50 streams each, whose answers have all begun and cannot go on. */
async function stalled({ connect }: Stage, count: number): Promise<Http2Client[]> {
  const clients: Http2Client[] = [];
  for (let connection = 0; connection < count; connection++) {
    const client = await connect({ window: 0 });
    clients.push(client);
    const ask = () => frame(FRAME.HEADERS, END_HEADERS | END_STREAM, client.open(), block(get("/large")));
    await client.send(Array.from({ length: 50 }, ask).join(""));
    await client.until(() =>
      client.ended || [...client.streams.values()].every(({ status }) => status !== null)
    );
    assert.ok([...client.streams.values()].every(({ status }) => status === 200));
  }
  return clients;
}

const ABUSES: Abuse[] = [
  {
    title: "rapid reset",
    reaches: 1000,
    async run({ connect }) {
      using client = await connect();
      const resetSoon = () => {
        const id = client.open();
        return frame(FRAME.HEADERS, END_HEADERS | END_STREAM, id, block(get("/reset"))) +
          frame(FRAME.RST_STREAM, 0, id, number(CANCEL, 4));
      };
      await flood(client, 1000, () => Array.from({ length: 100 }, resetSoon).join(""));
      await client.until(() => client.ended);
      assert.equal(client.goaway, ENHANCE_YOUR_CALM);
    },
  },
  {
    title: "a header without end in CONTINUATION frames",
    reaches: 0,
    async run({ connect }) {
      using client = await connect();
      await client.send(frame(FRAME.HEADERS, END_STREAM, client.open(), block(get())));
      const more = frame(FRAME.CONTINUATION, 0, 1, literal("x-a", "y".repeat(10_000)));
      const sent = await flood(client, 10_000, () => more);
      assert.ok(sent < 10_000, "a header of 100 MB was taken");
      await client.until(() => client.ended);
    },
  },
  {
    title: "CONTINUATION frames with nothing in them",
    reaches: 0,
    async run({ connect }) {
      using client = await connect();
      await client.send(frame(FRAME.HEADERS, END_STREAM, client.open(), block(get())));
      await flood(client, 1000, () => frame(FRAME.CONTINUATION, 0, 1).repeat(100));
      await client.until(() => client.ended);
    },
  },
  {
    title: "half a header, and silence",
    reaches: 0,
    async run({ connect }) {
      using client = await connect();
      await client.send(frame(FRAME.HEADERS, END_STREAM, client.open(), block(get())));
      await client.until(() => client.ended);
    },
  },
  {
    title: "small headers that unpack to 16 MB each",
    reaches: 0,
    async run({ connect }) {
      using client = await connect();
      const answers: (number | null)[] = [];
      for (let request = 0; request < 50; request++) {
        const id = client.open();
        const bomb = (request === 0 ? indexed("x-bomb", "y".repeat(3900)) : "") + reference(62).repeat(4000);
        await client.send(frame(FRAME.HEADERS, END_HEADERS | END_STREAM, id, block(get()) + bomb));
        const stream = client.streams.get(id)!;
        await client.until(() => stream.ended || stream.reset !== null || client.ended);
        answers.push(stream.status);
      }
      assert.ok(answers.every((status) => status === 431), `${answers}`);
    },
  },
  {
    title: "PING and SETTINGS without end, by a client that does not read",
    reaches: 0,
    async run({ connect }) {
      using client = await connect({ reads: false });
      const many = (frame(FRAME.PING, 0, 0, "12345678") + frame(FRAME.SETTINGS, 0, 0)).repeat(500);
      // Once the program stops reading, a write waits until header_timeout closes the connection.
      for (let index = 0; index < 200 && await client.send(many); index++);
    },
  },
  {
    title: "more streams than are allowed",
    // Those that are allowed reach it as headers of requests that are never whole.
    reaches: 0,
    async run({ connect }) {
      using client = await connect();
      const ids = Array.from({ length: 1000 }, () => client.open());
      const open = (id: number) =>
        frame(FRAME.HEADERS, END_HEADERS, id, block([[":method", "POST"], ...get("/open").slice(1)]));
      await client.send(ids.map(open).join(""));
      const refusedOnes = () => ids.filter((id) => client.streams.get(id)!.reset === REFUSED_STREAM).length;
      await client.until(() => refusedOnes() >= 800 || client.ended);
      assert.equal(refusedOnes(), 800);
    },
  },
  {
    title: "large answers on 200 streams that take none of them, by clients that stay",
    reaches: 200,
    async run(stage) {
      const denied = () => stage.dispa.metric('dispa_security_denied_total{kind="slow_client"}');
      const before = await denied();
      const clients = await stalled(stage, 4);
      try {
        for (const client of clients) await client.until(() => client.ended);
        assert.equal(await denied() - before, 200);
      } finally {
        for (const client of clients) client[Symbol.dispose]();
      }
    },
  },
  {
    title: "large answers on 50 streams that take none of them, by a client that leaves",
    reaches: 50,
    async run(stage) {
      for (const client of await stalled(stage, 1)) client[Symbol.dispose]();
    },
  },
];

for (const isTls of [false, true]) {
  const over = isTls ? "over TLS" : "with prior knowledge";
  Deno.test(`HTTP/2 ${over}: abuse leaves others served, memory bounded and nothing behind`, async (t) => {
    await onStage(isTls, async (stage) => {
      const { dispa, upstream } = stage;
      for (const { title, run, reaches } of ABUSES) {
        await t.step(title, async () => {
          const memory = residentMiB(dispa.pid);
          upstream.requests.length = 0;
          await using others = new SteadyClients(dispa.port, "example.com", "/steady", 2);
          await run(stage);
          const growth = residentMiB(dispa.pid) - memory;
          assert.ok(growth < GROWTH_MIB, `memory has grown by ${growth} MiB`);
          const { length } = others.answered;
          await eventually("others are served", () => others.answered.length > length);
          await others.stop();
          const abusive = upstream.requests.filter(({ target }) => !target.startsWith("/steady")).length;
          assert.ok(abusive <= reaches, `${abusive} requests have reached the upstream`);
          await quiet(dispa);
          await eventually(
            "all connections are gone",
            async () => await dispa.metric("dispa_active_connections") === 0,
          );
        });
      }
      assert.equal(await dispa.metric("dispa_worker_restarts_total"), 0);
    });
  });
}
