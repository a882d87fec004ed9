/** Thousands of slow clients, and requests from 100,000 addresses, to the real program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { quiet, residentMiB } from "../support/footprint.ts";
import { loopbackAddress, LoopbackSockets, openFilesLimit } from "../support/loopback_sockets.ts";
import { requires, requiresThat } from "../support/skip.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { latin1, ok, RawClient, RawUpstream } from "../support/upstream.ts";

const ADDRESSES = 2500;
const PER_ADDRESS = 2;
const SLOW_BODIES = 200;
const IDLE = 200;
const ROOM = 100;
const MOST = ADDRESSES * PER_ADDRESS + SLOW_BODIES + IDLE + ROOM;
const GET = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

/** Memory that a connection may take, its share of a thread's growth included. */
const CONNECTION_KIB = 64;

const nextTurn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Opens connections without keeping the event loop for long. */
async function openAll(sockets: LoopbackSockets, port: number, from: string[]): Promise<number[]> {
  const handles: number[] = [];
  for (const address of from) {
    handles.push(sockets.connect(address, port));
    if (handles.length % 50 === 0) await nextTurn();
  }
  return handles;
}

const addresses = (block: number, count: number, each = 1) =>
  Array.from({ length: count * each }, (_, index) => loopbackAddress(block, 1 + Math.floor(index / each)));

Deno.test({
  name:
    "5,000 slow headers, and hundreds of slow bodies and idle connections, leave others served and then go",
  ...(requires("libc", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6").ignore
    ? { ignore: true }
    : requiresThat(openFilesLimit() >= 12_000, "fewer than 12,000 files may be open (ulimit -n)")),
  fn: async () => {
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({
      toml:
        `[targets.health_check]\nenabled = false\n[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n` +
        `[security.ddos]\nmax_connections = ${MOST}\nmax_connections_per_ip = ${PER_ADDRESS}\nmin_body_bytes_per_sec = 100\n`,
      server: "header_timeout = 8\nkeep_alive_timeout = 2\n",
    });
    const open = () => dispa.metric("dispa_active_connections");
    const denied = (kind: string) => dispa.metric(`dispa_security_denied_total{kind="${kind}"}`);
    await using others = new SteadyClients(dispa.port, "example.com", "/steady", 1);
    using sockets = new LoopbackSockets();
    await eventually("others are served", () => others.answered.length > 100);
    const memory = residentMiB(dispa.pid);

    const idle = await openAll(sockets, dispa.port, addresses(2, IDLE));
    for (const handle of idle) sockets.send(handle, GET);
    const bodies = await openAll(sockets, dispa.port, addresses(3, SLOW_BODIES));
    const post = "POST /slow HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000\r\n\r\n";
    for (const handle of bodies) sockets.send(handle, post);
    const headers = await openAll(sockets, dispa.port, addresses(1, ADDRESSES, PER_ADDRESS));
    for (const handle of headers) sockets.send(handle, "GET / HTTP/1.1\r\nHost: exam");
    await eventually("5,000 are open", async () => await open() >= headers.length);
    const growth = (residentMiB(dispa.pid) - memory) * 1024 / headers.length;
    console.log(`a connection with half a header takes ${growth.toFixed(1)} KiB`);
    assert.ok(growth < CONNECTION_KIB, `${growth} KiB for each connection`);

    const third = await openAll(sockets, dispa.port, addresses(1, ADDRESSES));
    await eventually("each address's third is closed", () => sockets.closed(third).length === ADDRESSES);
    assert.equal(await denied("too_many_connections"), ADDRESSES);
    for (const handle of third) sockets.close(handle);
    // Idle ones may have gone, which makes room for as many more.
    const more = await openAll(sockets, dispa.port, addresses(4, ROOM + IDLE + 50));
    await eventually(
      "there is no room for more",
      async () => await denied("too_many_connections") > ADDRESSES,
    );
    assert.ok(await open() <= MOST);
    for (const handle of more) sockets.close(handle);

    const answered = others.answered.length;
    const byte = setInterval(() => {
      for (const handle of [...headers, ...bodies]) sockets.send(handle, "a");
    }, 500);
    try {
      await eventually(
        "slow headers are closed",
        () => sockets.closed(headers).length === headers.length,
        60_000,
      );
      await eventually("idle ones are closed", () => sockets.closed(idle).length === IDLE);
      await eventually("slow bodies are closed", () => sockets.closed(bodies).length === SLOW_BODIES, 60_000);
    } finally {
      clearInterval(byte);
    }
    assert.ok(others.answered.length > answered + 100, "others were not served");
    await others.stop();
    assert.ok(headers.every((handle) => sockets.received(handle) === ""));
    assert.ok(idle.every((handle) => /^HTTP\/1\.1 200 /.test(sockets.received(handle))));
    assert.ok(bodies.every((handle) => /^HTTP\/1\.1 408 /.test(sockets.received(handle))));
    // What was closed on the side of this test, for room, is no slow client.
    assert.equal(await denied("slow_client"), headers.length + SLOW_BODIES);
    const slow = () => dispa.records().filter(({ path }) => path === "/slow");
    await eventually("all are recorded", () => slow().length === SLOW_BODIES);
    assert.ok(slow().every(({ error_message }) => error_message?.startsWith("slow_client: ")));
    await quiet(dispa);
    await eventually("all connections are gone", async () => await open() === 0);
  },
});

const FLOOD = Number(Deno.env.get("DISPA_FLOOD_ADDRESSES") ?? 100_000);
const BATCH = 100;
const CONNECTIONS = 8;
const BURST = 10;

/** All different, the IPv6 ones in networks of their own. */
function floodAddress(index: number): string {
  return index % 2 === 0
    ? `11.${index >> 16 & 255}.${index >> 8 & 255}.${index & 255}`
    : `2001:db8:${(index >> 16).toString(16)}:${(index & 0xffff).toString(16)}::1`;
}

/** So many answers without a body. */
async function readHeads(socket: Deno.Conn, count: number): Promise<string> {
  const chunk = new Uint8Array(65536);
  let text = "";
  while (text.split("\r\n\r\n").length - 1 < count) {
    const length = await socket.read(chunk);
    if (length === null) throw new Error(`the connection ended after ${text.slice(-500)}`);
    text += latin1(chunk.subarray(0, length));
  }
  return text;
}

Deno.test("a flood from 100,000 addresses takes no memory, and a client with its own has its exact share", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    workers: 2,
    toml:
      `[logging]\nenabled = false\n[targets.health_check]\nenabled = false\n[[targets.targets]]\nname = "one"\n` +
      `url = "${upstream.url}"\n[security.access_control]\ntrust_proxy_headers = true\n[security.rate_limit]\n` +
      `rate_per_sec = 0.001\nburst = ${BURST}\n[[routing.rules]]\nname = "flood"\n` +
      `conditions = { path = { exact = "/flood" } }\ncustom_response = { status_code = 204 }\n`,
  });
  const from = (client: string) =>
    dispa.fetch("example.com", "/", { headers: { "x-forwarded-for": client } });
  const honest: number[] = [];
  const counts = { passed: 0, refused: 0 };
  let next = 0;
  const send = async (upTo: number) => {
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      using client = await RawClient.connect(dispa.port);
      while (next < upTo) {
        const batch = Array.from({ length: Math.min(BATCH, upTo - next) }, () => {
          return `GET /flood HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: ${
            floodAddress(next++)
          }\r\n\r\n`;
        });
        await client.send(batch.join(""));
        const answers = await readHeads(client.socket, batch.length);
        counts.passed += answers.split("HTTP/1.1 204 ").length - 1;
        counts.refused += answers.split("HTTP/1.1 429 ").length - 1;
      }
    }));
  };
  await send(FLOOD / 10);
  const memory = residentMiB(dispa.pid);
  const started = performance.now();
  for (let part = 2; part <= 10; part++) {
    await Promise.all([
      send(FLOOD * part / 10),
      (async () => {
        for (let more = 0; more < 3; more++) honest.push((await from("198.51.100.7")).status);
      })(),
    ]);
  }
  const seconds = (performance.now() - started) / 1000;
  const growth = residentMiB(dispa.pid) - memory;
  console.log(
    `${Math.round(FLOOD * 0.9 / seconds)} requests a second, memory ${memory.toFixed(0)} MiB and ${
      growth.toFixed(1)
    } more`,
  );
  assert.equal(counts.passed + counts.refused, FLOOD);
  assert.equal(counts.refused, 0, "addresses that had not come before were refused");
  assert.deepEqual(honest.slice(0, BURST), Array(BURST).fill(200));
  assert.deepEqual(honest.slice(BURST), Array(honest.length - BURST).fill(429));
  assert.equal(await dispa.metric('dispa_security_denied_total{kind="rate_limit"}'), honest.length - BURST);
  assert.ok(growth < 64, `memory has grown by ${growth} MiB`);
});
