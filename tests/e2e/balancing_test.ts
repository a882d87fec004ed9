/** Which target takes a request, in the whole program, with as many proxy threads as the run says. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { fromLatin1, ok, RawClient, RawUpstream, writeAll } from "../support/upstream.ts";

const HEAD = `
[domains]
intercept_domains = ["example.com"]
[targets.health_check]
enabled = false
`;

function targets(upstreams: RawUpstream[], balancing: string, weights: number[] = []): string {
  const list = upstreams.map((upstream, i) =>
    `[[targets.targets]]\nname = "t${i}"\nurl = "${upstream.url}"\nweight = ${weights[i] ?? 1}\n`
  );
  return `${HEAD}[targets.load_balancing]\n${balancing}\n${list.join("")}`;
}

/** `count` requests over several connections at once, so that several threads take part. */
async function load(dispa: Dispa, count: number, connections = 12): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: connections }, async () => {
    using client = await RawClient.connect(dispa.port);
    while (left-- > 0) {
      client.received = "";
      await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
      assert.match(await client.readUntil(/\r\n\r\nhello$/), /^HTTP\/1\.1 200/);
    }
  }));
}

Deno.test("weights 3:2:1 over 600 requests are exactly 300, 200 and 100", async () => {
  await using a = new RawUpstream(() => ok("hello"));
  await using b = new RawUpstream(() => ok("hello"));
  await using c = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targets([a, b, c], 'type = "weighted"', [3, 2, 1]) });
  await load(dispa, 600);
  assert.deepEqual([a, b, c].map((upstream) => upstream.requests.length), [300, 200, 100]);
  assert.equal(await dispa.metric('dispa_target_requests_total{target="t0",status="200"}'), 300);
  assert.equal(
    await dispa.metric('dispa_requests_total{domain="example.com",method="GET",status="200"}'),
    600,
  );
  assert.equal(await dispa.metric("dispa_request_duration_seconds_count"), 600);
});

Deno.test("fractional weights share as exactly as whole ones", async () => {
  await using a = new RawUpstream(() => ok("hello"));
  await using b = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targets([a, b], 'type = "weighted"', [1.5, 0.5]) });
  await load(dispa, 400);
  assert.deepEqual([a, b].map((upstream) => upstream.requests.length), [300, 100]);
});

Deno.test("round robin gives every target the same number of turns", async () => {
  await using a = new RawUpstream(() => ok("hello"));
  await using b = new RawUpstream(() => ok("hello"));
  await using c = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targets([a, b, c], 'algorithm = "RoundRobin"') });
  await load(dispa, 300);
  assert.deepEqual([a, b, c].map((upstream) => upstream.requests.length), [100, 100, 100]);
});

Deno.test("least connections goes to the target with fewer requests in flight, and counts back down", async () => {
  const release = Promise.withResolvers<void>();
  const held: Promise<void>[] = [];
  const slow = (request: { target: string }) =>
    request.target === "/hold"
      ? (socket: Deno.TcpConn) => {
        const task = release.promise.then(() => writeAll(socket, fromLatin1(ok("hello"))));
        held.push(task);
        return task;
      }
      : ok("hello");
  await using a = new RawUpstream(slow);
  await using b = new RawUpstream(slow);
  await using dispa = await Dispa.start({ toml: targets([a, b], 'type = "least_connections"') });
  const clients: RawClient[] = [];
  for (let i = 0; i < 6; i++) {
    const client = await RawClient.connect(dispa.port);
    clients.push(client);
    await client.send("GET /hold HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await eventually("the request arrives", () => a.requests.length + b.requests.length === i + 1);
  }
  assert.deepEqual([a.requests.length, b.requests.length], [3, 3]);
  assert.equal(await dispa.metric('dispa_target_active_connections{target="t0"}'), 3);
  // One leaves, however: its target has fewer now and takes the next two.
  const holder = a.requests.length;
  clients[0].socket.close();
  const counts = () =>
    Promise.all([0, 1].map((i) => dispa.metric(`dispa_target_active_connections{target="t${i}"}`)));
  await eventually("the count goes down", async () => (await counts()).reduce((sum, n) => sum + n, 0) === 5);
  const before = [a.requests.length, b.requests.length];
  const fewer = (await counts())[0] === 2 ? 0 : 1;
  const client = await RawClient.connect(dispa.port);
  await client.send("GET /hold HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("the request arrives", () => a.requests.length + b.requests.length === 7);
  const after = [a.requests.length, b.requests.length];
  assert.equal(after[fewer], before[fewer] + 1);
  assert.equal(holder, 3);
  release.resolve();
  await Promise.all(held);
  for (const open of [...clients.slice(1), client]) {
    await open.readUntil(/hello$/);
    open.socket.close();
  }
  await eventually("nothing is in flight", async () => (await counts()).every((count) => count === 0));
});

Deno.test("a sticky client stays on its target until that is gone, and only its clients move", async () => {
  await using a = new RawUpstream(() => ok("hello"));
  await using b = new RawUpstream(() => ok("hello"));
  await using c = new RawUpstream(() => ok("hello"));
  const all = [a, b, c];
  await using dispa = await Dispa.start({
    toml: targets(all, 'type = "roundrobin"\nsticky_sessions = true'),
  });
  await load(dispa, 30);
  const chosen = all.findIndex((upstream) => upstream.requests.length > 0);
  assert.equal(all[chosen].requests.length, 30);
  const others = all.filter((_, i) => i !== chosen);
  // The chosen target stays when another one goes …
  const kept = [all[chosen], others[0]];
  await dispa.reload(
    targets(kept, 'type = "roundrobin"\nsticky_sessions = true').replace('"t0"', `"t${chosen}"`)
      .replace('"t1"', `"t${all.indexOf(others[0])}"`),
  );
  await load(dispa, 10);
  assert.equal(all[chosen].requests.length, 40);
});

Deno.test("a target that refuses connections is passed over for the next one", async () => {
  const gone = new RawUpstream(() => ok("hello"));
  await using b = new RawUpstream(() => ok("hello"));
  const toml = targets([gone, b], 'type = "roundrobin"');
  await gone[Symbol.asyncDispose]();
  await using dispa = await Dispa.start({ toml });
  await load(dispa, 20, 4);
  assert.equal(b.requests.length, 20);
  const record = await dispa.record("of a second attempt", (record) => record.retries === 1);
  assert.equal(record.target, "t1");
  assert.equal(record.status_code, 200);
});

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: a POST to a target that refuses connections is answered in order, and not twice`, async () => {
    const gone = new RawUpstream(() => ok("hello"));
    await using b = new RawUpstream((request) => ok(request.body));
    const toml = `${targets([gone, b], 'type = "roundrobin"')}[http_client]\ntransport = "${transport}"\n`;
    await gone[Symbol.asyncDispose]();
    await using dispa = await Dispa.start({ toml });
    for (let i = 0; i < 4; i++) {
      const response = await dispa.fetch("example.com", "/order", { method: "POST", body: `order ${i}` });
      assert.equal(response.status, 200);
      assert.equal(await response.text(), `order ${i}`);
    }
    assert.equal(b.requests.length, 4);
  });
}
