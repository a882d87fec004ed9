/** Probes against real local servers. */
import assert from "node:assert/strict";
import { describeFailure, Probe } from "../../../src/health/probe.ts";
import type { TargetConfig } from "../../../src/config/model.ts";
import type { CheckResult } from "../../../src/health/target_health.ts";
import { closedPort, localTarget, serve, serveRaw } from "./fixture.ts";

const encoder = new TextEncoder();

/** Runs `use` with a probe that sends as the checker does. */
async function withProbe(
  target: TargetConfig,
  path: string | null,
  use: (probe: Probe) => Promise<void>,
): Promise<void> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  await use(new Probe(target, path, (url, signal) => fetch(url, { client, redirect: "manual", signal })));
}

async function checkOnce(target: TargetConfig, path: string | null = "/up"): Promise<CheckResult> {
  let result: CheckResult | undefined;
  await withProbe(target, path, async (probe) => {
    result = await probe.check(new AbortController().signal);
  });
  return result!;
}

for (const status of [200, 204, 301, 302, 304, 399]) {
  Deno.test(`probe: status ${status} is healthy, and a redirect is not followed`, async () => {
    await using server = serve(() => new Response(null, { status, headers: { location: "/elsewhere" } }));
    assert.deepEqual(await checkOnce(localTarget(server.port)), {
      ok: true,
      detail: `status ${status} from /up`,
    });
    assert.deepEqual(server.asked, ["/up"]);
  });
}

for (const status of [400, 401, 404, 429, 500, 503]) {
  Deno.test(`probe: status ${status} is a failure`, async () => {
    await using server = serve(() => new Response("busy", { status }));
    assert.deepEqual(await checkOnce(localTarget(server.port)), {
      ok: false,
      detail: `status ${status} from /up`,
    });
    assert.deepEqual(server.asked, ["/up"]);
  });
}

Deno.test("probe: without a path the usual ones are asked in turn while they answer 404", async () => {
  await using server = serve((path) => path === "/ping" ? new Response("pong") : undefined);
  assert.deepEqual(await checkOnce(localTarget(server.port), null), {
    ok: true,
    detail: "status 200 from /ping",
  });
  assert.deepEqual(server.asked, ["/health", "/healthz", "/ping"]);
});

Deno.test("probe: the path that answered is asked first, and looked for again when it is 404", async () => {
  let present = "/healthz";
  await using server = serve((path) => path === present ? new Response("fine") : undefined);
  await withProbe(localTarget(server.port), null, async (probe) => {
    const check = async () => {
      server.asked.length = 0;
      const { ok } = await probe.check(new AbortController().signal);
      return { ok, asked: [...server.asked] };
    };
    assert.deepEqual(await check(), { ok: true, asked: ["/health", "/healthz"] });
    assert.deepEqual(await check(), { ok: true, asked: ["/healthz"] });
    present = "/";
    assert.deepEqual(await check(), { ok: true, asked: ["/healthz", "/health", "/ping", "/"] });
    assert.deepEqual(await check(), { ok: true, asked: ["/"] });
    present = "nowhere";
    assert.deepEqual(await check(), { ok: false, asked: ["/", "/health", "/healthz", "/ping"] });
    assert.deepEqual(await check(), { ok: false, asked: ["/health", "/healthz", "/ping", "/"] });
  });
});

Deno.test("probe: a usual path that answers with an error is the answer, not the next path", async () => {
  await using server = serve((path) => new Response("", { status: path === "/health" ? 503 : 200 }));
  await withProbe(localTarget(server.port), null, async (probe) => {
    for (let times = 0; times < 2; times++) {
      assert.deepEqual(await probe.check(new AbortController().signal), {
        ok: false,
        detail: "status 503 from /health",
      });
    }
  });
  assert.deepEqual(server.asked, ["/health", "/health"]);
});

Deno.test("probe: all usual paths 404 is a failure that says what to set", async () => {
  await using server = serve(() => undefined);
  assert.deepEqual(await checkOnce(localTarget(server.port, "a", "/api"), null), {
    ok: false,
    detail: "status 404 from /api/health, /api/healthz, /api/ping, /api/: set path in [targets.health_check]",
  });
});

Deno.test("probe: the base path of the target comes before the path, and a query is kept", async () => {
  await using server = serve(() => new Response("fine"));
  assert.ok((await checkOnce(localTarget(server.port, "a", "/api/v1"), "/up?deep=1")).ok);
  assert.deepEqual(server.asked, ["/api/v1/up?deep=1"]);
});

Deno.test("probe: an answer without end is healthy by its status and cancelled", async () => {
  let cancelled: () => void;
  const gone = new Promise<void>((resolve) => cancelled = resolve);
  await using server = serve(() =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(encoder.encode("more ".repeat(1000))),
        cancel: () => cancelled(),
      }),
    )
  );
  assert.ok((await checkOnce(localTarget(server.port))).ok);
  await gone;
});

Deno.test("probe: a coded answer is not decoded, whatever it would grow to", async () => {
  // Not gzip at all: reading it would fail.
  await using server = serve(() => new Response("zip", { headers: { "content-encoding": "gzip" } }));
  assert.ok((await checkOnce(localTarget(server.port))).ok);
});

Deno.test("probe: nobody listening is a refused connection", async () => {
  assert.deepEqual(await checkOnce(localTarget(closedPort())), { ok: false, detail: "connection refused" });
});

Deno.test("probe: a target that speaks no TLS fails by a TLS error", async () => {
  await using server = serve(() => new Response("plain"));
  const target = { ...localTarget(server.port), url: `https://127.0.0.1:${server.port}` };
  const { ok, detail } = await checkOnce(target);
  assert.equal(ok, false);
  assert.match(detail, /^TLS error: received corrupt message/);
});

const BROKEN: [what: string, bytes: string, detail: RegExp][] = [
  ["a connection closed before the answer", "", /^connection closed before message completed$/],
  ["something that is not HTTP", "220 mail.example.com ESMTP\r\n\r\n", /^invalid HTTP version parsed$/],
  [
    "a switch of protocols that nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    /^status 101 from \/up$/,
  ],
  [
    "a body shorter than it was declared",
    "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    /^error reading a body from connection/,
  ],
];
for (const [what, bytes, detail] of BROKEN) {
  Deno.test(`probe: ${what} is a failure`, async () => {
    await using server = serveRaw(async (connection) => {
      await connection.read(new Uint8Array(4096));
      if (bytes) await connection.write(encoder.encode(bytes));
    });
    const result = await checkOnce(localTarget(server.port));
    assert.equal(result.ok, false);
    assert.match(result.detail, detail);
  });
}

for (
  const [when, answer] of [["before the header", ""], [
    "inside the body",
    "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
  ]]
) {
  Deno.test(`probe: an abort ${when} ends the check with the abort's reason and closes the connection`, async () => {
    let reached: () => void;
    const asked = new Promise<void>((resolve) => reached = resolve);
    let closed: () => void;
    const gone = new Promise<void>((resolve) => closed = resolve);
    await using server = serveRaw(async (connection) => {
      const buffer = new Uint8Array(4096);
      await connection.read(buffer);
      if (answer) await connection.write(encoder.encode(answer));
      reached();
      if (await connection.read(buffer) === null) closed();
    });
    await withProbe(localTarget(server.port), "/up", async (probe) => {
      const abort = new AbortController();
      const result = probe.check(abort.signal);
      await asked;
      abort.abort(new Error("timed out after 77 ms"));
      assert.deepEqual(await result, { ok: false, detail: "timed out after 77 ms" });
      await gone;
    });
  });
}

Deno.test("describeFailure keeps what matters of fetch's sentence, wherever Deno puts it", () => {
  const sentence = (cause: string) =>
    `error sending request for url (http://10.0.0.1/health): client error ${cause}`;
  const refused = sentence("(Connect): tcp connect error: Connection refused (os error 111)");
  for (
    const error of [new TypeError(refused), new TypeError("fetch failed", { cause: new Error(refused) })]
  ) {
    assert.equal(describeFailure(error), "connection refused");
  }
  for (
    const [cause, expected] of [
      ["(Connect): tcp connect error: No route to host (os error 113)", "no route to host"],
      [
        "(Connect): dns error: failed to lookup address information: Name or service not known",
        "dns error: failed to lookup address information: Name or service not known",
      ],
      [
        "(Connect): invalid peer certificate: UnknownIssuer",
        "TLS error: invalid peer certificate: UnknownIssuer",
      ],
      [
        "(SendRequest): connection error: Connection reset by peer (os error 104)",
        "connection error: Connection reset by peer",
      ],
    ]
  ) {
    assert.equal(describeFailure(new TypeError(sentence(cause))), expected);
  }
  assert.equal(describeFailure("odd"), "odd");
});
