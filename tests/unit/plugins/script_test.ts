import assert from "node:assert/strict";
import { join } from "node:path";
import type * as z from "zod";
import { scriptSettings } from "../../../src/config/plugins/script.ts";
import { script } from "../../../src/plugins/script.ts";
import { requestMessage, responseMessage } from "../../support/messages.ts";
import { Foreign, withFolder } from "./foreign_support.ts";

type Settings = Omit<z.input<typeof scriptSettings>, "module">;

/** Longer than a call takes on a busy machine, short where a test waits for it. */
const PATIENT: Settings = { timeout_ms: 10_000 };

/** Runs `body` with the plugin of a module with this text. */
function withScript(
  text: string,
  body: (foreign: Foreign, folder: string) => Promise<void>,
  settings: Settings = PATIENT,
  name = "plugin.js",
): Promise<void> {
  return withFolder(async (folder) => {
    const module = join(folder, name);
    await Deno.writeTextFile(module, text);
    await using foreign = await Foreign.open(script, scriptSettings, { module, ...settings });
    await body(foreign, folder);
  });
}

/** Settings with which a test waits for a time-out; threads start in half a second at worst. */
const IMPATIENT: Settings = { timeout_ms: 300, threads: 2 };
const AT_HANG = requestMessage({ target: "/hang" });

Deno.test("a script reads the request, and what it does to it happens", () =>
  withScript(
    `export function onRequest(request) {
      const { method, scheme, host, clientIp, requestId, path, query } = request;
      request.headers.set("x-seen", JSON.stringify({ method, scheme, host, clientIp, requestId, path, query }));
      request.headers.append("b", "2");
      request.headers.delete("c");
      request.path = path + "/more";
    }`,
    async (foreign) => {
      const headers = ["a", "1", "a", "2", "b", "1", "c", "1", "__proto__", "x"];
      const request = requestMessage({ target: "/x%20y?q=1", headers });
      assert.equal(await foreign.request(request), null);
      assert.equal(request.target, "/x%20y/more?q=1");
      const seen = {
        method: "GET",
        scheme: "http",
        host: "example.com",
        clientIp: "192.0.2.1",
        requestId: "request-1",
        path: "/x y",
        query: "q=1",
      };
      // The two fields a, left alone, are still two.
      assert.deepEqual(request.headers, [
        ...["host", "example.com", "a", "1", "a", "2", "b", "1, 2", "__proto__", "x"],
        ...["x-seen", JSON.stringify(seen)],
      ]);
    },
  ));

Deno.test("a script changes an answer, its cookies one by one", () =>
  withScript(
    `export function onResponse(request, response) {
      const cookies = response.headers.getSetCookie();
      response.headers.delete("set-cookie");
      for (const cookie of cookies) response.headers.append("set-cookie", cookie + "; Secure");
      response.headers.set("x-path", request.path + " " + request.headers.get("a"));
      response.status = 201;
    }`,
    async (foreign) => {
      assert.equal(foreign.plugin.onRequest, undefined);
      const response = responseMessage(200, [
        "set-cookie",
        "a=1, 2",
        "set-cookie",
        "b=3",
        "content-length",
        "5",
      ]);
      const request = requestMessage({ target: "/p", headers: ["a", "b"] });
      assert.equal(await foreign.plugin.onResponse?.(request, response), null);
      assert.equal(response.status, 201);
      assert.deepEqual(
        response.headers,
        [
          "content-length",
          "5",
          "set-cookie",
          "a=1, 2; Secure",
          "set-cookie",
          "b=3; Secure",
          "x-path",
          "/p b",
        ],
      );
      assert.deepEqual(request.headers, ["host", "example.com", "a", "b"]);
    },
  ));

const ANSWERS: [what: string, returned: string, answer: unknown][] = [
  [
    "a Response",
    `new Response("no", { status: 403, headers: { "x-a": "1" } })`,
    {
      status: 403,
      headers: ["content-type", "text/plain;charset=UTF-8", "x-a", "1"],
      body: new TextEncoder().encode("no"),
    },
  ],
  ["a Response without a body", `new Response(null, { status: 204 })`, {
    status: 204,
    headers: [],
    body: null,
  }],
  [
    "a redirection",
    `Response.redirect("http://a/b", 307)`,
    { status: 307, headers: ["location", "http://a/b"], body: null },
  ],
  [
    "a Response of bytes, later",
    `(async () => { await null; return new Response(new Uint8Array([0, 255])); })()`,
    { status: 200, headers: [], body: new Uint8Array([0, 255]) },
  ],
  [
    "a result of the protocol",
    `({ short_circuit: { status: 404, body: "x" } })`,
    { status: 404, headers: ["content-type", "text/plain; charset=utf-8"], body: "x" },
  ],
];

for (const [what, returned, answer] of ANSWERS) {
  Deno.test(`a script answers with ${what}`, () =>
    withScript(`export const onRequest = () => ${returned};`, async (foreign) => {
      assert.deepEqual(await foreign.request(), answer);
    }));
}

Deno.test("a returned result comes on top of the changes to the message", () =>
  withScript(
    `export function onRequest(request) {
      request.headers.set("a", "message");
      request.headers.set("b", "message");
      request.headers.delete("d");
      request.path = "/message";
      return { set_headers: { B: "result", c: ["1", "2"] }, remove_headers: ["e"] };
    }`,
    async (foreign) => {
      const request = requestMessage({ headers: ["d", "1", "e", "2"] });
      await foreign.request(request);
      assert.equal(request.target, "/message");
      assert.deepEqual(request.headers, [
        ...["host", "example.com", "a", "message", "b", "result", "c", "1", "c", "2"],
      ]);
    },
  ));

const BAD: [what: string, kind: "bad_output" | "too_large" | "panic", body: string, message: RegExp][] = [
  [
    "an exception",
    "panic",
    `throw new TypeError("oops")`,
    /^TypeError: oops \(at Object\.onRequest \(file:.*plugin\.js:1:\d+\)\)$/,
  ],
  [
    "a rejected promise",
    "panic",
    `return Promise.reject(new Error("later"))`,
    /^Error: later \(at Object\.onRequest/,
  ],
  ["a thrown text", "panic", `throw "oops"`, /^threw oops$/],
  ["a thrown object", "panic", `throw { toString() { throw 1 } }`, /^threw an object$/],
  [
    "an endless recursion",
    "panic",
    `const f = () => f() + 1; f()`,
    /^RangeError: Maximum call stack size exceeded/,
  ],
  ["a number", "bad_output", `return 5`, /^the answer: found 5, wanted an object$/],
  ["a function", "bad_output", `return () => {}`, /^the answer: found "function", wanted an object$/],
  ["an unknown key", "bad_output", `return { block: true }`, /^the answer: found the key "block"/],
  [
    "a circle",
    "bad_output",
    `const o = {}; o.o = o; return o`,
    /^the answer cannot be read: TypeError: Converting circular/,
  ],
  [
    "a Response that was read already",
    "bad_output",
    `const r = new Response("x"); return r.text().then(() => r)`,
    /^the answer cannot be read: TypeError: Body already consumed/,
  ],
  [
    "a status that is none",
    "bad_output",
    `return Response.error()`,
    /^short_circuit\.status: found 0, wanted/,
  ],
  [
    "a change of framing",
    "bad_output",
    `request.headers.set("content-length", "1")`,
    /^set_headers: only the proxy itself writes content-length$/,
  ],
  [
    "no host",
    "bad_output",
    `request.headers.delete("host")`,
    /^remove_headers: a request cannot do without host$/,
  ],
  [
    "a path that climbs",
    "bad_output",
    `request.path = "/a/../b"`,
    /^set_path: found "\/a\/\.\.\/b", wanted a path/,
  ],
  [
    "an endless answer",
    "too_large",
    `request.headers.set("a", "b".repeat(3000))`,
    /^the answer has \d+ characters, max_output_bytes is 2000$/,
  ],
];

for (const [what, kind, body, message] of BAD) {
  Deno.test(`${what} fails the call as ${kind}, and only it`, () =>
    withScript(
      `export function onRequest(request) { if (request.path === "/good") return; ${body} }`,
      async (foreign) => {
        assert.match(await foreign.failure(kind), message);
        assert.equal(await foreign.request(requestMessage({ target: "/good" })), null);
        assert.deepEqual(foreign.lines, []);
      },
      { ...PATIENT, max_output_bytes: 2000 },
    ));
}

const HANGING: [what: string, code: string][] = [
  ["an endless loop", `for (;;);`],
  ["a loop that catches what it can", `for (;;) { try { for (;;); } catch {} finally { for (;;); } }`],
  ["a regular expression that explodes", `/^(a+)+$/.test("a".repeat(60) + "b")`],
  ["a promise that never settles", `return new Promise(() => {})`],
  ["a timer that is too late", `return new Promise((resolve) => setTimeout(resolve, 600_000))`],
  ["a Response whose body never ends", `return new Response(new ReadableStream({}))`],
];

for (const [what, code] of HANGING) {
  Deno.test(`${what} ends at the time-out; others are served, and the next call runs in a fresh thread`, () =>
    withScript(
      `let calls = 0;
      export function onRequest(request) {
        if (request.path === "/hang") { ${code} }
        return { set_headers: { "x-calls": String(++calls) } };
      }`,
      async (foreign) => {
        assert.ok((await foreign.headers()).includes("1"));
        const stopped = foreign.failure("timeout", AT_HANG);
        await Promise.all(Array.from({ length: 20 }, () => foreign.headers()));
        assert.match(await stopped, /^the plugin did not (end|answer) in 300 ms$/);
        await foreign.headers();
        // Nobody had to be left behind.
        assert.deepEqual(foreign.lines, []);
      },
      IMPATIENT,
    ));
}

Deno.test("an asynchronous script is waited for", () =>
  withScript(
    `export async function onRequest(request) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      request.headers.set("x", "later");
    }`,
    async (foreign) => assert.ok((await foreign.headers()).includes("later")),
  ));

for (
  const [what, fault] of [
    ["a promise nobody awaits", `Promise.reject(new Error("unwatched"))`],
    ["a timer", `setTimeout(() => { throw new Error("unwatched") }, 1)`],
  ]
) {
  Deno.test(`what ${what} throws costs the thread, not the proxy`, () =>
    withScript(
      `export function onRequest(request) {
        if (request.path === "/hang") { ${fault}; return new Promise(() => {}); }
      }`,
      async (foreign) => {
        assert.match(
          await foreign.failure("panic", AT_HANG),
          /^a fault that nobody caught: Error: unwatched \(at .*plugin\.js/,
        );
        await foreign.headers();
      },
    ));
}

Deno.test("a script that ends its own thread loses its call, no more", () =>
  withScript(
    `export function onRequest(request) {
      if (request.path === "/hang") { self.close(); return new Promise(() => {}); }
    }`,
    async (foreign) => {
      await foreign.failure("timeout", AT_HANG);
      await foreign.headers();
    },
    { timeout_ms: 300, threads: 1 },
  ));

Deno.test("messages that a script posts itself are passed over", () =>
  withScript(
    `export function onRequest(request) {
      const forged = [null, 5, "x", {}, { type: "output" }, { type: "output", id: 1e9, output: "{}" },
        { type: "failed", id: 1, kind: "made up", message: "x" }, { type: "ready", stages: [] }];
      for (const message of forged) self.postMessage(message);
      request.headers.set("x", "real");
    }`,
    async (foreign) => {
      for (let i = 0; i < 3; i++) assert.ok((await foreign.headers()).includes("real"));
    },
  ));

Deno.test("state of the module lives from call to call", () =>
  withScript(
    `let n = 0; export const onRequest = () => ({ set_headers: { "x-n": String(++n) } });`,
    async (foreign) => {
      for (const n of ["1", "2", "3"]) assert.equal((await foreign.headers()).at(-1), n);
    },
  ));

Deno.test("TypeScript is loaded where Dispa runs from its sources, with modules beside it", () =>
  withFolder(async (folder) => {
    const module = join(folder, "plugin.ts");
    await Deno.writeTextFile(join(folder, "names.ts"), `export const NAME: string = "x-typed";`);
    await Deno.writeTextFile(
      module,
      `import { NAME } from "./names.ts"; enum Way { In = "in" }
      interface Request { headers: Headers }
      export function onRequest(request: Request): void { request.headers.set(NAME, Way.In); }`,
    );
    await using foreign = await Foreign.open(script, scriptSettings, { module, ...PATIENT });
    assert.deepEqual(await foreign.headers(), ["host", "example.com", "x-typed", "in"]);
  }));

Deno.test("a plugin that is made again runs the module as it is then", () =>
  withFolder(async (folder) => {
    const module = join(folder, "plugin.js");
    for (const version of ["1", "2"]) {
      await Deno.writeTextFile(join(folder, "part.js"), `export const part = "${version}";`);
      await Deno.writeTextFile(
        module,
        `import { part } from "./part.js"; export const onRequest = (r) => r.headers.set("x", "${version}" + part);`,
      );
      await using foreign = await Foreign.open(script, scriptSettings, { module, ...PATIENT });
      assert.equal((await foreign.headers()).at(-1), version + version);
    }
  }));

const PROBE = `
  const probes = {
    read: () => Deno.readTextFileSync("/etc/hostname"),
    write: () => Deno.writeTextFileSync(new URL("written", import.meta.url), ""),
    env: () => Deno.env.get("HOME"),
    run: () => new Deno.Command("/bin/true").outputSync(),
    net: () => Deno.listen({ port: 0 }).close(),
    sys: () => Deno.hostname(),
    ffi: () => Deno.dlopen("libc.so.6", {}),
    import: () => import("http://127.0.0.1:9/x.js"),
  };
  export async function onRequest() {
    const could = [];
    for (const [name, probe] of Object.entries(probes)) {
      try { await probe(); could.push(name); } catch (error) {
        if (!/Requires (read|write|env|run|net|sys|ffi|import) access/.test(error.message)) could.push(name + ":" + encodeURIComponent(error));
      }
    }
    return { set_headers: { "x-could": could.join(" ") } };
  }`;

Deno.test("a sandboxed script has no permissions", () =>
  withScript(PROBE, async (foreign) => {
    assert.equal((await foreign.headers()).at(-1), "");
  }, { ...PATIENT, sandbox: true }));

Deno.test("a script without a sandbox may do what Dispa may", () =>
  withScript(PROBE, async (foreign) => {
    const could = (await foreign.headers()).at(-1) ?? "";
    assert.match(could, /^read write env run net sys/);
  }));

const REFUSED: [what: string, text: string, message: RegExp, name?: string][] = [
  [
    "exports no function",
    `export const x = 1;`,
    /cannot load .*plugin\.js: TypeError: it exports neither onRequest nor onResponse/,
  ],
  [
    "exports something else",
    `export const onRequest = 1;`,
    /it exports onRequest as number, wanted a function/,
  ],
  [
    "is no JavaScript",
    `export function {`,
    /cannot load .*plugin\.js: .*(SyntaxError|could not be parsed|Expected)/,
  ],
  [
    "throws while it is loaded",
    `throw new Error("no config");`,
    /cannot load .*plugin\.js: Error: no config \(at file:/,
  ],
  [
    "imports what is not there",
    `import "./gone.js";`,
    /cannot load .*plugin\.js: TypeError: Module not found .*gone\.js/,
  ],
  [
    "has another ending",
    `export const onRequest = 1;`,
    /plugin\.txt: wanted a file that ends in \.js, \.mjs, \.ts, \.mts/,
    "plugin.txt",
  ],
];

for (const [what, text, message, name] of REFUSED) {
  Deno.test(`a module that ${what} is refused with the configuration`, () =>
    assert.rejects(withScript(text, () => Promise.resolve(), PATIENT, name), message));
}

Deno.test("a module that is not there is refused with the configuration", async () => {
  await assert.rejects(Foreign.open(script, scriptSettings, { module: "/nowhere/x.js" }), /nowhere\/x\.js/);
});

Deno.test("the example lets requests with a key pass, and keeps the key", async () => {
  const module = "examples/plugins/script/require_key.ts";
  await using foreign = await Foreign.open(script, scriptSettings, { module, sandbox: true, ...PATIENT });
  const status = async (target: string, headers: string[] = []) => {
    const request = requestMessage({ target, headers });
    const answer = await foreign.request(request);
    return answer !== null && "status" in answer ? answer.status : request.headers;
  };
  assert.deepEqual(await status("/other"), ["host", "example.com"]);
  assert.equal(await status("/api/x"), 401);
  assert.equal(await status("/x/../api"), 401);
  assert.equal(await status("/api", ["x-api-key", "wrong"]), 401);
  assert.deepEqual(await status("/api", ["x-api-key", "let-me-in", "a", "b"]), [
    "host",
    "example.com",
    "a",
    "b",
  ]);
  const response = responseMessage(404);
  await foreign.plugin.onResponse?.(requestMessage({ target: "/api" }), response);
  assert.deepEqual(response.headers, ["cache-control", "no-store", "x-checked-path", "/api"]);
});

Deno.test("explain says what would be called and calls nothing", () =>
  withScript(`export function onRequest() { throw new Error("called"); }`, (foreign) => {
    assert.match(
      String(foreign.plugin.explain?.(requestMessage(), null)),
      /^would call onRequest of .*plugin\.js$/,
    );
    return Promise.resolve();
  }));

Deno.test("a loop that nothing can end costs its call; after three the plugin gives up", () =>
  withFolder(async (folder) => {
    const module = join(folder, "plugin.js");
    await Deno.writeTextFile(
      module,
      `export async function onRequest(request) { await 0; if (request.path === "/hang") for (;;); }`,
    );
    const args = ["run", "-A", "--quiet", "tests/unit/plugins/stuck_script.ts", module];
    const { success, stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).output();
    assert.ok(success);
    const lines = new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
    const hang = ["/hang", "PluginError: the plugin did not end in 300 ms"];
    assert.deepEqual(lines.slice(0, 6), [
      ["/good", "ok"],
      hang,
      ["/good", "ok"],
      hang,
      ["/good", "ok"],
      hang,
    ]);
    assert.match(
      lines[6][1],
      /^PluginError: the plugin has ended: its threads ran into endless loops; mend it/,
    );
    assert.deepEqual(lines[7], Array(3).fill("error: a plugin's thread does not answer and was left behind"));
  }));
