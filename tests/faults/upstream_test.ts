/**
 * Everything an upstream can do wrong on a real socket, to the real program: the client gets the right answer,
 * the record says why, others are served meanwhile, and nothing is left behind.
 */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Footprint } from "../support/footprint.ts";
import { SEED, Seeded } from "../support/seeded.ts";
import { ScriptedUpstream, type UpstreamSide } from "../support/scripted_upstream.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { chunked, goneUpstream, rawExchange } from "../support/targets.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const TIMEOUT_SECS = 0.4;
const LARGE = "0123456789".repeat(10_000);
const OK = "HTTP/1.1 200 OK\r\n";

interface Fault {
  what: string;
  /** What the upstream does once it has a request's head; the connection is closed afterwards. */
  script: (side: UpstreamSide, random: Seeded) => Promise<void>;
  /** Default: a GET. */
  request?: { method: string; fields: string; body: string };
  /** Status and `x-dispa-error` of the answer. */
  answer: [status: number, code: string | null];
  /** Length of the body that reaches the client; default: any. */
  body?: number | ((body: string) => boolean);
  /** Of the record; null: it has none. */
  message: RegExp | null;
  /** Whether the target's time-out is long. Default false. */
  patient?: boolean;
}

const POST = { method: "POST", fields: `Content-Length: ${LARGE.length}\r\n`, body: LARGE };
const nothing = async (side: UpstreamSide) => void await side.readTo("\0never").catch(() => null);
const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

const FAULTS: Fault[] = [
  {
    what: "says nothing",
    script: nothing,
    answer: [504, "upstream_timeout"],
    message: /^upstream_timeout: .* \[phase=header timer=targets\.targets\.timeout\]$/,
  },
  {
    what: "closes before its header",
    script: () => Promise.resolve(),
    answer: [502, "reset"],
    message: /^reset: .*\[phase=header/,
  },
  {
    what: "resets before its header, with a body on its way to it",
    // Closing with unread bytes makes the system send a reset.
    script: () => pause(20),
    request: POST,
    answer: [502, "reset"],
    message: /^reset: .*\[phase=header/,
  },
  {
    what: "closes in its header",
    script: async (side, random) => {
      const head = `${OK}content-length: 5\r\nx-padding: ${"p".repeat(200)}\r\n`;
      await side.send(head.slice(0, random.whole(1, head.length)));
    },
    answer: [502, "reset"],
    message: /^reset: .*\[phase=header/,
  },
  {
    what: "closes after its header, before any of a large body",
    script: (side) => side.send(`${OK}content-length: ${LARGE.length}\r\n\r\n`),
    answer: [200, null],
    body: 0,
    message: /^reset: .*\[phase=body/,
  },
  {
    what: "cuts a body of declared length",
    script: (side, random) =>
      side.send(`${OK}content-length: ${LARGE.length}\r\n\r\n${LARGE.slice(0, random.whole(1, 99_999))}`),
    answer: [200, null],
    body: (body) => body.length < LARGE.length && LARGE.startsWith(body),
    message: /^reset: .*\[phase=body/,
  },
  {
    what: "cuts a body in chunks",
    script: async (side, random) => {
      const whole = chunked(LARGE, 1000);
      await side.send(
        `${OK}transfer-encoding: chunked\r\n\r\n${whole.slice(0, random.whole(1, whole.length - 6))}`,
      );
    },
    answer: [200, null],
    body: (body) => !body.endsWith("0\r\n\r\n"),
    message: /^reset: .*\[phase=body/,
  },
  {
    what: "stalls in a body",
    script: async (side) => {
      await side.send(`${OK}content-length: ${LARGE.length}\r\n\r\n${LARGE.slice(0, 70_000)}`);
      await nothing(side);
    },
    answer: [200, null],
    body: 70_000,
    message: /^upstream_timeout: .* \[phase=body timer=targets\.targets\.timeout\]$/,
  },
  {
    what: "drips header and body, byte by byte",
    patient: true,
    script: async (side) => {
      for (const character of `${OK}content-length: 5\r\n\r\nhello`) {
        await side.send(character);
        await pause(5);
      }
    },
    answer: [200, null],
    body: 5,
    message: null,
  },
  {
    what: "sends garbage",
    script: (side, random) => side.send(new Uint8Array([0, ...random.bytes(random.whole(40, 4000))])),
    answer: [502, "bad_response"],
    message: /^bad_response: .*\[phase=header\]$/,
  },
  {
    what: "sends a header of a megabyte",
    script: async (side) => {
      await side.send(`${OK}x-padding: `);
      for (let i = 0; i < 16; i++) await side.send("p".repeat(65_536)).catch(() => {});
      await nothing(side);
    },
    answer: [502, "bad_response"],
    message: /^bad_response: .*\[phase=header/,
  },
  {
    what: "sends two lengths",
    script: (side) => side.send(`${OK}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`),
    answer: [502, "bad_response"],
    message: /^bad_response: /,
  },
  {
    what: "sends more than it said",
    script: async (side) => {
      await side.send(`${OK}content-length: 5\r\n\r\nhello${OK}content-length: 4\r\n\r\nevil`);
      await nothing(side);
    },
    answer: [200, null],
    body: 5,
    message: null,
  },
  {
    what: "sends a body with its 204",
    script: async (side) => {
      await side.send(`HTTP/1.1 204 No Content\r\n\r\n${OK}content-length: 4\r\n\r\nevil`);
      await nothing(side);
    },
    answer: [204, null],
    body: 0,
    message: null,
  },
  {
    what: "refuses a request before it has ended, and closes",
    script: async (side) => {
      await side.send("HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlarge");
      // Bytes that are left unread would turn the close into a reset, which may overtake the answer.
      await side.readBytes(LARGE.length);
    },
    request: POST,
    answer: [413, null],
    body: 5,
    message: null,
  },
];

function toml(bad: number, good: RawUpstream, gone: RawUpstream, transport: string): string {
  return `
[domains]
intercept_domains = ["example.com"]
[http_client]
transport = "${transport}"
pool_idle_timeout_secs = 0.3
[targets.health_check]
enabled = false
[routing]
default_target = "good"
[[routing.rules]]
name = "bad"
conditions.path.prefix = "/bad"
target = "bad"
[[routing.rules]]
name = "slow"
conditions.path.prefix = "/slow"
target = "slow"
[[routing.rules]]
name = "gone"
conditions.path.prefix = "/gone"
target = "gone"
[[targets.targets]]
name = "good"
url = "${good.url}"
[[targets.targets]]
name = "bad"
url = "http://127.0.0.1:${bad}"
timeout = ${TIMEOUT_SECS}
[[targets.targets]]
name = "slow"
url = "http://127.0.0.1:${bad}"
[[targets.targets]]
name = "gone"
url = "${gone.url}"
`;
}

/** `fetch` takes three times the memory under the same load; a leak of a body or two a fault is more than either. */
const GROWTH_MIB = { http1: 64, fetch: 192 };

for (const transport of ["http1", "fetch"] as const) {
  Deno.test(`${transport}: an upstream that misbehaves`, async (t) => {
    let script: Fault["script"] = nothing;
    const random = new Seeded();
    await using bad = new ScriptedUpstream(async (side) => {
      if (await side.readHead() === null) return;
      try {
        await script(side, random);
      } catch (fault) {
        if (!(fault instanceof Deno.errors.BrokenPipe || fault instanceof Deno.errors.ConnectionReset)) {
          throw fault;
        }
      }
    });
    await using good = new RawUpstream(() => ok("hello"));
    const gone = await goneUpstream();
    await using dispa = await Dispa.start({ toml: toml(bad.port, good, gone, transport), workers: 2 });
    await using clients = new SteadyClients(dispa.port, "example.com", "/steady", 2);
    await eventually("others are served", () => clients.answered.length > 50);
    await clients.stop();
    const footprint = await Footprint.of(dispa);

    for (const fault of FAULTS) {
      await t.step(`${fault.what} (seed ${SEED})`, async () => {
        script = fault.script;
        await using others = new SteadyClients(dispa.port, "example.com", "/steady", 2);
        const connections = bad.connections;
        const target = fault.patient ? "slow" : "bad";
        const path = `/${target}/${encodeURIComponent(fault.what)}`;
        const { status, code, body } = await rawExchange(dispa, { path, ...fault.request });
        assert.deepEqual([status, code], fault.answer);
        if (typeof fault.body === "number") assert.equal(body.length, fault.body);
        else if (fault.body !== undefined) assert.ok(fault.body(body), `the body is ${body.slice(-200)}`);
        assert.equal(bad.connections - connections, 1);
        const record = await dispa.record(fault.what, (record) => record.path === path);
        assert.equal(record.status_code, status);
        assert.equal(record.target, target);
        if (fault.message === null) assert.equal(record.error_message, null);
        else assert.match(record.error_message!, fault.message);
        const served = others.answered.length;
        await eventually("others are served", () => others.answered.length > served + 20);
        await others.stop();
        await footprint.restored(dispa, GROWTH_MIB[transport]);
      });
    }

    await t.step("refuses connections", async () => {
      await using others = new SteadyClients(dispa.port, "example.com", "/steady", 2);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => rawExchange(dispa, { path: "/gone" })),
      );
      for (const { status, code } of answers) assert.deepEqual([status, code], [502, "connect_refused"]);
      await eventually("others are served", () => others.answered.length > 20);
      await others.stop();
      await footprint.restored(dispa, GROWTH_MIB[transport]);
    });

    await t.step("sends without end to a client that leaves", async () => {
      let closed = 0;
      script = async (side) => {
        await side.send(`${OK}content-length: 1000000000\r\n\r\n`);
        try {
          for (;;) await side.send(LARGE);
        } finally {
          closed++;
        }
      };
      await using others = new SteadyClients(dispa.port, "example.com", "/steady", 2);
      for (let i = 0; i < 5; i++) {
        using client = await RawClient.connect(dispa.port);
        await client.send("GET /slow/endless HTTP/1.1\r\nHost: example.com\r\n\r\n");
        await client.readUntil(/0123456789/);
      }
      await eventually("the upstream is let go of", () => closed === 5);
      const records = await eventually("they are recorded", () => {
        const found = dispa.records().filter(({ path }) => path === "/slow/endless");
        return found.length === 5 ? found : null;
      });
      for (const { error_message } of records) {
        assert.match(error_message!, /^client_gone: .* \[phase=body\]$/);
      }
      await others.stop();
      await footprint.restored(dispa, GROWTH_MIB[transport]);
    });
  });
}
