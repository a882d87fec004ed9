/** WebSockets through the real program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { ScriptedUpstream } from "../support/scripted_upstream.ts";
import { goneUpstream, targetsToml } from "../support/targets.ts";
import { RawClient } from "../support/upstream.ts";

/** An echo server: texts and bytes come back, "close" closes, the path and protocol are told on demand. */
class Echo implements AsyncDisposable {
  readonly requests: { url: string; headers: Headers }[] = [];
  readonly #server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    this.requests.push({ url: request.url, headers: new Headers(request.headers) });
    const path = new URL(request.url).pathname;
    if (path === "/refused") {
      return new Response("no sockets here", { status: 403, headers: { "x-why": "policy" } });
    }
    if (request.headers.get("upgrade") !== "websocket") return new Response("plain");
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "chat" });
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (data === "close") socket.close(4001, "as you wish");
      else socket.send(data);
    };
    return response;
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function toml(url: string, more = ""): string {
  return `
[domains]
intercept_domains = ["127.0.0.1"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
${more}`;
}

function open(dispa: Dispa, path = "/"): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${dispa.port}${path}`, ["chat", "other"]);
  socket.binaryType = "arraybuffer";
  return socket;
}

function event<E extends Event>(socket: WebSocket, type: string): Promise<E> {
  return new Promise((resolve, reject) => {
    socket.addEventListener(type, (event) => resolve(event as E), { once: true });
    socket.addEventListener("error", () => reject(new Error(`error while waiting for ${type}`)), {
      once: true,
    });
  });
}

async function echo<Data>(socket: WebSocket, data: string | Uint8Array<ArrayBuffer>): Promise<Data> {
  const message = event<MessageEvent>(socket, "message");
  socket.send(data);
  return (await message).data;
}

Deno.test("texts, bytes, large messages, subprotocol and close codes pass; the record counts", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({ toml: toml(upstream.url) });
  const socket = open(dispa, "/chat/a%2Fb?x=1");
  await event(socket, "open");
  assert.equal(socket.protocol, "chat");
  assert.equal(await echo(socket, "grüß dich"), "grüß dich");
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  assert.deepEqual(new Uint8Array(await echo<ArrayBuffer>(socket, bytes)), bytes);
  const large = "x".repeat(4_000_000);
  assert.equal(await echo(socket, large), large);
  const closed = event<CloseEvent>(socket, "close");
  socket.send("close");
  const { code, reason } = await closed;
  assert.deepEqual([code, reason], [4001, "as you wish"]);
  const [request] = upstream.requests;
  assert.match(request.url, /\/chat\/a%2Fb\?x=1$/);
  assert.equal(request.headers.get("x-forwarded-for"), "127.0.0.1");
  const record = await dispa.record("of the websocket", (record) => record.protocol === "websocket");
  assert.equal(record.status_code, 101);
  assert.ok(record.request_size > 4_000_000 && record.response_size > 4_000_000);
  const metrics = await (await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`)).text();
  assert.match(metrics, /^dispa_websocket_messages_total\{direction="to_target"\} 4$/m);
  assert.match(metrics, /^dispa_websocket_connections 0$/m);
});

Deno.test("what a target answers in place of a WebSocket goes to the client, and ordinary requests go on", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({ toml: toml(upstream.url) });
  const refused = await dispa.fetch("127.0.0.1", "/refused", {
    headers: {
      upgrade: "websocket",
      connection: "upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    },
  });
  assert.deepEqual([refused.status, refused.headers.get("x-why"), await refused.text()], [
    403,
    "policy",
    "no sockets here",
  ]);
  assert.equal(await (await dispa.fetch("127.0.0.1", "/")).text(), "plain");
});

const HANDSHAKE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: chat\r\n";

const LARGE = "0123456789".repeat(20_000);
const INSTEAD: [what: string, answer: string, cut: boolean][] = [
  ["to its close", `HTTP/1.1 302 Found\r\nlocation: /there\r\n\r\n${LARGE}`, false],
  ["of known length", `HTTP/1.1 401 No\r\ncontent-length: ${LARGE.length}\r\n\r\n${LARGE}`, false],
  ["that is cut", `HTTP/1.1 401 No\r\ncontent-length: ${LARGE.length + 1}\r\n\r\n${LARGE}`, true],
];

for (const [what, answer, cut] of INSTEAD) {
  Deno.test(`a large body ${what} in place of a WebSocket is passed on, and its request ends`, async () => {
    await using upstream = new ScriptedUpstream(async (side) => {
      await side.readHead();
      await side.send(answer);
    });
    await using dispa = await Dispa.start({
      toml: targetsToml([{ url: `http://127.0.0.1:${upstream.port}` }]),
    });
    using client = await RawClient.connect(dispa.port);
    await client.send(`GET /instead HTTP/1.1\r\nHost: example.com\r\n${HANDSHAKE}\r\n`);
    await client.readUntil(
      cut ? /0123456789$/ : answer.includes("302") ? /\r\n0\r\n\r\n$/ : /(0123456789){20000}$/,
    );
    const record = await dispa.record("of the answer", ({ path }) => path === "/instead");
    assert.equal(record.status_code, answer.includes("302") ? 302 : 401);
    assert.equal(record.response_size, LARGE.length);
    if (cut) assert.match(record.error_message ?? "", /^reset: .*\[phase=body/);
    else assert.equal(record.error_message, null);
    assert.equal(await dispa.metric("dispa_active_requests"), 0);
  });
}

Deno.test("a silent WebSocket is closed with 1001 after the idle time-out, and the record says so", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({ toml: toml(upstream.url, "[websocket]\nidle_timeout = 0.3\n") });
  const socket = open(dispa);
  await event(socket, "open");
  const closed = event<CloseEvent>(socket, "close");
  assert.equal(await echo(socket, "hello"), "hello");
  const { code, reason } = await closed;
  assert.deepEqual([code, reason], [1001, "idle timeout"]);
  const record = await dispa.record("of the websocket", ({ protocol }) => protocol === "websocket");
  assert.match(record.error_message ?? "", /^websocket_idle_timeout: no message passed for 300 ms/);
  assert.equal(await dispa.metric('dispa_websocket_closed_total{cause="idle_timeout"}'), 1);
});

Deno.test("a message of the client that is too large closes the WebSocket with 1009", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({
    toml: toml(upstream.url, "[websocket]\nmax_message_bytes = 1000\n"),
  });
  const socket = open(dispa);
  await event(socket, "open");
  assert.equal(await echo(socket, "x".repeat(1000)), "x".repeat(1000));
  const closed = event<CloseEvent>(socket, "close");
  socket.send("x".repeat(1001));
  assert.equal((await closed).code, 1009);
  await dispa.record("of the websocket", ({ protocol }) => protocol === "websocket");
  assert.equal(await dispa.metric('dispa_websocket_closed_total{cause="client_message_too_big"}'), 1);
});

Deno.test("WebSockets are balanced like requests: each counts at its target for as long as it is open", async () => {
  await using first = new Echo();
  await using second = new Echo();
  const gone = await goneUpstream();
  const config = targetsToml([gone, first, second]).replace('"example.com"', '"127.0.0.1"') +
    '[targets.load_balancing]\ntype = "least_connections"\n';
  await using dispa = await Dispa.start({ toml: config });
  const sockets: WebSocket[] = [];
  for (let i = 0; i < 6; i++) {
    const socket = open(dispa);
    await event(socket, "open");
    sockets.push(socket);
  }
  // The target that is not there is found out at each handshake, and another one is asked.
  assert.deepEqual([first.requests.length, second.requests.length], [3, 3]);
  const opened = (target: string) => dispa.metric(`dispa_target_active_connections{target="${target}"}`);
  assert.deepEqual([await opened("t0"), await opened("t1"), await opened("t2")], [0, 3, 3]);
  for (const socket of sockets) {
    const closed = event(socket, "close");
    socket.close(1000);
    await closed;
  }
  await eventually("none is open", async () => await opened("t1") + await opened("t2") === 0);
});

Deno.test("keys, rules and plugins are asked before a WebSocket is opened", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({
    toml: `
[domains]
intercept_domains = ["example.com"]
[security.auth]
mode = "apikey"
header_name = "x-key"
keys = ["correct"]
[plugins]
enabled = true
[[plugins.plugins]]
name = "mark"
type = "headerinjector"
stage = "request"
config = { request_headers = { "x-mark" = "by plugin" } }
[routing]
[[routing.rules]]
name = "chat"
target = "one"
conditions.path.prefix = "/chat"
request_actions.path.replace_prefix = { pattern = "/chat", replacement = "/room" }
[[routing.rules]]
name = "closed"
conditions.path.prefix = "/closed"
custom_response = { status_code = 410, body = "gone" }
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstream.url}"
`,
  });
  const ask = async (path: string, fields = "X-Key: correct\r\n") => {
    using client = await RawClient.connect(dispa.port);
    await client.send(`GET ${path} HTTP/1.1\r\nHost: example.com\r\n${HANDSHAKE}${fields}\r\n`);
    await client.readUntil(/\r\n\r\n/);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(client.received)?.[1]);
  };
  assert.equal(await ask("/chat/a", ""), 401);
  assert.equal(await ask("/closed"), 410);
  assert.equal(upstream.requests.length, 0);
  assert.equal(await ask("/chat/a"), 101);
  const [{ url, headers }] = upstream.requests;
  assert.equal(new URL(url).pathname, "/room/a");
  assert.equal(headers.get("x-mark"), "by plugin");
});

Deno.test("access rules come before the upgrade", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({
    toml: toml(upstream.url, '[security.access_control]\ndenied_ips = ["127.0.0.0/8"]\n'),
  });
  await assert.rejects(event(open(dispa), "open"));
  assert.equal(upstream.requests.length, 0);
});

Deno.test("a WebSocket outlives a reload, and a shutdown closes it with 1001 and exit code 0", async () => {
  await using upstream = new Echo();
  await using dispa = await Dispa.start({ toml: toml(upstream.url) });
  const socket = open(dispa);
  await event(socket, "open");
  await Deno.writeTextFile(
    dispa.configPath,
    dispa.config(toml(upstream.url, "[http_client]\npool_idle_timeout_secs = 33\n")),
  );
  await dispa.stderr.waitFor(/configuration reloaded/);
  assert.equal(await echo(socket, "still here"), "still here");
  const closed = event<CloseEvent>(socket, "close");
  const stopped = dispa.stop();
  assert.equal((await closed).code, 1001);
  assert.equal(await stopped, 0);
});
