/** How long connections may wait, and what a drain does to them; in a time of the tests' own. */
import assert from "node:assert/strict";
import { ConnectionCounts } from "../../../src/proxy/connection_counts.ts";
import {
  type ConnectionLimits,
  ConnectionTable,
  type TrackedConnection,
} from "../../../src/proxy/connections.ts";

const LIMITS: ConnectionLimits = {
  headerTimeoutMs: 1_000,
  keepAliveTimeoutMs: 5_000,
  maxConnections: 0,
  maxConnectionsPerIp: 0,
};

class Fixture {
  nowMs = 0;
  readonly events: string[] = [];
  readonly counts = new ConnectionCounts(new SharedArrayBuffer(ConnectionCounts.BYTES));
  readonly table: ConnectionTable;
  readonly listener = {};

  constructor(limits: Partial<ConnectionLimits> = {}, shutdownTellsClients = false) {
    this.table = new ConnectionTable({
      shutdownTellsClients,
      limits: { ...LIMITS, ...limits },
      counts: this.counts,
      own: new Int32Array(new SharedArrayBuffer(ConnectionCounts.OWN_BYTES)),
      thread: 1,
      denied: (kind) => this.events.push(kind),
      log: (_level, message) => this.events.push(`log ${message}`),
      nowMs: () => this.nowMs,
    });
  }

  /** An accepted connection; what happens to it is told under `name`. */
  admit(name: string, peerIp = "10.0.0.1"): TrackedConnection | null {
    const origin = { listener: this.listener, peerIp, scheme: "http", port: 80 } as const;
    return this.table.admit(origin, () => this.events.push(`${name} closed`));
  }

  /** One on which HTTP is spoken. */
  open(name: string, peerIp?: string): TrackedConnection {
    const connection = this.admit(name, peerIp);
    assert.ok(connection);
    connection.served(
      {
        finished: Promise.resolve(),
        shutdown: () => {
          this.events.push(`${name} shut down`);
          return Promise.resolve();
        },
      },
      () => {
        this.events.push(`${name} aborted`);
        connection.gone();
      },
      null,
    );
    return connection;
  }

  /** Time passes in the ticks of a thread. */
  pass(milliseconds: number): void {
    const end = this.nowMs + milliseconds;
    while (this.nowMs < end) {
      this.nowMs = Math.min(end, this.nowMs + 50);
      this.table.sweep();
    }
  }
}

Deno.test("a connection without a whole header is aborted after the header time-out, not before", () => {
  const t = new Fixture();
  t.open("a");
  t.pass(999);
  assert.deepEqual(t.events, []);
  t.pass(100);
  assert.deepEqual(t.events, ["slow_client", "a aborted"]);
  assert.equal(t.counts.total, 0);
});

Deno.test("a request in flight is never cut, and the idle time begins with its end", () => {
  const t = new Fixture();
  const a = t.open("a");
  t.pass(500);
  a.requestBegan();
  t.pass(60_000);
  assert.deepEqual(t.events, []);
  a.requestEnded();
  t.pass(4_900);
  assert.deepEqual(t.events, []);
  t.pass(200);
  assert.deepEqual(t.events, ["a aborted"]);
});

Deno.test("each request begins the idle time anew", () => {
  const t = new Fixture();
  const a = t.open("a");
  for (let request = 0; request < 10; request++) {
    a.requestBegan();
    t.pass(100);
    a.requestEnded();
    t.pass(3_000);
  }
  assert.deepEqual(t.events, []);
  t.pass(2_200);
  assert.deepEqual(t.events, ["a aborted"]);
});

Deno.test("of many requests at once on one connection all must have ended", () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  a.requestBegan();
  a.requestEnded();
  t.pass(20_000);
  assert.deepEqual(t.events, []);
  a.requestEnded();
  t.pass(5_100);
  assert.deepEqual(t.events, ["a aborted"]);
});

Deno.test("after an answer that came before the end of the body the connection does not linger", () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  a.requestEnded(false);
  t.pass(2_200);
  assert.deepEqual(t.events, ["a aborted"]);
});

Deno.test("a TLS handshake that takes too long counts once, and ends when the client ends it", () => {
  const t = new Fixture();
  const a = t.admit("a");
  assert.ok(a);
  t.pass(60_000);
  assert.deepEqual(t.events, ["slow_client"]);
  assert.equal(a.givenUp, true);
  assert.equal(t.counts.total, 1);
  a.gone();
  assert.equal(t.counts.total, 0);
});

Deno.test("a handshake in time leaves the whole header time-out for the header", () => {
  const t = new Fixture();
  const a = t.admit("a");
  t.pass(900);
  a?.served(
    { finished: Promise.resolve(), shutdown: () => Promise.resolve() },
    () => t.events.push("aborted"),
    null,
  );
  t.pass(900);
  assert.deepEqual(t.events, []);
  t.pass(200);
  assert.deepEqual(t.events, ["slow_client", "aborted"]);
});

Deno.test("time-outs that a reload changes hold for connections that are open", () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  a.requestEnded();
  t.table.limits = { ...LIMITS, keepAliveTimeoutMs: 60_000 };
  t.pass(30_000);
  assert.deepEqual(t.events, []);
});

Deno.test("connections over the limit are refused, counted, and told of once in a while", () => {
  const t = new Fixture({ maxConnections: 2, headerTimeoutMs: 1e9 });
  const a = t.open("a");
  t.open("b");
  assert.equal(t.admit("c"), null);
  assert.equal(t.admit("d"), null);
  const told = "log connections are refused: server has security.ddos.max_connections (2) clients";
  assert.deepEqual(t.events, ["too_many_connections", told, "too_many_connections"]);
  a.gone();
  assert.ok(t.admit("e"));
  t.pass(61_000);
  t.admit("f");
  assert.deepEqual(t.events.slice(-2), ["too_many_connections", told]);
});

Deno.test("a client over its own limit is refused, others are not", () => {
  const t = new Fixture({ maxConnectionsPerIp: 2, headerTimeoutMs: 1e9 });
  const a = t.open("a", "10.0.0.1");
  t.open("b", "10.0.0.1");
  assert.equal(t.admit("c", "10.0.0.1"), null);
  assert.equal(t.counts.total, 2);
  t.open("d", "10.0.0.2");
  a.gone();
  t.open("e", "10.0.0.1");
  assert.equal(t.counts.total, 3);
});

Deno.test("a drain shuts down what is in flight, and aborts what is idle after a moment", async () => {
  const t = new Fixture();
  const [busy, idle, fresh] = [t.open("busy"), t.open("idle"), t.open("fresh")];
  const shaking = t.admit("shaking");
  assert.ok(shaking && fresh);
  idle.requestBegan();
  idle.requestEnded();
  busy.requestBegan();
  let drained = false;
  const drain = t.table.drain(t.listener, 500).then(() => drained = true);
  t.pass(600);
  assert.deepEqual(t.events.sort(), ["fresh aborted", "idle aborted", "shaking closed"]);
  await Promise.resolve();
  assert.equal(drained, false);
  busy.requestEnded();
  assert.ok(busy.endsWithAnswer());
  assert.equal(t.events.length, 3, "shut down before the runtime has the answer");
  t.pass(100);
  assert.deepEqual(t.events.slice(3), ["busy shut down"]);
  busy.gone();
  await drain;
  assert.equal(t.counts.total, 0);
});

Deno.test("a request that comes in a drain is answered, and its connection shut down", async () => {
  const t = new Fixture();
  const a = t.open("a");
  const drain = t.table.drain(t.listener, 500);
  a.requestBegan();
  assert.ok(a.endsWithAnswer());
  t.pass(10_000);
  assert.deepEqual(t.events, [], "the body of its request may still be read");
  a.requestEnded();
  t.pass(100);
  a.gone();
  await drain;
  assert.deepEqual(t.events, ["a shut down"]);
});

Deno.test("an answer that began before a drain is followed by a moment for the next request", async () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  assert.equal(a.endsWithAnswer(), false);
  const drain = t.table.drain(t.listener, 500);
  t.pass(10_000);
  a.requestEnded();
  t.pass(400);
  a.requestBegan();
  t.pass(10_000);
  assert.deepEqual(t.events, []);
  assert.ok(a.endsWithAnswer());
  a.requestEnded();
  t.pass(100);
  assert.deepEqual(t.events, ["a shut down"]);
  a.gone();
  await drain;
});

Deno.test("a connection that comes in a drain gets one answer, or a moment to ask", async () => {
  const t = new Fixture();
  const drain = t.table.drain(t.listener, 500);
  await drain;
  const [asking, silent] = [t.open("asking"), t.open("silent")];
  const drained = t.table.drain(t.listener, 500);
  t.pass(300);
  asking.requestBegan();
  t.pass(600);
  assert.deepEqual(t.events, ["silent aborted"]);
  assert.ok(asking.endsWithAnswer());
  asking.requestEnded();
  t.pass(100);
  assert.deepEqual(t.events, ["silent aborted", "asking shut down"]);
  asking.gone();
  await drained;
  assert.ok(silent);
  assert.equal(t.counts.total, 0);
});

Deno.test("a handshake that ends after the drain has given it up is not served", async () => {
  const t = new Fixture();
  const shaking = t.admit("shaking");
  const drained = t.table.drain(t.listener, 500);
  t.pass(600);
  await drained;
  assert.ok(shaking?.givenUp);
  shaking.gone();
  assert.equal(t.counts.total, 0);
});

Deno.test("a drain of one listener leaves the connections of others alone", async () => {
  const t = new Fixture({ headerTimeoutMs: 1e9 });
  t.open("a");
  await t.table.drain({}, 500);
  t.pass(10_000);
  assert.deepEqual(t.events, []);
});

Deno.test("a connection that was upgraded counts until its request has ended", () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  a.gone();
  t.pass(100_000);
  assert.equal(t.counts.total, 1);
  a.requestEnded();
  assert.equal(t.counts.total, 0);
  assert.deepEqual(t.events, []);
});

Deno.test("a drain that is in no hurry leaves idle connections longer, until one comes that is", async () => {
  const t = new Fixture();
  const a = t.open("a");
  a.requestBegan();
  a.requestEnded();
  const drain = t.table.drain(t.listener, 3_000);
  t.pass(2_000);
  assert.deepEqual(t.events, []);
  t.table.drain(t.listener, 500);
  t.pass(100);
  assert.deepEqual(t.events, ["a aborted"]);
  await drain;
});

Deno.test("where a shutdown tells clients it comes with the answer, which has a moment to be written", async () => {
  const t = new Fixture({}, true);
  const a = t.open("a");
  a.requestBegan();
  let drained = false;
  const drain = t.table.drain(t.listener, 500).then(() => drained = true);
  t.pass(10_000);
  assert.equal(a.endsWithAnswer(), false);
  assert.deepEqual(t.events, ["a shut down"]);
  a.gone();
  a.requestEnded();
  t.pass(400);
  await Promise.resolve();
  assert.equal(drained, false);
  t.pass(200);
  await drain;
  assert.equal(t.counts.total, 0);
  assert.deepEqual(t.events, ["a shut down"]);
});
