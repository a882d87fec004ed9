/** WebSockets through the real program. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";

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
