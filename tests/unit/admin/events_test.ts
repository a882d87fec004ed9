/** Server-sent events of the admin API, and the traffic log through it. */
import assert from "node:assert/strict";
import type { LiveTrafficEvents, TrafficRecord } from "../../../src/admin/api.ts";
import { EventStream } from "../../../src/admin/event_stream.ts";
import { SCHEMAS } from "../../../src/admin/schemas.ts";
import { AdminFixture, body, login } from "./support.ts";

const PATIENCE_MS = 10_000;

/** Reads events off an answer as a browser would. */
class Events {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  async next(name: string): Promise<unknown> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end === -1) {
        const { value, done } = await this.#read(name);
        if (done) throw new Error(`the stream ended before an event "${name}"`);
        this.#text += value;
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      const fields = new Map(
        block.split("\n").map((line): [string, string] => {
          const colon = line.indexOf(": ");
          return [line.slice(0, colon), line.slice(colon + 2)];
        }),
      );
      if (fields.get("event") === name) return JSON.parse(fields.get("data")!);
    }
  }

  async ended(): Promise<boolean> {
    for (;;) if ((await this.#read("end")).done) return true;
  }

  /** Heartbeats keep a stream going for ever: without an end to the patience a fault would hang the tests. */
  async #read(what: string): Promise<ReadableStreamReadResult<string>> {
    const patience = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => patience.reject(new Error(`gave up waiting for the event "${what}"`)),
      PATIENCE_MS,
    );
    try {
      return await Promise.race([this.#reader.read(), patience.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

function record(fields: Partial<TrafficRecord>): string {
  const row: TrafficRecord = {
    id: "1",
    timestamp: "2026-11-23T20:25:00.000Z",
    request_id: "r",
    client_ip: "10.0.0.1",
    host: "example.com",
    method: "GET",
    path: "/",
    target: "one",
    status_code: 200,
    duration_ms: 1,
    request_size: 0,
    response_size: 0,
    user_agent: null,
    error_message: null,
    route: null,
    upstream_ms: null,
    retries: 0,
    protocol: "http/1.1",
    worker: 0,
    ...fields,
  };
  return JSON.stringify(row) + "\n";
}

Deno.test("who listens gets a sample at once", async () => {
  await using fixture = await AdminFixture.create();
  const response = await fixture.request("/admin/events", { as: "viewer" });
  assert.match(response.headers.get("content-type")!, /^text\/event-stream/);
  const events = new Events(response.body!);
  const sample = SCHEMAS.Sample.parse(await events.next("sample"));
  assert.deepEqual(sample.targets.map(({ name }) => name), ["one", "two"]);
  await events.cancel();
});

Deno.test("a change of a target and of the configuration is told", async () => {
  await using fixture = await AdminFixture.create();
  const events = new Events((await fixture.request("/admin/events", { as: "viewer" })).body!);
  await events.next("sample");
  await fixture.post("/admin/targets", { target: "two", action: "drain" }, { as: "editor" });
  const target = await events.next("target") as { name: string; draining: boolean };
  assert.deepEqual([target.name, target.draining], ["two", true]);
  await fixture.source.reload("test");
  assert.equal((await events.next("config") as { generation: number }).generation, 2);
  await events.cancel();
});

Deno.test("the tap is open only while somebody listens, and each gets what his filter asks for", async () => {
  await using fixture = await AdminFixture.create();
  const tapped = () => fixture.listener !== null;
  assert.ok(!tapped());
  const open = async (query: string) =>
    new Events((await fixture.request(`/admin/traffic/live${query}`, { as: "viewer" })).body!);
  const all = await open("");
  const failed = await open("?status=5xx");
  assert.ok(tapped());
  fixture.listener?.(record({ id: "a" }) + record({ id: "b", status_code: 502 }), 3);
  const ids = async (events: Events) => {
    const { records, skipped } = await events.next("records") as LiveTrafficEvents["records"];
    return [records.map(({ id }) => id), skipped];
  };
  assert.deepEqual(await ids(all), [["a", "b"], 3]);
  assert.deepEqual(await ids(failed), [["b"], 3]);
  await all.cancel();
  assert.ok(tapped());
  await failed.cancel();
  assert.ok(!tapped());
});

Deno.test("listeners are counted, and one too many is sent away until one has left", async () => {
  await using fixture = await AdminFixture.create();
  const streams: Response[] = [];
  for (;;) {
    const response = await fixture.request("/admin/traffic/live", { as: "viewer" });
    if (response.status !== 200) {
      assert.equal((await body("Failure", response, 429)).error.code, "too_many_listeners");
      break;
    }
    streams.push(response);
    assert.ok(streams.length < 100);
  }
  await streams.pop()!.body!.cancel();
  const again = await fixture.request("/admin/traffic/live", { as: "viewer" });
  assert.equal(again.status, 200);
  for (const { body } of [...streams, again]) await body!.cancel();
});

Deno.test("a listener that does not read is told how much it has missed, and costs no more memory", async () => {
  const stream = new EventStream({ allowed: () => true, onEnd: () => {} });
  for (let i = 0; i < 1_000; i++) stream.send("tick", i);
  const events = new Events(stream.body);
  const { events: lost } = await events.next("lost") as { events: number };
  const first = await events.next("tick") as number;
  assert.equal(first, lost, "the oldest ones were left out");
  assert.ok(lost > 700 && lost < 1_000, `${lost}`);
  for (let i = first + 1; i < 1_000; i++) assert.equal(await events.next("tick"), i);
  await events.cancel();
});

Deno.test("events of a login end with it", async () => {
  let allowed = true;
  const ends: string[] = [];
  const stream = new EventStream({ allowed: () => allowed, onEnd: () => ends.push("end"), heartbeatMs: 1 });
  const events = new Events(stream.body);
  allowed = false;
  assert.ok(await events.ended());
  assert.deepEqual(ends, ["end"]);
});

Deno.test("closing the app ends every stream", async () => {
  await using fixture = await AdminFixture.create();
  const cookie = await login(fixture, "viewer");
  const live = await fixture.request("/admin/traffic/live", { headers: { cookie } });
  const events = await fixture.request("/admin/events", { headers: { cookie } });
  fixture.admin.close();
  assert.ok(await new Events(live.body!).ended());
  assert.ok(await new Events(events.body!).ended());
});

Deno.test("a question to the traffic log is passed on as it was asked", async () => {
  await using fixture = await AdminFixture.create();
  const before = Date.now();
  const query = "since=1m&host=Example.com&path=/v1&status=500-599&target=one&client_ip=10.0.0.1" +
    "&min_duration=2.5&request_id=abc&limit=7&order=slowest&from=file";
  await body("TrafficRecords", await fixture.request(`/admin/traffic?${query}`, { as: "viewer" }));
  const [question] = fixture.questions;
  const { sinceMs, ...filter } = question.filter;
  assert.ok(sinceMs! >= before - 60_000 && sinceMs! <= Date.now() - 60_000);
  assert.deepEqual(filter, {
    untilMs: null,
    host: "example.com",
    pathPrefix: "/v1",
    status: { from: 500, to: 599 },
    target: "one",
    clientIp: "10.0.0.1",
    minDurationMs: 2.5,
    requestId: "abc",
  });
  assert.deepEqual({ ...question, filter: null }, {
    kind: "records",
    filter: null,
    source: "file",
    limit: 7,
    order: "slowest",
  });
});

Deno.test("a malformed question is refused in words and not asked", async () => {
  await using fixture = await AdminFixture.create();
  for (
    const query of [
      "since=yesterday",
      "status=abc",
      "limit=0",
      "limit=1001",
      "order=random",
      "min_duration=-1",
      "from=cellar",
      "color=red",
    ]
  ) {
    const response = await fixture.request(`/admin/traffic?${query}`, { as: "viewer" });
    const { error } = await body("Failure", response, 400);
    assert.ok(error.message.includes(query.split("=")[0]), error.message);
  }
  assert.equal((await fixture.request("/admin/traffic/stats?by=color", { as: "viewer" })).status, 400);
  assert.equal((await fixture.request("/admin/traffic/live?since=1h", { as: "viewer" })).status, 400);
  assert.deepEqual(fixture.questions, []);
});
