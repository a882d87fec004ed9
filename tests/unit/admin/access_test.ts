/** Who may do what on the admin API. */
import assert from "node:assert/strict";
import type { Role } from "../../../src/admin/api.ts";
import { ENDPOINTS } from "../../../src/admin/endpoints.ts";
import { FREE_ATTEMPTS } from "../../../src/admin/attempts.ts";
import { AdminFixture, body, CONFIG, login, TOKEN } from "./support.ts";

/** A request to each endpoint that changes something, with a body that would be taken. */
const CHANGES: { path: string; method: string; body: string; role: Role }[] = [
  {
    path: "/admin/targets",
    method: "POST",
    body: JSON.stringify({ target: "one", action: "drain" }),
    role: "editor",
  },
  { path: "/admin/config", method: "PUT", body: CONFIG.replace("two", "three"), role: "editor" },
  { path: "/admin/config", method: "POST", body: CONFIG.replace("two", "three"), role: "editor" },
  {
    path: "/admin/config/rollback",
    method: "POST",
    body: JSON.stringify({ id: "20260101T000000000Z" }),
    role: "editor",
  },
];

Deno.test("the table of changes above is whole", () => {
  // A question too long for a query changes nothing.
  const changes = ENDPOINTS.filter(({ path }) => path !== "/admin/explain")
    .filter(({ method, role }) => method !== "get" && role !== null)
    .map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  assert.deepEqual(CHANGES.map(({ method, path }) => `${method} ${path}`).sort(), changes.sort());
});

for (const { path, method, body: text, role } of CHANGES) {
  const unchanged = (fixture: AdminFixture, before: string) => {
    assert.equal(fixture.file, before);
    assert.equal(fixture.generation, 1);
    assert.equal(fixture.table.isDraining(fixture.source.targets()[0].slot), false);
    assert.equal(fixture.source.targets().length, 2);
  };

  Deno.test(`${method} ${path} refuses a viewer, a wrong token and nobody, and changes nothing`, async () => {
    await using fixture = await AdminFixture.create();
    const before = fixture.file;
    const as = async (headers: Record<string, string>, status: number, code: string) => {
      const answer = await body(
        "Failure",
        await fixture.request(path, { method, body: text, headers }),
        status,
      );
      assert.equal(answer.error.code, code);
      unchanged(fixture, before);
    };
    await as({ authorization: `Bearer ${TOKEN.viewer}` }, 403, "forbidden");
    await as({ "x-admin-token": TOKEN.viewer }, 403, "forbidden");
    await as({ authorization: "Bearer wrong" }, 401, "unauthorized");
    await as({ "x-admin-token": TOKEN.admin.slice(0, -1) }, 401, "unauthorized");
    await as({}, 401, "unauthorized");
    await as({ cookie: "dispa_session=made-up" }, 401, "unauthorized");
    assert.equal(fixture.failedAttempts, 2);
    assert.deepEqual(fixture.audit().map(({ result }) => result).sort(), [
      "forbidden",
      "forbidden",
      "unauthorized",
      "unauthorized",
      "unauthorized",
      "unauthorized",
    ]);
    assert.ok(!JSON.stringify(fixture.audit()).includes(TOKEN.viewer));
  });

  Deno.test(`${method} ${path} refuses what another site makes a browser send with the cookie`, async () => {
    await using fixture = await AdminFixture.create();
    const before = fixture.file;
    const cookie = await login(fixture, "admin");
    const ours = { cookie, origin: "http://127.0.0.1:9090", "x-dispa-console": "1" };
    for (
      const headers of [
        // A form, an image and a script of another site; ours without the field; a site on a sister name.
        { cookie, origin: "http://evil.example", "content-type": "text/plain" },
        { ...ours, origin: "http://evil.example" },
        { ...ours, origin: "null" },
        { ...ours, "sec-fetch-site": "cross-site" },
        { ...ours, "sec-fetch-site": "same-site" },
        { cookie, origin: "http://127.0.0.1:9090" },
        { cookie, "x-dispa-console": "1" },
        { cookie },
      ] as Record<string, string>[]
    ) {
      const answer = await body(
        "Failure",
        await fixture.request(path, { method, body: text, headers }),
        403,
      );
      assert.equal(answer.error.code, "cross_site", JSON.stringify(headers));
      unchanged(fixture, before);
    }
    const own = await fixture.request(path, {
      method,
      body: text,
      headers: { ...ours, "sec-fetch-site": "same-origin" },
    });
    assert.ok(own.status === 200 || own.status === 404, `${own.status} ${await own.text()}`);
  });

  Deno.test(`${method} ${path} takes the tokens of ${role} and above`, async () => {
    for (const as of ["editor", "admin"] as const) {
      await using fixture = await AdminFixture.create();
      const answer = await fixture.request(path, { method, body: text, as });
      const wanted = path.endsWith("rollback") ? 404 : 200;
      assert.equal(answer.status, wanted, await answer.text());
    }
  });
}

Deno.test("every endpoint asks for the role that its description names", async () => {
  await using fixture = await AdminFixture.create();
  for (const { method, path, role } of ENDPOINTS) {
    if (role === null) continue;
    const at = path.replace("{id}", "20260101T000000000Z").replace("{name}", "x");
    const question = path === "/admin/explain" ? { body: JSON.stringify({ host: "a" }) } : {};
    const asked = method === "get" && path === "/admin/explain" ? `${at}?host=a` : at;
    const nobody = await fixture.request(at, { method: method.toUpperCase() });
    assert.equal(nobody.status, 401, `${method} ${path} ${await nobody.text()}`);
    if (role === "viewer") {
      const init = {
        method: method.toUpperCase(),
        as: "viewer",
        ...(method === "post" && question),
      } as const;
      const viewer = await fixture.request(asked, init);
      assert.ok([200, 404].includes(viewer.status), `${method} ${path} ${viewer.status}`);
      await viewer.body?.cancel();
    } else {
      const below = role === "admin" ? "editor" : "viewer";
      const refused = await fixture.request(at, { method: method.toUpperCase(), as: below });
      assert.equal(refused.status, 403, `${method} ${path}`);
      await refused.body?.cancel();
    }
  }
});

Deno.test("a login makes a cookie that no script can read, and a logout ends it", async () => {
  await using fixture = await AdminFixture.create();
  const response = await fixture.post("/admin/login", { token: TOKEN.editor });
  const cookie = response.headers.get("set-cookie")!;
  for (const attribute of [/; HttpOnly/, /; SameSite=Strict/, /; Path=\/admin/, /; Max-Age=\d+/]) {
    assert.match(cookie, attribute);
  }
  assert.doesNotMatch(cookie, /; Secure/);
  const session = await body("Session", response);
  assert.deepEqual([session.role, session.mode], ["editor", "tokens"]);
  const headers = { cookie: cookie.split(";")[0] };
  assert.equal((await body("Session", await fixture.request("/admin/session", { headers }))).role, "editor");
  assert.equal((await fixture.request("/admin/status", { headers })).status, 200);

  const own = { ...headers, origin: "http://127.0.0.1:9090", "x-dispa-console": "1" };
  assert.equal((await fixture.post("/admin/logout", {}, { headers })).status, 403);
  assert.equal((await fixture.request("/admin/status", { headers })).status, 200);
  const out = await fixture.post("/admin/logout", {}, { headers: own });
  assert.equal((await body("Session", out)).role, null);
  assert.equal((await fixture.request("/admin/status", { headers })).status, 401);
});

Deno.test("a login ends with its time", async () => {
  let now = 1_800_000_000_000;
  await using fixture = await AdminFixture.create({ nowMs: () => now });
  const cookie = await login(fixture, "viewer");
  now += 12 * 3_600_000 - 1;
  assert.equal((await fixture.request("/admin/status", { headers: { cookie } })).status, 200);
  now += 2;
  assert.equal((await fixture.request("/admin/status", { headers: { cookie } })).status, 401);
});

Deno.test("behind TLS the cookie is sent back over TLS only", async () => {
  await using fixture = await AdminFixture.create();
  const headers = { "x-forwarded-proto": "https" };
  const response = await fixture.post("/admin/login", { token: TOKEN.viewer }, { headers });
  assert.match(response.headers.get("set-cookie")!, /; Secure/);
});

Deno.test("a form logs in too and is led to the page, but not a form of another site", async () => {
  await using fixture = await AdminFixture.create();
  const form = (headers: Record<string, string>) =>
    fixture.request("/admin/login", {
      method: "POST",
      body: new URLSearchParams({ token: TOKEN.viewer }).toString(),
      headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    });
  const own = await form({ origin: "http://127.0.0.1:9090" });
  assert.deepEqual([own.status, own.headers.get("location")], [303, "/admin"]);
  const foreign = await form({ origin: "http://evil.example" });
  assert.equal(foreign.status, 403);
  assert.equal(foreign.headers.get("set-cookie"), null);
});

Deno.test("who tries wrong tokens has to wait longer each time; logins and other addresses do not", async () => {
  let now = 1_000;
  await using fixture = await AdminFixture.create({ nowMs: () => now });
  const cookie = await login(fixture, "viewer");
  const attempt = async (peer: string, token: string) => {
    const response = await fixture.request("/admin/status", {
      peer,
      headers: { authorization: `Bearer ${token}` },
    });
    await response.body?.cancel();
    return [response.status, response.headers.get("retry-after")];
  };
  for (let i = 0; i < FREE_ATTEMPTS; i++) assert.deepEqual(await attempt("10.0.0.1", "no"), [401, null]);
  assert.deepEqual(await attempt("10.0.0.1", TOKEN.admin), [429, "1"]);
  assert.equal(fixture.failedAttempts, FREE_ATTEMPTS);
  assert.deepEqual(await attempt("10.0.0.2", TOKEN.admin), [200, null]);
  const session = await fixture.request("/admin/status", { peer: "10.0.0.1", headers: { cookie } });
  assert.equal(session.status, 200);

  now += 1_001;
  assert.deepEqual(await attempt("10.0.0.1", "no"), [401, null]);
  assert.deepEqual(await attempt("10.0.0.1", TOKEN.admin), [429, "2"]);
  now += 2_001;
  assert.deepEqual(await attempt("10.0.0.1", TOKEN.admin), [200, null]);
  assert.deepEqual(await attempt("10.0.0.1", "no"), [401, null]);
});

Deno.test("the neighbours of one IPv6 network count as one", async () => {
  await using fixture = await AdminFixture.create({ nowMs: () => 1_000 });
  const headers = { authorization: "Bearer no" };
  for (let i = 0; i < FREE_ATTEMPTS; i++) {
    await fixture.request("/admin/status", { peer: `2001:db8:0:1::${i}`, headers });
  }
  const status = async (peer: string) => (await fixture.request("/admin/status", { peer, headers })).status;
  assert.equal(await status("2001:db8:0:1:ffff::"), 429);
  assert.equal(await status("2001:db8:0:2::1"), 401);
});

Deno.test("without tokens a client on this machine may look and change nothing", async () => {
  await using fixture = await AdminFixture.create({ roles: [] });
  const before = fixture.file;
  assert.equal((await fixture.request("/admin/status")).status, 200);
  assert.equal((await fixture.request("/admin/status", { peer: "::ffff:127.0.0.1" })).status, 200);
  const session = await body("Session", await fixture.request("/admin/session"));
  assert.deepEqual([session.role, session.mode, session.roles], ["viewer", "read_only", []]);
  for (const { path, method, body: text } of CHANGES) {
    const answer = await fixture.request(path, { method, body: text });
    const { error } = await body("Failure", answer, 403);
    assert.match(error.message, /DISPA_ADMIN_TOKEN/);
  }
  assert.equal(fixture.file, before);
  assert.equal((await fixture.post("/admin/login", { token: "" })).status, 409);
  assert.equal((await fixture.request("/admin/audit")).status, 403);
});

Deno.test("without tokens nobody from elsewhere sees anything, not even the page", async () => {
  await using fixture = await AdminFixture.create({ roles: [] });
  for (const path of ["/admin", "/admin/status", "/admin/config", "/admin/openapi.json", "/admin/session"]) {
    for (const peer of ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "128.0.0.1"]) {
      const { error } = await body("Failure", await fixture.request(path, { peer }), 403);
      assert.equal(error.code, "forbidden");
    }
  }
});

Deno.test("without tokens a foreign name that leads to this machine is refused", async () => {
  await using fixture = await AdminFixture.create({ roles: [] });
  const status = async (host: string) =>
    (await fixture.request("/admin/status", { headers: { host } })).status;
  for (const host of ["localhost:9090", "localhost", "127.0.0.1", "[::1]:9090", "LOCALHOST:9090"]) {
    assert.equal(await status(host), 200, host);
  }
  for (
    const host of [
      "evil.example:9090",
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "",
    ]
  ) {
    assert.equal(await status(host), 403, host);
  }
});

Deno.test("every answer forbids scripts of others, framing and keeping", async () => {
  await using fixture = await AdminFixture.create();
  for (const path of ["/admin", "/admin/status", "/admin/nothing", "/admin/assets/x", "/admin/session"]) {
    const { headers } = await fixture.request(path);
    const policy = headers.get("content-security-policy") ?? "";
    for (const directive of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      assert.ok(policy.includes(directive), `${path}: ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("cache-control"), "no-store");
  }
});
