/**
 * The client of the `ws` library does the same against a server directly and through the proxy's relay: what
 * client and server see must be equal. What is not equal, and why, is at the end.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
// @ts-types="@types/ws"
import { WebSocket } from "ws";
import { requiresThat } from "../support/skip.ts";
import { targetAt } from "../support/upstream_requests.ts";
import { Relay, type RelayOptions } from "../support/websocket_relay.ts";
import { WsServer } from "../support/ws_server.ts";

/** One client: what happened to it, in order, and the means to go on. */
class Client {
  readonly notes: string[] = [];
  readonly socket: WebSocket;
  readonly closed: Promise<void>;
  #waiting: { count: number; resolve: () => void } | null = null;

  constructor(url: string, protocols: string[] = [], options: WebSocket.ClientOptions = {}) {
    this.socket = new WebSocket(url, protocols, options);
    this.socket.on("open", () => this.#note(`open "${this.socket.protocol}"`));
    this.socket.on("message", (data: Uint8Array, isBinary) => this.#note(describe(data, isBinary)));
    this.socket.on("pong", (data) => this.#note(`pong ${data}`));
    this.socket.on("upgrade", ({ headers }) => {
      const cookies = headers["set-cookie"];
      if (cookies !== undefined) this.#note(`cookies ${cookies} extra ${headers["x-extra"]}`);
    });
    this.socket.on("error", (error) => this.#note(`error ${error.message}`));
    this.closed = new Promise((resolve) =>
      this.socket.on("close", (code, reason) => {
        this.#note(`closed ${code} ${reason}`.trimEnd());
        resolve();
      })
    );
  }

  /** Resolves when so many things have happened. */
  async until(count: number): Promise<void> {
    if (this.notes.length < count) {
      await new Promise<void>((resolve) => this.#waiting = { count, resolve });
    }
  }

  #note(text: string): void {
    this.notes.push(text);
    if (this.#waiting !== null && this.notes.length >= this.#waiting.count) this.#waiting.resolve();
  }
}

function describe(data: Uint8Array, isBinary: boolean): string {
  const kind = isBinary ? "binary" : "text";
  if (data.length > 2000) return `${kind} ${data.length} ${createHash("sha256").update(data).digest("hex")}`;
  return `${kind} ${isBinary ? [...data] : new TextDecoder("utf-8", { ignoreBOM: true }).decode(data)}`;
}

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, i) => i * 31 + (i >> 8));
}

interface Scenario {
  name: string;
  /** What it needs; left out: nothing. */
  needs?: { ignore: boolean };
  /** @returns what the client saw; what the server saw is added */
  run(url: string): Promise<string[]>;
}

/** Sends, waits for as many answers, and closes. */
function echoing(name: string, messages: (string | Uint8Array)[]): Scenario {
  return {
    name,
    run: async (url) => {
      const client = new Client(`${url}/echo`);
      await client.until(1);
      for (const message of messages) client.socket.send(message);
      await client.until(1 + messages.length);
      client.socket.close(1000, "done");
      await client.closed;
      return client.notes;
    },
  };
}

function closedByClient(name: string, close: (socket: WebSocket) => void): Scenario {
  return {
    name,
    run: async (url) => {
      const client = new Client(`${url}/count`);
      await client.until(1);
      close(client.socket);
      await client.closed;
      return client.notes;
    },
  };
}

/** The server ends it. */
function watching(name: string, path: string): Scenario {
  return {
    name,
    run: async (url) => {
      const client = new Client(url + path);
      await client.closed;
      return client.notes;
    },
  };
}

const LARGE = requiresThat(
  !Deno.version.deno.startsWith("2.6."),
  "client and server of ws cannot pass megabytes to each other in one process on Deno 2.6, directly either",
);
const UNEXPECTED = requiresThat(
  !Deno.version.deno.startsWith("2.6."),
  "the client of ws is never told of an answer other than 101 on Deno 2.6, directly either",
);

function refused(name: string, path: string): Scenario {
  return {
    name,
    needs: UNEXPECTED,
    run: (url) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      const socket = new WebSocket(url + path);
      socket.on("error", reject);
      socket.on("unexpected-response", (_request, response) => {
        let body = "";
        response.on("data", (chunk) => body += chunk);
        response.on("end", () => {
          const { location, "www-authenticate": authenticate } = response.headers;
          resolve([`${response.statusCode} ${location} ${authenticate} ${body}`]);
        });
      });
      return promise;
    },
  };
}

const SCENARIOS: Scenario[] = [
  echoing("text and binary messages, empty ones among them", [
    "hello",
    "",
    "grüße 😀 \ufeff\0",
    "\ufeffwith a byte order mark",
    Uint8Array.of(0, 1, 255),
    new Uint8Array(0),
  ]),
  echoing("messages at the borders of the length fields", [125, 126, 127, 65_535, 65_536].map(pattern)),
  { ...echoing("binary messages of 17 MiB", [pattern(17 * 1024 * 1024)]), needs: LARGE },
  { ...echoing("text messages of 5 MiB", ["äöü€".repeat(500_000)]), needs: LARGE },
  echoing("500 messages in order", Array.from({ length: 500 }, (_, i) => `message ${i}`)),
  {
    name: "messages that the client sends in fragments, with pings between them",
    run: async (url) => {
      const client = new Client(`${url}/echo`);
      await client.until(1);
      client.socket.send("one ", { fin: false });
      client.socket.send("two ", { fin: false });
      client.socket.send("three", { fin: true });
      await client.until(2);
      client.socket.ping("p");
      await client.until(3);
      client.socket.close();
      await client.closed;
      return client.notes;
    },
  },
  {
    name: "messages that the server sends in fragments, with pings between them",
    run: async (url) => {
      const client = new Client(`${url}/fragments`);
      await client.until(2);
      client.socket.close(1000);
      await client.closed;
      return client.notes;
    },
  },
  {
    name: "a ping of the server is answered with its payload",
    run: async (url) => {
      const client = new Client(`${url}/ping`);
      await client.until(1);
      client.socket.ping("");
      await client.until(2);
      client.socket.close(1000);
      await client.closed;
      return client.notes;
    },
  },
  ...[["a", "b", "c"], ["a"], []].map((protocols): Scenario => ({
    name: `the subprotocol out of [${protocols}]`,
    run: async (url) => {
      const client = new Client(`${url}/count`, protocols);
      await client.until(1);
      client.socket.close();
      await client.closed;
      return client.notes;
    },
  })),
  {
    name: "path, query, cookies and other fields of the request",
    run: async (url) => {
      const headers = { cookie: "a=1; b=2", "x-custom": "y", host: "shop.example.com" };
      const client = new Client(`${url}/headers?q=%20a%2Fb`, [], {
        headers,
        origin: "https://shop.example.com",
      });
      await client.until(2);
      client.socket.close();
      await client.closed;
      return client.notes;
    },
  },
  {
    name: "cookies and other fields of the 101",
    run: async (url) => {
      const client = new Client(`${url}/cookies`);
      await client.until(2);
      client.socket.close();
      await client.closed;
      return client.notes;
    },
  },
  refused("a 401 with its fields and body", "/secret"),
  refused("a 302 with its location", "/login"),
  closedByClient("close by the client without a code", (socket) => socket.close()),
  closedByClient("close by the client with 1000", (socket) => socket.close(1000)),
  closedByClient("close by the client with 4001 and a reason", (socket) => socket.close(4001, "grüße")),
  closedByClient("a client that vanishes", (socket) => socket.terminate()),
  closedByClient("100 messages and a close right behind them", (socket) => {
    for (let i = 0; i < 100; i++) socket.send("x".repeat(i));
    socket.close(3000, "all sent");
  }),
  watching("200 messages of the server and a close right behind them", "/greet"),
  watching("close by the server without a code", "/close"),
  watching("close by the server with 1001", "/close?code=1001&reason=away"),
  watching("close by the server with 1011", "/close?code=1011&reason=gr%C3%BC%C3%9Fe"),
  watching(
    "close by the server with 4999 and the longest reason",
    `/close?code=4999&reason=${"r".repeat(123)}`,
  ),
  {
    name: "a server that finds a message too big",
    run: async (url) => {
      const client = new Client(`${url}/strict`);
      await client.until(1);
      client.socket.send("x".repeat(2000));
      await client.closed;
      return client.notes;
    },
  },
  {
    name: "30 clients at once",
    run: async (url) => {
      const clients = Array.from({ length: 30 }, () => new Client(`${url}/echo`));
      await Promise.all(clients.map(async (client, i) => {
        await client.until(1);
        client.socket.send(`hello ${i}`);
        await client.until(2);
        client.socket.close(4000 + i);
        await client.closed;
      }));
      return clients.flatMap(({ notes }) => notes);
    },
  },
];

/** What client and server saw. Servers' notes are sorted: their connections may close in any order. */
async function outcome(scenario: Scenario, relayed: RelayOptions | null) {
  await using server = await WsServer.start();
  const connection = targetAt(server.port);
  await using relay = relayed === null ? null : new Relay(connection, relayed);
  const client = await scenario.run(relay === null ? `ws://127.0.0.1:${server.port}` : relay.url);
  await server.idle();
  return { client, server: server.notes.map((notes) => notes.join("; ")).sort() };
}

const WAYS: [name: string, options: RelayOptions][] = [
  ["Deno.serve", {}],
  ["an accept loop", { listener: "accept loop" }],
  ["a runtime without the internals we use", { withoutHooks: true }],
];

// The library's sockets hold timers and handles of Node's own beyond the end of a test.
const lenient = { sanitizeOps: false, sanitizeResources: false };

for (const scenario of SCENARIOS) {
  for (const [way, options] of WAYS) {
    Deno.test({
      name: `through a relay on ${way} as without it: ${scenario.name}`,
      ...lenient,
      ...scenario.needs,
      fn: async () => {
        const direct = await outcome(scenario, null);
        assert.ok(direct.client.length > 0);
        assert.deepEqual(await outcome(scenario, options), direct);
      },
    });
  }
}

Deno.test({
  name: "unlike without a relay, a server that vanishes closes the client with 1014",
  ...lenient,
  fn: async () => {
    const scenario = watching("", "/terminate");
    assert.deepEqual((await outcome(scenario, null)).client, ['open ""', "closed 1006"]);
    assert.deepEqual((await outcome(scenario, {})).client, [
      'open ""',
      "closed 1014 connection to the server was lost",
    ]);
  },
});
