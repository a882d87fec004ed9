/** The admin API of the whole program. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { SCHEMAS } from "../../src/admin/schemas.ts";
import { Dispa, type DispaOptions } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const VIEWER = "viewer-token-0123456789";
const EDITOR = "editor-token-0123456789";
const ADMIN = "admin-token-0123456789";
const TOKENS = { DISPA_VIEWER_TOKEN: VIEWER, DISPA_EDITOR_TOKEN: EDITOR, DISPA_ADMIN_TOKEN: ADMIN };

function toml(...upstreams: RawUpstream[]): string {
  const targets = upstreams.map((upstream, index) =>
    `[[targets.targets]]\nname = "t${index}"\nurl = "${upstream.url}"\n`
  );
  return `
[domains]
intercept_domains = ["example.com"]
[targets.load_balancing]
type = "weighted"
[targets.health_check]
interval = 0.2
timeout = 0.1
path = "/up"
${targets.join("")}`;
}

/** Answers its own name, and counts what is no health check. */
class Named extends RawUpstream {
  constructor(name: string) {
    super(() => ok(name));
  }

  get served(): number {
    return this.requests.filter(({ target }) => target !== "/up").length;
  }
}

class Admin {
  constructor(readonly dispa: Dispa, readonly token: string | null = EDITOR) {}

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token !== null) headers.set("authorization", `Bearer ${this.token}`);
    return fetch(`http://127.0.0.1:${this.dispa.metricsPort}${path}`, {
      redirect: "manual",
      ...init,
      headers,
    });
  }

  async act(action: Record<string, unknown>): Promise<unknown> {
    const response = await this.fetch("/admin/targets", { method: "POST", body: JSON.stringify(action) });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()).target;
  }

  put(text: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.fetch("/admin/config", {
      method: "PUT",
      body: text,
      headers: { "content-type": "text/plain", ...headers },
    });
  }

  async text(path: string): Promise<string> {
    return await (await this.fetch(path)).text();
  }
}

function start(options: DispaOptions): Promise<Dispa> {
  return Dispa.start({ env: TOKENS, ...options });
}

async function send(dispa: Dispa, count: number): Promise<void> {
  for (let i = 0; i < count; i++) assert.equal((await dispa.fetch("example.com")).status, 200);
}

Deno.test("a drained target gets no more requests from any thread, a resumed one its share again", async () => {
  await using a = new Named("a");
  await using b = new Named("b");
  await using dispa = await start({ toml: toml(a, b), workers: 2 });
  const admin = new Admin(dispa);
  await send(dispa, 10);
  assert.ok(a.served > 0 && b.served > 0);
  await admin.act({ target: "t0", action: "drain" });
  const before = [a.served, b.served];
  await send(dispa, 20);
  assert.deepEqual([a.served - before[0], b.served - before[1]], [0, 20]);
  assert.equal((await dispa.health()).body.status, "degraded");

  // A health check that succeeds, and a reload, leave it drained.
  await dispa.reload(`${toml(a, b)}\n# changed`);
  await send(dispa, 5);
  assert.equal(a.served, before[0]);

  await admin.act({ target: "t0", action: "resume" });
  await send(dispa, 20);
  assert.equal(a.served - before[0], 10);
});

Deno.test("a weight moves the traffic, and a forced state outlasts the health checks", async () => {
  await using a = new Named("a");
  await using b = new Named("b");
  await using dispa = await start({ toml: toml(a, b) });
  const admin = new Admin(dispa);
  await admin.act({ target: "t1", action: "weight", weight: 9 });
  await send(dispa, 40);
  assert.deepEqual([a.served, b.served], [4, 36]);

  await eventually(
    "t1 is found healthy",
    async () => (await dispa.health()).body.targets[1].state === "healthy",
  );
  const checks = () => b.requests.filter(({ target }) => target === "/up").length;
  await admin.act({ target: "t1", action: "force", state: "unhealthy", seconds: 3600 });
  const seen = checks();
  await eventually("further checks have succeeded", () => checks() >= seen + 3);
  await send(dispa, 10);
  assert.deepEqual([a.served, b.served], [14, 36]);
  assert.equal(await dispa.metric('dispa_target_healthy{target="t1"}'), 0);
  await admin.act({ target: "t1", action: "unforce" });
  assert.equal(await dispa.metric('dispa_target_healthy{target="t1"}'), 1);
});

Deno.test("every endpoint that changes something refuses whom it must, and the program runs on", async () => {
  await using a = new Named("a");
  await using b = new Named("b");
  await using dispa = await start({ toml: toml(a, b) });
  const file = Deno.readTextFileSync(dispa.configPath);
  const login = await new Admin(dispa, null).fetch("/admin/login", {
    method: "POST",
    body: JSON.stringify({ token: ADMIN }),
  });
  const cookie = login.headers.get("set-cookie")!.split(";")[0];
  await login.body?.cancel();
  const changes: [string, string, string][] = [
    ["POST", "/admin/targets", JSON.stringify({ target: "t0", action: "drain" })],
    ["PUT", "/admin/config", file.replace("example.com", "stolen.com")],
    ["POST", "/admin/config", file.replace("example.com", "stolen.com")],
    ["POST", "/admin/config/rollback", JSON.stringify({ id: "20260101T000000000Z" })],
  ];
  for (const [method, path, body] of changes) {
    const status = async (token: string | null, headers: Record<string, string> = {}) => {
      const response = await new Admin(dispa, token).fetch(path, { method, body, headers });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await status(VIEWER), 403, `${method} ${path} as a viewer`);
    assert.equal(await status(null), 401, `${method} ${path} as nobody`);
    const form = {
      cookie,
      origin: "http://evil.example",
      "content-type": "application/x-www-form-urlencoded",
    };
    assert.equal(await status(null, form), 403, `${method} ${path} from another site's form`);
  }
  const wrong = await new Admin(dispa, "wrong-token").fetch("/admin/targets", {
    method: "POST",
    body: changes[0][2],
  });
  assert.equal(wrong.status, 401);
  await wrong.body?.cancel();
  assert.equal(await dispa.metric('dispa_security_denied_total{kind="admin_auth"}'), 1);

  const bad = await new Admin(dispa).put(file.replace(/^workers = \d+/m, 'workers = "many"'));
  assert.equal(bad.status, 422);
  const { error } = SCHEMAS.Failure.parse(await bad.json());
  const line = file.split("\n").findIndex((text) => text.startsWith("workers = ")) + 1;
  assert.deepEqual(
    error.problems!.filter(({ severity }) => severity === "error").map(({ line, key }) => [line, key]),
    [[line, "server.workers"]],
  );

  assert.equal(Deno.readTextFileSync(dispa.configPath), file);
  const { generation } = (await dispa.health()).body.config as { generation: number };
  assert.equal(generation, 1);
  assert.equal((await dispa.fetch("stolen.com")).status, 404);
  await send(dispa, 4);
  assert.deepEqual([a.served, b.served], [2, 2]);
  const audit = Deno.readTextFileSync(join(dispa.logs, "admin_audit.log"));
  for (const secret of [VIEWER, EDITOR, ADMIN, "wrong-token", cookie.split("=")[1]]) {
    assert.ok(!audit.includes(secret));
  }
  assert.equal(audit.trimEnd().split("\n").length, 15);
});

Deno.test("a configuration that is put is in use when the answer comes, once, and can be rolled back", async () => {
  await using a = new Named("a");
  await using dispa = await start({ toml: toml(a) });
  const admin = new Admin(dispa);
  const file = Deno.readTextFileSync(dispa.configPath);
  const read = await admin.fetch("/admin/config");
  const text = await read.text();
  const put = await admin.put(text.replace("example.com", "other.com"), {
    "if-match": read.headers.get("etag")!,
  });
  const applied = SCHEMAS.ConfigApplied.parse(await put.json());
  assert.equal(applied.generation, 2);
  assert.equal((await dispa.fetch("other.com")).status, 200);
  assert.equal((await dispa.fetch("example.com")).status, 404);

  const rollback = await admin.fetch("/admin/config/rollback", {
    method: "POST",
    body: JSON.stringify({ id: applied.history_id }),
  });
  assert.equal(SCHEMAS.ConfigApplied.parse(await rollback.json()).generation, 3);
  assert.equal(Deno.readTextFileSync(dispa.configPath), file);
  assert.equal((await dispa.fetch("example.com")).status, 200);

  // The watch on the file sees both changes, and that they are in use already.
  await dispa.reload(toml(a).replace("example.com", "third.com"));
  const { generation } = (await dispa.health()).body.config as { generation: number };
  assert.equal(generation, 4);
  assert.equal(await dispa.metric('dispa_config_reloads_total{result="success"}'), 3);
});

Deno.test("a configuration whose listener cannot be opened is taken back", async () => {
  await using a = new Named("a");
  await using dispa = await start({ toml: toml(a) });
  const file = Deno.readTextFileSync(dispa.configPath);
  const blocker = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const moved = file.replace(`127.0.0.1:${dispa.port}`, `127.0.0.1:${blocker.addr.port}`);
  const response = await new Admin(dispa).put(moved);
  blocker.close();
  assert.equal(response.status, 422);
  const { error } = SCHEMAS.Failure.parse(await response.json());
  assert.match(error.problems![0].message, /Address already in use/);
  assert.equal(Deno.readTextFileSync(dispa.configPath), file);
  await send(dispa, 2);
  assert.equal(((await dispa.health()).body.config as { last_error: string | null }).last_error, null);
});

Deno.test("the traffic log answers questions, from the files and from the database", async () => {
  await using a = new Named("a");
  for (const type of ["file", "database"]) {
    const directory = Deno.makeTempDirSync({ prefix: "dispa-log-" });
    try {
      const logging = `[logging]
type = "${type}"
[logging.file]
directory = "${directory}"
[logging.database]
url = "sqlite://${directory}/traffic.db"
spool_directory = "${directory}/spool"
`;
      await using dispa = await start({ toml: toml(a) + logging });
      const admin = new Admin(dispa, VIEWER);
      for (const path of ["/one", "/two", "/two/more"]) await dispa.fetch("example.com", path);
      await dispa.fetch("other.com", "/two");
      const records = await eventually("all records can be asked for", async () => {
        const found = SCHEMAS.TrafficRecords.parse(JSON.parse(await admin.text("/admin/traffic"))).records;
        return found.length === 4 && found;
      });
      assert.equal(records.filter(({ host }) => host === "other.com").length, 1);
      const ask = async (query: string) =>
        SCHEMAS.TrafficRecords.parse(JSON.parse(await admin.text(`/admin/traffic?${query}`))).records
          .map(({ host, path }) => host + path);
      assert.deepEqual(await ask("host=example.com&path=/two"), ["example.com/two/more", "example.com/two"]);
      assert.deepEqual(await ask("status=404"), ["other.com/two"]);
      assert.deepEqual(await ask("limit=1&since=1h&target=t0"), ["example.com/two/more"]);
      const slow = records.toSorted((x, y) => y.duration_ms - x.duration_ms)[0];
      assert.deepEqual(await ask("order=slowest&limit=1"), [slow.host + slow.path]);
      const stats = JSON.parse(await admin.text("/admin/traffic/stats?by=status"));
      assert.deepEqual(
        SCHEMAS.TrafficStats.parse(stats).groups.map(({ key, requests }) => [key, requests]),
        [["200", 3], ["404", 1]],
      );
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  }
});

Deno.test("live traffic and events reach who listens, and hold up no shutdown", async () => {
  await using a = new Named("a");
  await using dispa = await start({ toml: toml(a), workers: 2 });
  const admin = new Admin(dispa, VIEWER);
  const live = (await admin.fetch("/admin/traffic/live?path=/wanted")).body!
    .pipeThrough(new TextDecoderStream()).getReader();
  const events = (await admin.fetch("/admin/events")).body!.pipeThrough(new TextDecoderStream()).getReader();
  await live.read();
  await dispa.fetch("example.com", "/unwanted");
  await dispa.fetch("example.com", "/wanted");
  let text = "";
  while (!text.includes("/wanted")) text += (await live.read()).value;
  assert.ok(!text.includes("/unwanted"), text);
  let sampled = "";
  while (!/"requests_per_second":[1-9]/.test(sampled) && !/"2xx":0?\.?[0-9]*[1-9]/.test(sampled)) {
    const { value, done } = await events.read();
    assert.ok(!done);
    sampled += value;
  }
  assert.equal(await dispa.stop(), 0);
  for (const reader of [live, events]) {
    for (;;) if ((await reader.read()).done) break;
  }
});

Deno.test("without a token the program shows its state to this machine and lets nobody change it", async () => {
  await using a = new Named("a");
  await using dispa = await start({ toml: toml(a), env: {} });
  const nobody = new Admin(dispa, null);
  assert.equal((await (await nobody.fetch("/admin/session")).json()).mode, "read_only");
  SCHEMAS.Status.parse(JSON.parse(await nobody.text("/admin/status")));
  const refused = await nobody.put(Deno.readTextFileSync(dispa.configPath));
  assert.equal(refused.status, 403);
  await refused.body?.cancel();
  const client = Deno.createHttpClient({ allowHost: true });
  const rebound = await fetch(`http://127.0.0.1:${dispa.metricsPort}/admin/status`, {
    headers: { host: "evil.example" },
    client,
  });
  assert.equal(rebound.status, 403);
  await rebound.body?.cancel();
  client.close();
});

Deno.test("/health tells how each component is, and /ready says that it drains", async () => {
  await using a = new Named("a");
  await using dispa = await start({ toml: toml(a) });
  const { body } = await dispa.health();
  assert.deepEqual(
    Object.entries(body.components as Record<string, { state: string }>).map(([name, { state }]) =>
      `${name} ${state}`
    ),
    ["proxy ok", "traffic_log ok", "config ok", "admin ok"],
  );
  const from = dispa.stderr.all.length;
  dispa.writeConfig("nonsense");
  await dispa.stderr.waitFor(/not reloaded/, from);
  const { config } = (await dispa.health()).body.components as Record<string, { state: string }>;
  assert.equal(config.state, "degraded");
});
