/** A listener by itself, on real sockets: how it begins, is renewed, falls back and ends. */
import assert from "node:assert/strict";
import { ConnectionCounts } from "../../../src/proxy/connection_counts.ts";
import { type ClientConnection, ConnectionTable } from "../../../src/proxy/connections.ts";
import { Listener, type ListenerOptions } from "../../../src/proxy/listener.ts";
import { listenTls } from "../../../src/proxy/tls_socket.ts";
import { CA_CERT, SERVER_CERT, SERVER_KEY } from "../../support/tls_fixture.ts";
import { fromLatin1, latin1, RawClient, writeAll } from "../../support/upstream.ts";

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PAIR = { cert: SERVER_CERT, key: SERVER_KEY };

class Fixture implements AsyncDisposable {
  readonly log: string[] = [];
  readonly counts = new ConnectionCounts(new SharedArrayBuffer(ConnectionCounts.BYTES));
  readonly seen: Pick<ClientConnection, "peerIp" | "scheme" | "port">[] = [];
  readonly listener: Listener;
  readonly #connections: ConnectionTable;
  readonly #ticker: ReturnType<typeof setInterval>;

  constructor(options: Partial<ListenerOptions> = {}) {
    const log = (_level: string, message: string) => this.log.push(message);
    this.#connections = new ConnectionTable({
      limits: {
        headerTimeoutMs: 60_000,
        keepAliveTimeoutMs: 60_000,
        maxConnections: 0,
        maxConnectionsPerIp: 0,
      },
      counts: this.counts,
      own: new Int32Array(new SharedArrayBuffer(ConnectionCounts.OWN_BYTES)),
      thread: 1,
      denied: () => {},
      log,
    });
    this.listener = new Listener({
      address: { hostname: "127.0.0.1", port: 0 },
      keys: null,
      connections: this.#connections,
      handler: (_request, connection) => {
        const { peerIp, scheme, port } = connection;
        this.seen.push({ peerIp, scheme, port });
        connection.requestEnded();
        return Promise.resolve(new Response("hello"));
      },
      acceptFailed: () => {},
      log,
      ...options,
    });
    this.#ticker = setInterval(() => this.#connections.sweep(), 50);
  }

  get port(): number {
    return this.listener.address.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.drain(500);
    clearInterval(this.#ticker);
  }
}

async function ask(socket: Deno.Conn): Promise<void> {
  await writeAll(socket, fromLatin1(GET));
  let text = "";
  const chunk = new Uint8Array(1024);
  while (!text.endsWith("hello")) {
    const count = await socket.read(chunk);
    assert.notEqual(count, null, text);
    text += latin1(chunk.subarray(0, count!));
  }
}

/** A TLS connection that asks for `name`, whatever the certificate is for. */
async function connectTls(port: number, name: string): Promise<Deno.TlsConn> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const tls = await Deno.startTls(socket, {
    hostname: name,
    caCerts: [CA_CERT],
    unsafelyDisableHostnameVerification: true,
  });
  await tls.handshake();
  return tls;
}

Deno.test("the handler learns who asks, how and where, and connections are counted", async () => {
  await using fixture = new Fixture();
  {
    using client = await RawClient.connect(fixture.port);
    await ask(client.socket);
    await ask(client.socket);
    assert.equal(fixture.counts.total, 1);
    assert.deepEqual(fixture.seen[1], { peerIp: "127.0.0.1", scheme: "http", port: fixture.port });
  }
  await fixture.listener.drain(500);
  assert.equal(fixture.counts.total, 0);
});

Deno.test("without what the runtime need not have, requests are served, and a warning says what is missing", async () => {
  await using fixture = new Fixture({ serve: null });
  using client = await RawClient.connect(fixture.port);
  await ask(client.socket);
  assert.deepEqual(fixture.seen, [{ peerIp: "127.0.0.1", scheme: "http", port: fixture.port }]);
  assert.deepEqual(fixture.log, [
    "time-outs and limits of client connections are off: this runtime has no way to",
  ]);
});

Deno.test("without it TLS is served with one certificate, and several are refused", async () => {
  await using fixture = new Fixture({ serve: null, keys: { default: PAIR, byDomain: [] } });
  using client = await connectTls(fixture.port, "localhost");
  await ask(client);
  assert.equal(fixture.seen[0].scheme, "https");
  const several = { default: PAIR, byDomain: [{ domain: "a.test", ...PAIR }] };
  assert.throws(() => new Fixture({ serve: null, keys: several }), /cannot choose certificates by name/);
  const address = { hostname: "127.0.0.1", port: 0 };
  assert.throws(() => listenTls(address, several, () => {}, null), /cannot choose certificates by name/);
});

Deno.test("names that clients make up do not pile up, and drop no connection", async () => {
  await using fixture = new Fixture({ keys: { default: PAIR, byDomain: [] }, maxNames: 3 });
  using first = await connectTls(fixture.port, "first.test");
  await ask(first);
  for (let name = 0; name < 10; name++) {
    using client = await connectTls(fixture.port, `made-up-${name}.test`);
    await ask(client);
  }
  await ask(first);
  assert.deepEqual(fixture.log, []);
  assert.equal(fixture.seen.length, 12);
});

Deno.test("several listeners share a port, and one that somebody else has is refused", async () => {
  await using taken = new Fixture();
  const address = { hostname: "127.0.0.1", port: taken.port };
  const blocked = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const other = { hostname: "127.0.0.1", port: blocked.addr.port };
    assert.throws(() => new Fixture({ address: other }), Deno.errors.AddrInUse);
  } finally {
    blocked.close();
  }
  // All threads listen on the same port.
  await using same = new Fixture({ address });
  assert.equal(same.port, taken.port);
});
