/** `[retry]` in the whole program: which failed requests are sent again, where to, and what is told of it. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { answer, chunked, goneUpstream, rawExchange, targetsToml } from "../support/targets.ts";
import { ok, RawClient, RawUpstream, type Reply } from "../support/upstream.ts";

const RESET: Reply = (socket) => socket.close();
const SILENCE: Reply = async (socket) => {
  await socket.read(new Uint8Array(1)).catch(() => null);
};

/** No pause between attempts and no budget, so that a test sees only what it is about. */
const RETRY = `[retry]\nenabled = true\nbackoff = { base = 0, max = 0 }\nbudget = { min_per_sec = 1000 }\n`;

function toml(upstreams: RawUpstream[], retry = "", more = "", each: string[] = []): string {
  return targetsToml(upstreams, { more: `${more}${RETRY}${retry}`, each });
}

const retries = (dispa: Dispa, cause: string) => dispa.metric(`dispa_retries_total{cause="${cause}"}`);
const refusals = (dispa: Dispa, reason: string) =>
  dispa.metric(`dispa_retries_refused_total{reason="${reason}"}`);

/** Sends `count` requests one after the other and returns the statuses. */
async function ask(dispa: Dispa, count: number, init: RequestInit = {}): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) statuses.push((await dispa.fetch("example.com", `/${i}`, init)).status);
  return statuses;
}

for (const transport of ["http1", "fetch"]) {
  const http = `[http_client]\ntransport = "${transport}"\n`;

  for (
    const { what, failing, cause, retry = "", each = [] } of [
      { what: "answers 503", failing: answer(503, "busy"), cause: "status" },
      { what: "resets before its header", failing: RESET, cause: "reset" },
      { what: "answers what is no HTTP", failing: "SMTP ready\r\n\r\n", cause: "bad_response" },
      { what: "says nothing", failing: SILENCE, cause: "upstream_timeout", each: ["timeout = 0.2"] },
      {
        what: "takes longer than per_try_timeout",
        failing: SILENCE,
        cause: "upstream_timeout",
        retry: "per_try_timeout = 0.2\n",
      },
    ]
  ) {
    Deno.test(`${transport}: a GET to a target that ${what} is sent to the next one`, async () => {
      await using bad = new RawUpstream(() => failing);
      await using good = new RawUpstream(() => ok("hello"));
      const on = 'on = ["connect", "reset", "timeout", "bad_response", 503]\n';
      await using dispa = await Dispa.start({ toml: toml([bad, good], on + retry, http, each) });
      assert.deepEqual(await ask(dispa, 4), [200, 200, 200, 200]);
      assert.equal(bad.requests.length, 2);
      assert.equal(good.requests.length, 4);
      assert.equal(await retries(dispa, cause), 2);
      await eventually("all are recorded", () => dispa.records().length === 4);
      const records = dispa.records();
      assert.deepEqual(records.map(({ target }) => target), ["t1", "t1", "t1", "t1"]);
      assert.deepEqual(records.map(({ retries }) => retries).sort(), [0, 0, 1, 1]);
      assert.deepEqual(records.map(({ error_message }) => error_message), [null, null, null, null]);
      for (const target of ["t0", "t1"]) {
        assert.equal(await dispa.metric(`dispa_target_active_connections{target="${target}"}`), 0);
      }
    });
  }

  for (
    const { what, fields, sent } of [
      { what: "a declared length", fields: "Content-Length: 5000\r\n", sent: "x".repeat(5000) },
      {
        what: "chunks",
        fields: "Transfer-Encoding: chunked\r\n",
        sent: chunked("0123456789".repeat(500), 700),
      },
    ]
  ) {
    Deno.test(`${transport}: a PUT with a body in ${what} is sent again with the same body`, async () => {
      await using bad = new RawUpstream((request) => request.body === "" ? ok("") : RESET);
      await using good = new RawUpstream((request) => ok(String(request.body.length)));
      await using dispa = await Dispa.start({ toml: toml([bad, good], "", http) });
      for (let i = 0; i < 2; i++) {
        const { status, body } = await rawExchange(dispa, { method: "PUT", path: "/p", fields, body: sent });
        assert.deepEqual([status, body], [200, "5000"]);
      }
      assert.equal(bad.requests.length, 1);
      const bodies = [...bad.requests, ...good.requests].map(({ body }) => body);
      assert.equal(new Set(bodies).size, 1);
      assert.equal(await retries(dispa, "reset"), 1);
      const record = await dispa.record("of the second attempt", (record) => record.retries === 1);
      assert.equal(record.request_size, 5000);
    });
  }
}

Deno.test("a POST that a target has read is not sent again unless methods has it", async () => {
  await using bad = new RawUpstream((request) => request.target === "/503" ? answer(503, "busy") : RESET);
  await using good = new RawUpstream((request) => ok(request.body));
  await using dispa = await Dispa.start({ toml: toml([bad, good]) });
  const post = { method: "POST", fields: "Content-Length: 5\r\n", body: "order" };
  const statuses: number[] = [];
  for (const path of ["/503", "/reset"]) {
    for (let i = 0; i < 2; i++) statuses.push((await rawExchange(dispa, { ...post, path })).status);
  }
  assert.deepEqual(statuses.toSorted(), [200, 200, 502, 503]);
  assert.equal(bad.requests.length + good.requests.length, 4);
  assert.equal(await refusals(dispa, "method"), 2);

  await dispa.reload(toml([bad, good], 'methods = ["POST"]\n'));
  for (let i = 0; i < 2; i++) {
    const { status, body } = await rawExchange(dispa, { ...post, path: "/reset" });
    assert.deepEqual([status, body], [200, "order"]);
  }
});

Deno.test("a body is sent again up to max_body_bytes, and a longer one goes out whole, once", async () => {
  await using bad = new RawUpstream(() => answer(503, "busy"));
  await using good = new RawUpstream((request) => ok(String(request.body.length)));
  await using dispa = await Dispa.start({ toml: toml([bad, good], "max_body_bytes = 1000\n") });
  /** Both targets in turn: the answers of the two, in the order of their bodies. */
  const twice = async (fields: string, body: string) => {
    const answers: string[] = [];
    for (let i = 0; i < 2; i++) {
      answers.push((await rawExchange(dispa, { method: "PUT", fields, body })).body);
    }
    return answers.toSorted();
  };
  assert.deepEqual(await twice("Content-Length: 1000\r\n", "x".repeat(1000)), ["1000", "1000"]);
  assert.deepEqual(await twice("Content-Length: 1001\r\n", "x".repeat(1001)), ["1001", "busy"]);
  const chunks = "Transfer-Encoding: chunked\r\n";
  assert.deepEqual(await twice(chunks, chunked("x".repeat(1000), 300)), ["1000", "1000"]);
  assert.deepEqual(await twice(chunks, chunked("x".repeat(1001), 300)), ["1001", "busy"]);
  assert.equal(await refusals(dispa, "body"), 2);
  assert.deepEqual(bad.requests.map(({ body }) => body.length), [1000, 1001, 1000, 1001]);
});

Deno.test("each attempt goes to another target, no more than attempts, and the last answer is the client's", async () => {
  const upstreams = [0, 1, 2, 3].map((i) => new RawUpstream(() => answer(503, `busy ${i}`)));
  try {
    await using dispa = await Dispa.start({ toml: toml(upstreams, "attempts = 3\n") });
    const { status, body } = await rawExchange(dispa, {});
    assert.equal(status, 503);
    const asked = upstreams.map(({ requests }) => requests.length);
    assert.deepEqual(asked.toSorted(), [0, 1, 1, 1]);
    const record = await dispa.record("of it", () => true);
    assert.equal(record.retries, 2);
    assert.equal(body, `busy ${record.target!.slice(1)}`);
    assert.equal(await refusals(dispa, "attempts"), 1);
  } finally {
    for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
  }
});

for (const more of ["", "max_connections = 1"]) {
  Deno.test(`where there is no other target the same one is asked again${more && ", at its limit too"}`, async () => {
    let asked = 0;
    await using upstream = new RawUpstream(() => {
      const replies: Reply[] = [answer(503, "busy"), RESET, ok("hello")];
      return replies[asked++ % 3];
    });
    await using dispa = await Dispa.start({ toml: toml([upstream], "", "", [more]) });
    assert.equal((await rawExchange(dispa, {})).body, "hello");
    assert.equal(asked, 3);
    assert.equal(await dispa.metric('dispa_target_active_connections{target="t0"}'), 0);
  });
}

Deno.test("no attempt begins after total_timeout", async () => {
  await using a = new RawUpstream(() => SILENCE);
  await using b = new RawUpstream(() => SILENCE);
  await using dispa = await Dispa.start({
    toml: toml([a, b], "attempts = 10\nper_try_timeout = 0.2\ntotal_timeout = 0.5\n"),
  });
  const { status, code } = await rawExchange(dispa, {});
  assert.deepEqual([status, code], [504, "upstream_timeout"]);
  assert.equal(await refusals(dispa, "time"), 1);
  assert.ok(a.requests.length + b.requests.length <= 3);
});

Deno.test("when the budget is used up the first failure is the answer", async () => {
  await using bad = new RawUpstream(() => answer(503, "busy"));
  await using other = new RawUpstream(() => answer(503, "busy"));
  await using dispa = await Dispa.start({
    // Two in ten seconds.
    toml: toml([bad, other]).replace("{ min_per_sec = 1000 }", "{ percent = 0, min_per_sec = 0.2 }"),
    workers: 2,
  });
  assert.deepEqual(new Set(await ask(dispa, 20)), new Set([503]));
  assert.equal(await retries(dispa, "status"), 2);
  assert.ok(await refusals(dispa, "budget") >= 18);
  assert.equal(bad.requests.length + other.requests.length, 22);
});

Deno.test("without [retry] nothing is sent again that a target may have seen", async () => {
  await using bad = new RawUpstream(({ target }) => target === "/status" ? answer(503, "busy") : RESET);
  await using good = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({ toml: targetsToml([bad, good]) });
  for (
    const [path, method, failure] of [["/reset", "GET", 502], ["/status", "GET", 503], [
      "/reset",
      "POST",
      502,
    ]] as const
  ) {
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await rawExchange(dispa, { path, method })).status);
    assert.deepEqual(statuses.toSorted(), [200, 200, failure, failure]);
  }
  assert.equal(bad.requests.length + good.requests.length, 12);
  await eventually("all are recorded", () => dispa.records().length === 12);
  assert.deepEqual(new Set(dispa.records().map(({ retries }) => retries)), new Set([0]));
});

Deno.test("without [retry] a request that finds no connection goes to three targets, whatever its method", async () => {
  const gone = await Promise.all(Array.from({ length: 4 }, goneUpstream));
  await using dispa = await Dispa.start({ toml: targetsToml(gone) });
  const { status, code } = await rawExchange(dispa, {
    method: "POST",
    fields: "Content-Length: 5\r\n",
    body: "order",
  });
  assert.deepEqual([status, code], [502, "connect_refused"]);
  const record = await dispa.record("of it", () => true);
  assert.equal(record.retries, 2);
  assert.equal(await retries(dispa, "connect_refused"), 2);
  assert.equal(await refusals(dispa, "attempts"), 1);

  await using good = new RawUpstream(({ body }) => ok(body));
  await dispa.reload(targetsToml([...gone.slice(0, 2), good]));
  for (let i = 0; i < 3; i++) {
    const answered = await rawExchange(dispa, {
      method: "POST",
      fields: "Content-Length: 5\r\n",
      body: "order",
    });
    assert.equal(answered.body, "order");
  }
  assert.equal(good.requests.length, 3);
});

Deno.test("a client that leaves between two attempts ends them", async () => {
  await using bad = new RawUpstream(() => answer(503, "busy"));
  await using other = new RawUpstream(() => answer(503, "busy"));
  await using dispa = await Dispa.start({
    toml: toml([bad, other], "attempts = 10\ntotal_timeout = 60\n")
      .replace("base = 0, max = 0", "base = 60, max = 60"),
  });
  using client = await RawClient.connect(dispa.port);
  await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  await eventually("an attempt was made", () => bad.requests.length + other.requests.length === 1);
  client.socket.close();
  const gone = await dispa.record("of it", () => true);
  assert.equal(gone.status_code, 503);
  assert.equal(bad.requests.length + other.requests.length, 1);
  assert.equal(await dispa.metric("dispa_active_requests"), 0);
});
