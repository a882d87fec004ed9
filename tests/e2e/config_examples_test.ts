/** Every file in config/ starts the program and does what its comments say. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Authority } from "../support/certificates.ts";
import { Dispa, type DispaOptions } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { requiresPostgres, startPostgres } from "../support/postgres.ts";
import { field, ok, type RawRequest, RawUpstream } from "../support/upstream.ts";

const CONFIG = fileURLToPath(new URL("../../config/", import.meta.url));
const KEY = "0123456789abcdef0123456789abcdef";

/** An upstream in the place of each target, by its name. */
class Targets implements AsyncDisposable {
  readonly #byName = new Map<string, RawUpstream>();

  /** The file with the targets' addresses replaced. */
  place(text: string): string {
    return text.replace(/^name = "([^"]+)"\n(?:#.*\n)*url = "http:[^"]+"/gm, (_, name) => {
      const upstream = new RawUpstream(() => ok(`from ${name}`, { "x-powered-by": "test" }));
      this.#byName.set(name, upstream);
      return `name = "${name}"\nurl = "${upstream.url}"`;
    });
  }

  get names(): string[] {
    return [...this.#byName.keys()];
  }

  /** What a target was asked, health checks left out. */
  requests(name: string): RawRequest[] {
    return this.#byName.get(name)!.requests.filter(({ target }) => target !== "/health");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const upstream of this.#byName.values()) await upstream[Symbol.asyncDispose]();
  }
}

async function started(
  name: string,
  targets: Targets,
  change = (text: string) => text,
  env: Record<string, string> = {},
): Promise<Dispa> {
  const text = targets.place(change(await Deno.readTextFile(join(CONFIG, name))));
  const options: DispaOptions = { toml: text, isWhole: true, env };
  return await Dispa.start(options);
}

async function textOf(response: Response): Promise<[number, string]> {
  return [response.status, await response.text()];
}

Deno.test("every file in config/ is started by a test of this file", async () => {
  const own = await Deno.readTextFile(new URL(import.meta.url));
  const names = [...Deno.readDirSync(CONFIG)].map(({ name }) => name).filter((name) =>
    name.endsWith(".toml")
  );
  assert.deepEqual(names.filter((name) => !own.includes(`"${name}"`)), []);
});

for (
  const [name, host] of [
    ["config.toml", "www.test.com"],
    ["config.example.toml", "any.example"],
    ["dev.toml", "app.local.dev"],
  ]
) {
  Deno.test(`${name} forwards, records and reports`, async () => {
    await using targets = new Targets();
    await using dispa = await started(name, targets);
    const [status, text] = await textOf(await dispa.fetch(host));
    assert.equal(status, 200);
    assert.ok(targets.names.some((target) => text === `from ${target}`), text);
    await dispa.record("of the request", (record) => record.host === host);
    assert.equal((await dispa.health()).body.status, "healthy");
    assert.equal(await dispa.stop(), 0);
  });
}

Deno.test("production.toml shares 3 to 2, limits bodies and keeps its admin port to this machine", async () => {
  await using targets = new Targets();
  await using dispa = await started("production.toml", targets);
  for (let i = 0; i < 10; i++) assert.equal((await dispa.fetch("api.myapp.com", "/x")).status, 200);
  assert.deepEqual(targets.names.map((name) => targets.requests(name).length), [6, 4]);
  const large = await dispa.fetch("api.myapp.com", "/x", {
    method: "POST",
    body: new Uint8Array(10_000_001),
  });
  assert.equal(large.status, 413);
  assert.equal((await dispa.fetch("other.com")).status, 404);
  assert.equal(await dispa.stop(), 0);
});

Deno.test("api-gateway.toml asks for a key, routes by path, hides the inside and answers the rest as JSON", async () => {
  await using targets = new Targets();
  await using dispa = await started("api-gateway.toml", targets, undefined, { API_KEY: KEY });
  const ask = async (path: string, headers: Record<string, string> = { "x-api-key": KEY }) =>
    await dispa.fetch("api.example.com", path, { headers });
  assert.equal((await ask("/users/7", {})).status, 401);
  assert.deepEqual(await textOf(await ask("/status", {})), [200, '{"status":"ok"}']);

  const users = await ask("/users/7");
  assert.equal(users.headers.get("x-powered-by"), null);
  assert.deepEqual(await textOf(users), [200, "from users"]);
  assert.equal(targets.requests("users")[0].target, "/7");
  assert.equal(field(targets.requests("users")[0], "x-gateway"), "dispa");

  const orders = new Set<string>();
  for (let i = 0; i < 5; i++) orders.add((await textOf(await ask("/orders/1")))[1]);
  assert.equal(orders.size, 1, [...orders].join());
  assert.match([...orders][0], /^from orders-v[12]$/);

  assert.equal((await ask("/internal/debug")).status, 403);
  assert.deepEqual(await textOf(await ask("/nowhere")), [404, '{"error":"no such resource"}']);
});

Deno.test("routing-plugins-example.toml runs the plugins of a route for its requests only", async () => {
  await using targets = new Targets();
  await using dispa = await started("routing-plugins-example.toml", targets);
  const api = await dispa.fetch("example.com", "/api/admin");
  assert.deepEqual(
    [api.status, api.headers.get("cache-control"), api.headers.get("x-proxy")],
    [200, "no-store", "dispa"],
  );
  assert.equal(targets.requests("api")[0].target, "/admin");
  assert.equal(field(targets.requests("api")[0], "x-from"), "dispa");

  const page = await dispa.fetch("example.com", "/page");
  assert.deepEqual(
    [...await textOf(page), page.headers.get("cache-control"), page.headers.get("x-proxy")],
    [200, "from web", null, "dispa"],
  );
  assert.equal((await dispa.fetch("example.com", "/admin")).status, 403);
});

Deno.test("tls.toml serves each name with its certificate and sends plain HTTP there", async () => {
  await using targets = new Targets();
  const folder = await Deno.makeTempDir({ prefix: "dispa-example-" });
  try {
    const authority = await Authority.make(folder);
    await authority.leaf({ names: ["example.com"] });
    await authority.leaf({ names: ["*.example.org"], file: "example.org" });
    const port = freePort();
    await using dispa = await started(
      "tls.toml",
      targets,
      (text) => text.replaceAll("/etc/dispa/", `${folder}/`).replace("port = 8443", `port = ${port}`),
    );
    for (const name of ["example.com", "www.example.org"]) {
      const socket = await Deno.connect({ hostname: "127.0.0.1", port });
      using tls = await Deno.startTls(socket, { hostname: name, caCerts: [authority.caPem] });
      await tls.write(
        new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`),
      );
      const bytes = new Uint8Array(4096);
      const count = await tls.read(bytes);
      assert.match(new TextDecoder().decode(bytes.subarray(0, count!)), /^HTTP\/1\.1 200 /);
    }
    const plain = await dispa.fetch("example.com", "/a?b");
    assert.equal(plain.headers.get("location"), `https://example.com:${port}/a?b`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "postgres.toml records in the database and in files",
  ...requiresPostgres(),
  async fn() {
    const server = await startPostgres();
    try {
      const url = await server.newDatabase();
      await using targets = new Targets();
      await using dispa = await started(
        "postgres.toml",
        targets,
        (text) => text.replace(/postgresql:\/\/[^"]+/, url),
      );
      assert.equal((await dispa.fetch("example.com", "/in-both")).status, 200);
      await dispa.record("in the file", (record) => record.path === "/in-both");
      const origin = `http://127.0.0.1:${dispa.metricsPort}`;
      await eventually("the row can be asked for", async () => {
        const { records } = await (await fetch(`${origin}/admin/traffic`)).json();
        return records.some(({ path }: { path: string }) => path === "/in-both");
      });
      assert.equal(await dispa.stop(), 0);
    } finally {
      await server.remove();
    }
  },
});
