import assert from "node:assert/strict";
import { addField, setField } from "../../../src/http/flat_headers.ts";
import { FAMILIES } from "../../../src/metrics/mod.ts";
import type { PluginOutcome, PluginReport } from "../../../src/plugins/mod.ts";
import { type Plugin, PluginError } from "../../../src/plugins/plugin.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { now, Observed } from "./support.ts";

/** Adds its name to the field `x-seen`, so that order and number of calls can be read there. */
const mark = (name: string): Plugin => ({
  onRequest: (request) => {
    addField(request.headers, "x-seen", name);
    return null;
  },
  onResponse: (_request, response) => {
    addField(response.headers, "x-seen", name);
    return null;
  },
});

const later = (name: string): Plugin => {
  const { onRequest, onResponse } = mark(name);
  return {
    onRequest: async (request) => await onRequest!(request),
    onResponse: async (request, response) => await onResponse!(request, response),
  };
};

const seen = (headers: string[]) => headers.filter((_, i) => i % 2 === 1 && headers[i - 1] === "x-seen");

Deno.test("a chain runs its plugins in order, and stays synchronous while they do", () => {
  const observed = new Observed();
  const request = requestMessage();
  const response = responseMessage();
  assert.equal(now(observed.chain("request", { a: mark("a"), b: mark("b") }).runRequest(request)), null);
  assert.equal(
    now(observed.chain("response", { b: mark("b"), a: mark("a") }).runResponse(request, response)),
    null,
  );
  assert.deepEqual(seen(request.headers), ["a", "b"]);
  assert.deepEqual(seen(response.headers), ["b", "a"]);
});

Deno.test("a plugin that returns a promise is waited for before the next one runs", async () => {
  const observed = new Observed();
  const request = requestMessage();
  const chain = observed.chain("request", { a: mark("a"), b: later("b"), c: mark("c"), d: later("d") });
  const running = chain.runRequest(request);
  assert.deepEqual(seen(request.headers), ["a", "b"]);
  assert.equal(await running, null);
  assert.deepEqual(seen(request.headers), ["a", "b", "c", "d"]);
  const response = responseMessage();
  await observed.chain("response", { d: later("d"), e: mark("e") }).runResponse(request, response);
  assert.deepEqual(seen(response.headers), ["d", "e"]);
});

Deno.test("an answer or a refusal of a plugin ends the chain, at once or later", async () => {
  const answer = { status: 418, headers: ["x-a", "b"], body: "tea" };
  const refusal = { code: "forbidden", message: "Forbidden: no" } as const;
  const outcomes: [Plugin, PluginOutcome][] = [
    [{ onRequest: () => answer }, { kind: "answer", plugin: "p", answer }],
    [{ onRequest: () => refusal }, { kind: "refuse", plugin: "p", refusal }],
    [{ onRequest: () => Promise.resolve(answer) }, { kind: "answer", plugin: "p", answer }],
    [{ onRequest: () => Promise.resolve(refusal) }, { kind: "refuse", plugin: "p", refusal }],
  ];
  for (const [plugin, outcome] of outcomes) {
    const observed = new Observed();
    const request = requestMessage();
    const chain = observed.chain("request", { a: mark("a"), p: plugin, b: mark("b") });
    assert.deepEqual(await chain.runRequest(request), outcome);
    assert.deepEqual(seen(request.headers), ["a"]);
    assert.deepEqual(observed.counts(FAMILIES.pluginShortCircuits), { "p,request": 1 });
    assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), { "a,request": 1, "p,request": 1 });
  }
});

Deno.test("an answer at the response stage takes the place of the upstream's", () => {
  const answer = { status: 200, headers: [], body: null };
  const chain = new Observed().chain("response", { p: { onResponse: () => answer } });
  assert.deepEqual(now(chain.runResponse(requestMessage(), responseMessage(404))), {
    kind: "answer",
    plugin: "p",
    answer,
  });
});

/** Changes all it can and then fails as `fail` does. */
const spoil = (fail: () => never | Promise<never>): Plugin => ({
  onRequest: (request) => {
    request.headers.splice(0, 2);
    setField(request.headers, "x-spoilt", "1");
    request.target = "/spoilt";
    return fail();
  },
  onResponse: (_request, response) => {
    response.status = 599;
    response.headers = ["x-spoilt", "1"];
    return fail();
  },
});

const failures: [title: string, fail: () => never | Promise<never>, kind: string, error: RegExp][] = [
  [
    "throws",
    () => {
      throw new TypeError("no such thing");
    },
    "panic",
    /^TypeError: no such thing \(at .*chain_test\.ts:\d+:\d+\)$/,
  ],
  [
    "throws what is no error",
    () => {
      throw Object.create(null);
    },
    "panic",
    /^a thrown object$/,
  ],
  [
    "throws a failure with a kind",
    () => {
      throw new PluginError("too_large", "the output is too large");
    },
    "too_large",
    /^the output is too large$/,
  ],
  [
    "rejects",
    () => Promise.reject(new PluginError("timeout", "no answer in 5 ms")),
    "timeout",
    /^no answer in 5 ms$/,
  ],
  ["rejects with nothing", () => Promise.reject(undefined), "panic", /^undefined$/],
];

for (const [title, fail, kind, error] of failures) {
  Deno.test(`a plugin that ${title} under "continue" leaves the request as it was, and the next one runs`, async () => {
    const observed = new Observed();
    const request = requestMessage({ target: "/a%2Fb?c", headers: ["x-a", "1"] });
    const chain = observed.chain("request", { a: mark("a"), p: spoil(fail), b: mark("b") });
    assert.equal(await chain.runRequest(request), null);
    assert.deepEqual(request.headers, ["host", "example.com", "x-a", "1", "x-seen", "a", "x-seen", "b"]);
    assert.equal(request.target, "/a%2Fb?c");
    assert.deepEqual(observed.counts(FAMILIES.pluginErrors), { [`p,request,${kind}`]: 1 });
    assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), {
      "a,request": 1,
      "p,request": 1,
      "b,request": 1,
    });
    assert.deepEqual(observed.durations(), observed.counts(FAMILIES.pluginInvocations));
    assert.deepEqual(observed.counts(FAMILIES.pluginShortCircuits), {});
    const [[level, message, fields], ...more] = observed.lines;
    assert.deepEqual([level, message, fields?.kind, fields?.request_id, more], [
      "warn",
      "plugin failed",
      kind,
      "request-1",
      [],
    ]);
    assert.match(String(fields?.error), error);
  });

  Deno.test(`a plugin that ${title} under "continue" leaves the answer as it was, and the next one runs`, async () => {
    const observed = new Observed();
    const response = responseMessage(201, ["etag", "1"]);
    const headers = response.headers;
    const chain = observed.chain("response", { p: spoil(fail), b: mark("b") });
    assert.equal(await chain.runResponse(requestMessage(), response), null);
    assert.deepEqual(response, { status: 201, headers: ["etag", "1", "x-seen", "b"] });
    assert.equal(response.headers, headers, "the list is the message's own");
    assert.deepEqual(observed.counts(FAMILIES.pluginErrors), { [`p,response,${kind}`]: 1 });
  });

  Deno.test(`a plugin that ${title} under "fail" ends the exchange with 500 at either stage`, async () => {
    const observed = new Observed();
    const request = requestMessage();
    const plugins = { p: spoil(fail), b: mark("b") };
    const refused = {
      kind: "refuse",
      plugin: "p",
      refusal: {
        code: "plugin_failed",
        message: "Internal error: a plugin failed, see the log for this request id",
      },
    };
    assert.deepEqual(await observed.chain("request", plugins, "fail").runRequest(request), refused);
    assert.deepEqual(seen(request.headers), []);
    const response = responseMessage();
    assert.deepEqual(
      await observed.chain("response", plugins, "fail").runResponse(requestMessage(), response),
      refused,
    );
    assert.deepEqual(seen(response.headers), []);
    assert.deepEqual(observed.counts(FAMILIES.pluginErrors), {
      [`p,request,${kind}`]: 1,
      [`p,response,${kind}`]: 1,
    });
    assert.deepEqual(observed.lines.map(([level]) => level), ["error", "error"]);
  });
}

Deno.test("what fails only after the answer came counts as a failure, too, and the chain goes on once", async () => {
  const observed = new Observed();
  const request = requestMessage();
  const chain = observed.chain("request", {
    a: later("a"),
    p: { onRequest: () => Promise.reject(new Error("late")) },
    q: {
      onRequest: () => {
        throw new Error("at once");
      },
    },
    b: later("b"),
  });
  assert.equal(await chain.runRequest(request), null);
  assert.deepEqual(seen(request.headers), ["a", "b"]);
  assert.deepEqual(observed.counts(FAMILIES.pluginErrors), { "p,request,panic": 1, "q,request,panic": 1 });
});

Deno.test("requests that overlap in a chain do not mix", async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let calls = 0;
  const chain = new Observed().chain("request", {
    wait: {
      onRequest: async (request) => {
        await gates[calls++].promise;
        if (request.requestId === "b") throw new Error("only b");
        addField(request.headers, "x-seen", request.requestId);
        return null;
      },
    },
  }, "fail");
  const [a, b] = [requestMessage({ requestId: "a" }), requestMessage({ requestId: "b" })];
  const outcomes = [chain.runRequest(a), chain.runRequest(b)];
  gates[1].resolve();
  assert.equal((await outcomes[1])?.kind, "refuse");
  gates[0].resolve();
  assert.equal(await outcomes[0], null);
  assert.deepEqual([seen(a.headers), seen(b.headers)], [["a"], []]);
});

Deno.test("every call is counted once and timed once, over many requests", async () => {
  const observed = new Observed();
  const chain = observed.chain("request", {
    a: mark("a"),
    b: later("b"),
    c: { onRequest: (request) => request.target === "/stop" ? { code: "forbidden", message: "no" } : null },
    d: mark("d"),
  });
  for (let i = 0; i < 100; i++) {
    await chain.runRequest(requestMessage({ target: i % 4 === 0 ? "/stop" : "/" }));
  }
  const calls = { "a,request": 100, "b,request": 100, "c,request": 100, "d,request": 75 };
  assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), calls);
  assert.deepEqual(observed.durations(), calls);
  assert.deepEqual(observed.counts(FAMILIES.pluginShortCircuits), { "c,request": 25 });
});

Deno.test("without() leaves plugins out, and is null where none is left", () => {
  const observed = new Observed();
  const chain = observed.chain("request", { a: mark("a"), b: mark("b"), c: mark("c") });
  assert.deepEqual(chain.without(["b", "x"])?.names, ["a", "c"]);
  assert.deepEqual(chain.names, ["a", "b", "c"]);
  assert.equal(chain.without(["c", "b", "a"]), null);
  const request = requestMessage();
  chain.without(["a"])!.runRequest(request);
  assert.deepEqual(seen(request.headers), ["b", "c"]);
});

function traced(
  dryRun: boolean,
): { reports: PluginReport[]; dryRun: boolean; plugin(r: PluginReport): void } {
  const reports: PluginReport[] = [];
  return { reports, dryRun, plugin: (report) => reports.push(report) };
}

const nothing = { type: "test", stage: "request", changes: [], result: null, text: null, error: null };

Deno.test("a trace tells of each plugin what it changed, answered, or why it failed", async () => {
  const refusal = { code: "forbidden", message: "no" } as const;
  const chain = new Observed().chain("request", {
    idle: { onRequest: () => null },
    change: {
      onRequest: (request) => {
        request.path = "/new";
        request.headers.push("x-a", "2", "x-b", "3");
        request.headers.splice(request.headers.indexOf("cookie"), 2);
        return null;
      },
    },
    fails: spoil(() => Promise.reject(new PluginError("io", "broken pipe"))),
    stop: { onRequest: () => refusal },
    never: mark("never"),
  });
  const trace = traced(false);
  const request = requestMessage({ target: "/old?q", headers: ["x-a", "1", "cookie", "c"] });
  assert.deepEqual(await chain.runRequest(request, trace), { kind: "refuse", plugin: "stop", refusal });
  assert.deepEqual(trace.reports, [
    { ...nothing, name: "idle" },
    {
      ...nothing,
      name: "change",
      changes: [
        { what: "target", before: "/old?q", after: "/new?q" },
        { what: "header", name: "x-a", before: ["1"], after: ["1", "2"] },
        { what: "header", name: "cookie", before: ["c"], after: [] },
        { what: "header", name: "x-b", before: [], after: ["3"] },
      ],
    },
    { ...nothing, name: "fails", error: { kind: "io", message: "broken pipe" } },
    { ...nothing, name: "stop", result: refusal },
  ]);
});

Deno.test("a trace tells changes of an answer, and the failure that ends it", () => {
  const chain = new Observed().chain("response", {
    change: {
      onResponse: (_request, response) => {
        response.status = 404;
        response.headers = ["etag", "2"];
        return null;
      },
    },
    fails: {
      onResponse: () => {
        throw new PluginError("exec", "no such program");
      },
    },
  }, "fail");
  const trace = traced(false);
  chain.runResponse(requestMessage(), responseMessage(200, ["etag", "1"]), trace);
  const [change, fails] = trace.reports;
  assert.deepEqual(change.changes, [
    { what: "status", before: 200, after: 404 },
    { what: "header", name: "etag", before: ["1"], after: ["2"] },
  ]);
  assert.equal(change.stage, "response");
  assert.deepEqual(fails.error, { kind: "exec", message: "no such program" });
  assert.ok(fails.result !== null && "code" in fails.result && fails.result.code === "plugin_failed");
});

Deno.test("a dry run asks explain() where there is one, and counts and logs nothing", async () => {
  const observed = new Observed();
  const ran: string[] = [];
  const counting: Plugin = {
    onRequest: () => {
      ran.push("counting");
      return null;
    },
    explain: (request, response) => `would count ${request.clientIp}, ${response === null}`,
  };
  const refusing: Plugin = {
    onRequest: () => {
      throw new Error("not to be run");
    },
    explain: () => ({ code: "rate_limited", message: "Too many requests" }),
  };
  const failing: Plugin = { onRequest: () => Promise.reject(new Error("fails")) };
  const trace = traced(true);
  const request = requestMessage();
  const chain = observed.chain("request", { counting, mark: mark("m"), failing, refusing, never: mark("n") });
  assert.equal((await chain.runRequest(request, trace))?.kind, "refuse");
  assert.deepEqual(ran, []);
  assert.deepEqual(seen(request.headers), ["m"]);
  assert.deepEqual(
    trace.reports.map(({ name, text, result, error }) => [name, text, result !== null, error?.kind]),
    [
      ["counting", "would count 192.0.2.1, true", false, undefined],
      ["mark", null, false, undefined],
      ["failing", null, false, "panic"],
      ["refusing", null, true, undefined],
    ],
  );
  assert.deepEqual(observed.lines, []);
  assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), {});
  assert.deepEqual(observed.counts(FAMILIES.pluginErrors), {});
  // Watching a live request is no dry run: the plugin itself runs.
  await observed.chain("request", { counting }).runRequest(requestMessage(), traced(false));
  assert.deepEqual(ran, ["counting"]);
  assert.deepEqual(observed.counts(FAMILIES.pluginInvocations), { "counting,request": 1 });
});
