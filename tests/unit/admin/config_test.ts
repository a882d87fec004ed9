/** The configuration through the admin API. */
import assert from "node:assert/strict";
import type { ConfigProblem, Failure } from "../../../src/admin/api.ts";
import { AdminFixture, type AdminFixtureOptions, body, CONFIG } from "./support.ts";

async function read(fixture: AdminFixture): Promise<{ text: string; etag: string; source: string }> {
  const response = await fixture.request("/admin/config", { as: "viewer" });
  assert.equal(response.status, 200);
  return {
    text: await response.text(),
    etag: response.headers.get("etag")!,
    source: response.headers.get("x-dispa-config-source")!,
  };
}

function errorsOf({ problems = [] }: Failure["error"]): ConfigProblem[] {
  return problems.filter(({ severity }) => severity === "error");
}

Deno.test("the file is shown with its comments and without its secrets", async () => {
  await using fixture = await AdminFixture.create();
  const { text, source } = await read(fixture);
  assert.equal(source, "file");
  assert.match(text, /^# kept by hand$/m);
  assert.match(
    text,
    /url = "postgresql:\/\/dispa:\*{8}[0-9a-f]{8}@db\.example\/traffic" # the one in the cellar/,
  );
  assert.match(text, /"authorization" = "\*{8}[0-9a-f]{8}"/);
  assert.match(text, /"x-env" = "\$\{STAGE\}"/);
  for (const secret of ["hunter2", "s3cr3t"]) assert.ok(!text.includes(secret), secret);
});

Deno.test("no read endpoint shows a secret, of the file or of the environment, to any role", async () => {
  await using fixture = await AdminFixture.create({
    toml: CONFIG.replace("Bearer s3cr3t", "Bearer s3cr3t").replace(
      '"x-env" =',
      '"x-note" = "${API_KEY}", "x-env" =',
    ),
    environment: { API_KEY: "from-the-environment" },
  });
  const { text } = await read(fixture);
  await fixture.put(text.replace("kept by hand", "changed"), { as: "admin" });
  const [{ id }] =
    (await body("ConfigHistory", await fixture.request("/admin/config/history", { as: "viewer" }))).versions;
  for (
    const path of [
      "/admin/config",
      "/admin/config/json",
      "/admin/config/history",
      `/admin/config/history/${id}`,
      `/admin/config/history/${id}/diff`,
      "/admin/status",
      "/admin/targets",
      "/admin/audit",
    ]
  ) {
    const answer = await (await fixture.request(path, { as: "admin" })).text();
    for (const secret of ["hunter2", "s3cr3t", "from-the-environment"]) {
      assert.ok(!answer.includes(secret), `${path}: ${answer}`);
    }
  }
});

Deno.test("a text that is sent back as it was read keeps every secret, byte for byte", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  const { text, etag } = await read(fixture);
  const applied = await body("ConfigApplied", await fixture.put(text, { headers: { "if-match": etag } }));
  assert.deepEqual([applied.history_id, applied.generation], [null, 1]);
  assert.equal(fixture.file, before);

  const changed = await body("ConfigApplied", await fixture.put(text.replace("by hand", "by many")));
  assert.equal(changed.generation, 2);
  assert.equal(fixture.file, before.replace("by hand", "by many"));
  assert.equal(fixture.source.config().logging.database.url, "postgresql://dispa:hunter2@db.example/traffic");
});

Deno.test("a change is written, used, kept in the history, and the file keeps its mode", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  Deno.chmodSync(fixture.configPath, 0o640);
  const { text } = await read(fixture);
  const applied = await body("ConfigApplied", await fixture.put(text.replace("weight = 2", "weight = 5")));
  assert.equal(applied.generation, 2);
  assert.equal(fixture.source.config().targets.targets[0].weight, 5);
  assert.equal(fixture.file, before.replace("weight = 2", "weight = 5"));
  assert.equal(Deno.statSync(fixture.configPath).mode! & 0o777, 0o640);
  const folder = `${fixture.configPath}.history`;
  assert.equal(Deno.statSync(folder).mode! & 0o777, 0o700);
  assert.equal(Deno.readTextFileSync(`${folder}/${applied.history_id}.toml`), before);
  assert.equal(Deno.statSync(`${folder}/${applied.history_id}.toml`).mode! & 0o777, 0o600);
  assert.deepEqual(
    [...Deno.readDirSync(fixture.directory)].map(({ name }) => name).sort(),
    ["config.toml", "config.toml.history", "logs"],
  );
  assert.equal((await read(fixture)).etag, applied.etag);
});

Deno.test("a configuration that does not validate is refused with its lines, and nothing changes", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  const { text } = await read(fixture);
  const bad = text.replace('type = "weighted"', 'type = "fastest"').replace("weight = 2", "weight = -1");
  for (const path of ["/admin/config", "/admin/config?dry_run=true"]) {
    const response = await fixture.request(path, { method: "PUT", body: bad, as: "editor" });
    const { error } = await body("Failure", response, 422);
    assert.equal(error.code, "invalid_config");
    const lines = bad.split("\n");
    const places = errorsOf(error).map(({ line, column, key }) => [
      lines[line! - 1].slice(column! - 1).replace(/\s.*/, ""),
      key,
    ]);
    assert.deepEqual(places, [['"fastest"', "targets.load_balancing.type"], [
      "-1",
      "targets.targets[0].weight",
    ]]);
  }
  const broken = await body("Failure", await fixture.put(text + "\n[oops"), 422);
  assert.equal(broken.error.problems![0].line, text.split("\n").length + 1);
  assert.equal(fixture.file, before);
  assert.equal(fixture.generation, 1);
  assert.equal(fixture.audit().at(-1)!.result, "invalid_config");
});

Deno.test("a problem after a masked secret of several lines is told at its line in the text that was sent", async () => {
  const toml = CONFIG.replace('"Bearer s3cr3t"', '"""Bearer \\\n  s3cr3t\\\n"""') + "[server]\nworkers = 2\n";
  await using fixture = await AdminFixture.create({ toml });
  const { text } = await read(fixture);
  const bad = text.replace("workers = 2", "workers = true");
  const { error } = await body("Failure", await fixture.put(bad), 422);
  const line = bad.split("\n").indexOf("workers = true") + 1;
  assert.deepEqual(
    errorsOf(error).map((problem) => [problem.line, problem.column, problem.key]),
    [[line, 11, "server.workers"]],
  );
});

Deno.test("a dry run says what would change and changes nothing", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  const { text } = await read(fixture);
  const response = await fixture.request("/admin/config?dry_run=true", {
    method: "POST",
    body: text.replace("weight = 2", "weight = 5"),
    as: "editor",
  });
  const { diff } = await body("ConfigChecked", response);
  assert.deepEqual(
    diff.filter(({ kind }) => kind !== "same").map(({ kind, text }) => `${kind} ${text}`),
    ["removed weight = 2", "added weight = 5"],
  );
  assert.equal(fixture.file, before);
  assert.equal(fixture.generation, 1);
});

Deno.test("of two that edit at the same time the second is told, and loses nothing", async () => {
  await using fixture = await AdminFixture.create();
  const { text, etag } = await read(fixture);
  const headers = { "if-match": etag };
  assert.equal((await fixture.put(text.replace("weight = 2", "weight = 3"), { headers })).status, 200);
  const second = await fixture.put(text.replace("weight = 2", "weight = 4"), { headers });
  assert.equal((await body("Failure", second, 412)).error.code, "stale");
  assert.match(fixture.file, /weight = 3/);
});

Deno.test("a change made by hand meanwhile makes an etag stale", async () => {
  await using fixture = await AdminFixture.create();
  const { text, etag } = await read(fixture);
  Deno.writeTextFileSync(fixture.configPath, fixture.file + "# by hand\n");
  assert.equal((await fixture.put(text, { headers: { "if-match": etag } })).status, 412);
  assert.match(fixture.file, /# by hand/);
});

Deno.test("a text that cannot be used after all is taken back", async () => {
  let refusal: string | null = "cannot listen on http://127.0.0.1:1";
  const options: AdminFixtureOptions = {
    refuse: () => {
      const now = refusal;
      refusal = null;
      return now;
    },
  };
  await using fixture = await AdminFixture.create(options);
  const before = fixture.file;
  const { text } = await read(fixture);
  const { error } = await body("Failure", await fixture.put(text.replace("weight = 2", "weight = 3")), 422);
  assert.match(error.problems![0].message, /cannot listen/);
  assert.equal(fixture.file, before);
  assert.equal(fixture.source.config().targets.targets[0].weight, 2);
});

Deno.test("a mask stands for its secret only under its own key and for its own host", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  const { text } = await read(fixture);
  const authorization = /"authorization" = ("\*{8}[0-9a-f]{8}")/.exec(text)![1];
  for (
    const bad of [
      // Sent to another server, shown in another field, invented.
      text.replace("@db.example", "@evil.example"),
      text.replace('"x-env" = "${STAGE}"', `"x-env" = ${authorization}`),
      text.replace(authorization, '"********00000000"'),
      text.replace(authorization, '"********"'),
    ]
  ) {
    assert.notEqual(bad, text);
    const { error } = await body("Failure", await fixture.put(bad, { as: "admin" }), 422);
    assert.match(error.problems![0].message, /masked value/);
    assert.ok(error.problems![0].line! > 0);
    assert.equal(fixture.file, before);
  }
  // A new value is taken, and the other secret stays.
  const good = text.replace(authorization, '"Bearer new"');
  assert.equal((await fixture.put(good, { as: "admin" })).status, 200);
  assert.equal(fixture.file, before.replace("Bearer s3cr3t", "Bearer new"));
});

Deno.test("an editor cannot have programs run or the environment read, an admin can", async () => {
  await using fixture = await AdminFixture.create();
  const { text } = await read(fixture);
  const command = `${text}
[[plugins.plugins]]
name = "sh"
type = "command"
enabled = false
config = { exec = "/bin/sh" }
`;
  const variable = text.replace('"x-env" = "${STAGE}"', '"x-env" = "${STAGE}", "x-home" = "${HOME:-none}"');
  for (const [what, changed] of Object.entries({ command, variable })) {
    const { error } = await body("Failure", await fixture.put(changed), 403);
    assert.match(error.message, /wanted is admin/, what);
  }
  assert.equal(fixture.generation, 1);
  assert.equal((await fixture.put(variable, { as: "admin" })).status, 200);
});

Deno.test("nobody can put an admin token into the configuration", async () => {
  await using fixture = await AdminFixture.create({ environment: { DISPA_ADMIN_TOKEN: "hidden" } });
  const { text } = await read(fixture);
  const bad = text.replace("${STAGE}", "${DISPA_ADMIN_TOKEN}");
  const { error } = await body("Failure", await fixture.put(bad, { as: "admin" }), 422);
  assert.match(error.problems![0].message, /opens the admin API/);
});

Deno.test("a rollback brings the version back, secrets included, and can be rolled back itself", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  const { text } = await read(fixture);
  const first = await body("ConfigApplied", await fixture.put(text.replace("hand", "foot")));
  const changed = fixture.file;
  const history = async () =>
    (await body("ConfigHistory", await fixture.request("/admin/config/history", { as: "viewer" }))).versions;
  assert.deepEqual((await history()).map(({ id }) => id), [first.history_id]);
  const diff = await body(
    "ConfigDiff",
    await fixture.request(`/admin/config/history/${first.history_id}/diff`, { as: "viewer" }),
  );
  assert.deepEqual(
    diff.diff.filter(({ kind }) => kind !== "same").map(({ kind, text }) => `${kind} ${text}`),
    ["removed # kept by hand", "added # kept by foot"],
  );
  const rollback = await fixture.post("/admin/config/rollback", { id: first.history_id }, { as: "editor" });
  const back = await body("ConfigApplied", rollback);
  assert.equal(back.generation, 3);
  assert.equal(fixture.file, before);
  const [newest] = await history();
  assert.deepEqual([newest.id, newest.replaced_through], [back.history_id, "rollback"]);
  assert.match(newest.replaced_by, /^editor [0-9a-f]{8}$/);
  await fixture.post("/admin/config/rollback", { id: back.history_id }, { as: "editor" });
  assert.equal(fixture.file, changed);
});

Deno.test("an id of the history is never a path", async () => {
  await using fixture = await AdminFixture.create();
  for (const id of ["../config", "%2e%2e%2fconfig", "20260101T000000000Z%2f..%2f..%2fconfig", "nope"]) {
    const answer = await fixture.request(`/admin/config/history/${id}`, { as: "admin" });
    assert.equal(answer.status, 404, id);
  }
  assert.equal(
    (await fixture.post("/admin/config/rollback", { id: "../config" }, { as: "admin" })).status,
    404,
  );
});

Deno.test("the history keeps a bounded number of versions", async () => {
  await using fixture = await AdminFixture.create();
  const { text } = await read(fixture);
  for (let i = 0; i < 53; i++) {
    await body("ConfigApplied", await fixture.put(text.replace("by hand", `${i}`)));
  }
  const history = await fixture.request("/admin/config/history", { as: "viewer" });
  const { versions } = await body("ConfigHistory", history);
  assert.equal(versions.length, 50);
  assert.equal([...Deno.readDirSync(`${fixture.configPath}.history`)].length, 100);
});

Deno.test("a link to the file stays a link", async () => {
  await using fixture = await AdminFixture.create();
  const real = `${fixture.directory}/real.toml`;
  Deno.renameSync(fixture.configPath, real);
  Deno.symlinkSync("real.toml", fixture.configPath);
  const { text } = await read(fixture);
  assert.equal((await fixture.put(text.replace("weight = 2", "weight = 9"))).status, 200);
  assert.ok(Deno.lstatSync(fixture.configPath).isSymlink);
  assert.match(Deno.readTextFileSync(real), /weight = 9/);
});

Deno.test("a file that is broken by hand is not shown; the running text is, and can be put in its place", async () => {
  await using fixture = await AdminFixture.create();
  const before = fixture.file;
  Deno.writeTextFileSync(fixture.configPath, 'password = "hunter3\n');
  const { text, source, etag } = await read(fixture);
  assert.equal(source, "running");
  assert.ok(!text.includes("hunter"));
  const response = await fixture.put(text, { headers: { "if-match": etag } });
  await body("ConfigApplied", response);
  assert.equal(fixture.file, before);
});

Deno.test("what is no text of a configuration is refused by its type or size", async () => {
  await using fixture = await AdminFixture.create();
  const headers = { "content-type": "application/json" };
  assert.equal((await fixture.put("{}", { headers })).status, 400);
  const big = await fixture.put("#".repeat(5 * 1024 * 1024), { as: "admin" });
  assert.equal((await body("Failure", big, 413)).error.code, "too_large");
});

Deno.test("the effective configuration has every default and no secret", async () => {
  await using fixture = await AdminFixture.create();
  const response = await fixture.request("/admin/config/json", { as: "viewer" });
  const { config, generation } = await body("ConfigJson", response);
  assert.equal(generation, 1);
  const file = config as {
    server: { workers: number };
    logging: { database: { url: string } };
    plugins: { plugins: { config: { request_headers: Record<string, string> } }[] };
  };
  assert.ok(file.server.workers >= 1);
  assert.equal(file.logging.database.url, "postgresql://dispa:********@db.example/traffic");
  assert.deepEqual(file.plugins.plugins[0].config.request_headers, {
    authorization: "********",
    "x-env": "test",
  });
});
