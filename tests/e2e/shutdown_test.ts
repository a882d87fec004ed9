/** What becomes of clients, one by one, while the program shuts down. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { targetsToml } from "../support/targets.ts";
import { fromLatin1, ok, RawUpstream, type Reply, writeAll } from "../support/upstream.ts";
import { NoAnswer, Wire } from "../support/wire.ts";

/** Long enough for whatever a test does within it. */
const LONG_DELAY = "shutdown_delay = 60";
const GET = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

async function ready(dispa: Dispa): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${dispa.healthPort}/ready`);
  const { reason } = await response.json();
  return [response.status, reason];
}

/** SIGTERM has been seen, and the program is not ready any more. */
async function beginShutdown(dispa: Dispa): Promise<void> {
  assert.equal((await ready(dispa))[0], 200);
  dispa.signal("SIGTERM");
  await dispa.stderr.waitFor(/SIGTERM: finishing/);
  await eventually("it is not ready", async () => (await ready(dispa))[0] === 503);
}

/** Asks on a new connection, so that it is known whether anybody listens. */
async function askAnew(dispa: Dispa): Promise<{ status: number; closes: boolean }> {
  using wire = await Wire.connect(dispa.port);
  await wire.send(GET);
  return await wire.answer();
}

Deno.test("for shutdown_delay new connections are served, each answer is the last of its connection, /ready is 503", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targetsToml([upstream]), server: "shutdown_delay = 2" });
  using kept = await Wire.connect(dispa.port);
  await kept.send(GET);
  assert.equal((await kept.answer()).closes, false);
  dispa.signal("SIGTERM");
  await eventually("it drains", async () => {
    await kept.send(GET);
    return (await kept.answer()).closes;
  });
  assert.deepEqual(await ready(dispa), [503, "draining"]);
  const { status, closes } = await askAnew(dispa);
  assert.deepEqual([status, closes], [200, true]);
  await assert.rejects(kept.answer(), NoAnswer, "its connection ends after the last answer");
  assert.equal(await dispa.exited(), 0);
});

Deno.test("shutdown_timeout ends requests: with 503 before the answer, cut within it, and both are recorded", async () => {
  const replies: Record<string, Reply> = {
    "/silent": async (socket) => void await socket.read(new Uint8Array(1)),
    "/endless": async (socket) => {
      await writeAll(
        socket,
        fromLatin1("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
      );
      await socket.read(new Uint8Array(1));
    },
  };
  await using upstream = new RawUpstream(({ target }) => replies[target]);
  await using dispa = await Dispa.start({
    toml: `${targetsToml([upstream])}[logging]\nflush_interval = 60\n[logging.file]\ndirectory = "./logs"\n`,
    server: "shutdown_timeout = 0.5",
  });
  using silent = await Wire.connect(dispa.port);
  using endless = await Wire.connect(dispa.port);
  await silent.send(GET.replace("/", "/silent"));
  await endless.send(GET.replace("/", "/endless"));
  assert.equal((await endless.head()).status, 200);
  await eventually("both are in flight", () => upstream.requests.length === 2);
  dispa.signal("SIGTERM");
  const { status, fields, isWhole } = await silent.answer();
  assert.deepEqual([status, fields.get("x-dispa-error"), isWhole], [503, "shutting_down", true]);
  assert.equal(await dispa.exited(), 0, dispa.stderr.text);
  const records = dispa.records().map(({ path, status_code, error_message }) =>
    `${path} ${status_code} ${error_message?.split(":")[0]}`
  );
  assert.deepEqual(records.sort(), ["/endless 200 shutting_down", "/silent 503 shutting_down"]);
});

Deno.test("a body that is still being sent when the shutdown begins arrives whole", async () => {
  await using upstream = new RawUpstream(({ body }) => ok(body));
  await using dispa = await Dispa.start({ toml: targetsToml([upstream]) });
  using wire = await Wire.connect(dispa.port);
  await wire.send("POST / HTTP/1.1\r\nHost: example.com\r\ncontent-length: 10\r\n\r\nfirst");
  await eventually("it is in flight", () => upstream.accepted === 1);
  await beginShutdown(dispa);
  await eventually(
    "nobody listens",
    () => askAnew(dispa).then(() => false, (fault) => fault instanceof Deno.errors.ConnectionRefused),
  );
  await wire.send("later");
  const { status, body, closes } = await wire.answer();
  assert.deepEqual([status, new TextDecoder().decode(body), closes], [200, "firstlater", true]);
  assert.equal(await dispa.exited(), 0);
});

Deno.test("a large answer that a client reads slowly is whole before the program ends", async () => {
  const size = 8_000_000;
  const large = ok("x".repeat(size));
  await using upstream = new RawUpstream(() => large);
  await using dispa = await Dispa.start({ toml: targetsToml([upstream]) });
  using wire = await Wire.connect(dispa.port);
  await wire.send(GET);
  await eventually("it is in flight", () => upstream.requests.length === 1);
  await beginShutdown(dispa);
  let pieces = 0;
  const { body, isWhole } = await wire.answer({
    onBody: () => pieces++ % 10 === 0 ? new Promise((resolve) => setTimeout(resolve, 10)) : undefined,
  });
  assert.deepEqual([body.length, isWhole], [size, true]);
  assert.equal(await dispa.exited(), 0);
  assert.equal(dispa.records()[0].response_size, size);
});

Deno.test("a second signal ends the program within shutdown_delay, too", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targetsToml([upstream]), server: LONG_DELAY });
  await beginShutdown(dispa);
  assert.equal((await askAnew(dispa)).status, 200);
  assert.equal(await dispa.stop("SIGINT"), 130);
});
