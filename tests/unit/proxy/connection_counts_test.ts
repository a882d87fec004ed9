/** Limits of connections hold for the process: by address, over real threads, and when a thread dies. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { addressKey, ConnectionCounts, UNCOUNTED } from "../../../src/proxy/connection_counts.ts";
import type { CountOrder } from "./connection_counts_worker.ts";

const newOwn = () => new Int32Array(new SharedArrayBuffer(ConnectionCounts.OWN_BYTES));
const newBuffer = () => new SharedArrayBuffer(ConnectionCounts.BYTES);

Deno.test("an IPv4 address counts as a whole, an IPv6 one by its /64 network", () => {
  const key = (ip: string) => JSON.stringify(addressKey(ip));
  assert.notEqual(key("10.0.0.1"), key("10.0.0.2"));
  assert.notEqual(key("10.0.0.1"), key("1.0.0.10"));
  assert.equal(key("2001:db8::1"), key("2001:db8:0:0:ffff:1:2:3"));
  assert.equal(key("2001:db8::1"), key("2001:0db8:0000:0000:0000:0000:0000:0002"));
  assert.notEqual(key("2001:db8::1"), key("2001:db8:0:1::1"));
  assert.notEqual(key("2001:db8::1"), key("2001:db9::1"));
  assert.equal(key("fe80::1%eth0"), key("fe80::2"));
  assert.notEqual(key("::1"), key("0.0.0.1"));
  assert.deepEqual(addressKey("::"), { high: 0, low: 0 });
  for (const none of ["", "unix", "1.2.3", "1:2:3"]) assert.equal(addressKey(none), null, none);
});

Deno.test("whatever addresses come and go, each has as many connections as were let in", () => {
  const ips = fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8::1", "2001:db8:1::1", "::1");
  fc.assert(fc.property(fc.array(fc.tuple(ips, fc.boolean()), { maxLength: 200 }), (events) => {
    const counts = new ConnectionCounts(newBuffer());
    const own = newOwn();
    const open = new Map<string, number[]>();
    for (const [ip, comes] of events) {
      const slots = open.get(ip) ?? [];
      open.set(ip, slots);
      if (comes) {
        const slot = counts.enterAddress(ip, 3, own, 0);
        assert.equal(slot === null, slots.length === 3);
        if (slot !== null) slots.push(slot);
      } else if (slots.length > 0) {
        counts.leaveAddress(slots.pop()!, own, 0);
      }
    }
  }));
});

Deno.test("20,000 addresses are all counted, and told apart", () => {
  const counts = new ConnectionCounts(newBuffer());
  const own = newOwn();
  const ip = (index: number) => `10.${index >> 16}.${index >> 8 & 255}.${index & 255}`;
  for (let index = 0; index < 20_000; index++) {
    const slot = counts.enterAddress(ip(index), 1, own, 0);
    assert.ok(slot !== null && slot !== UNCOUNTED);
  }
  for (let index = 0; index < 20_000; index++) assert.equal(counts.enterAddress(ip(index), 1, own, 0), null);
});

Deno.test("more addresses than there is room for are let in uncounted", () => {
  const counts = new ConnectionCounts(newBuffer());
  const own = newOwn();
  let uncounted = 0;
  for (let index = 0; index < 100_000; index++) {
    const slot = counts.enterAddress(`10.${index >> 16}.${index >> 8 & 255}.${index & 255}`, 1, own, 0);
    assert.notEqual(slot, null);
    if (slot === UNCOUNTED) uncounted++;
    counts.leaveAddress(UNCOUNTED, own, 0);
  }
  assert.ok(uncounted >= 100_000 - 65_536);
});

/** Lets three threads loose on the same counts at once. */
async function threads(order: Omit<CountOrder, "buffer" | "own" | "thread" | "gate">) {
  const buffer = newBuffer();
  const gate = new Int32Array(new SharedArrayBuffer(12));
  const workers = [1, 2, 3].map(() => {
    const url = new URL("./connection_counts_worker.ts", import.meta.url);
    return new Worker(url, { type: "module" });
  });
  const owns = workers.map(newOwn);
  const next = (worker: Worker) =>
    new Promise<unknown>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
  try {
    await Promise.all(workers.map((worker, index) => {
      const ready = next(worker);
      worker.postMessage({ buffer, own: owns[index], thread: index, gate, ...order } satisfies CountOrder);
      return ready;
    }));
    const left = workers.map(next);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const open = await Promise.all(left) as number[];
    return { buffer, owns, open, highest: gate[1], refused: gate[2] };
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

Deno.test("three threads together keep to the limits, and forget no connection", async () => {
  const { buffer, owns, open, highest, refused } = await threads({
    rounds: 5_000,
    maxConnections: 10,
    maxPerIp: 4,
    ips: ["10.0.0.1", "10.0.0.2", "::1"],
    leave: 6,
  });
  // `total` counts an attempt of each other thread for the moment until it is refused.
  assert.ok(highest <= 12, `${highest} connections at once`);
  assert.ok(refused > 0);
  const counts = new ConnectionCounts(buffer);
  assert.equal(counts.total, open.reduce((sum, left) => sum + left));
  owns.forEach((own, thread) => counts.takeBack(own, thread));
  assert.equal(counts.total, 0);
  const own = newOwn();
  for (const ip of ["10.0.0.1", "10.0.0.2", "::1"]) {
    for (let left = 4; left > 0; left--) assert.notEqual(counts.enterAddress(ip, 4, own, 0), null, ip);
    assert.equal(counts.enterAddress(ip, 4, own, 0), null, ip);
  }
});

Deno.test("what a dead thread held is given back, also a lock", () => {
  const buffer = newBuffer();
  const counts = new ConnectionCounts(buffer);
  const dead = newOwn();
  counts.enter(0, dead);
  counts.enterAddress("10.0.0.1", 1, dead, 7);
  const words = new Int32Array(buffer);
  // All stripes locked by thread 7, as a thread leaves one that dies inside.
  for (let stripe = 0; stripe < 256; stripe++) words[2 + stripe] = 8;
  counts.takeBack(dead, 7);
  const own = newOwn();
  assert.equal(counts.total, 0);
  assert.notEqual(counts.enterAddress("10.0.0.1", 1, own, 0), null);
});
