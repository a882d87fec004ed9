/** Databases that cannot be used when the program starts. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Dispa, dispaCommand } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { requiresPostgres, startPostgres } from "../support/postgres.ts";
import { postgresRows } from "../support/traffic_rows.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const HOST = "example.com";

function toml(upstreamUrl: string, database: string): string {
  return `
[domains]
intercept_domains = ["${HOST}"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${upstreamUrl}"
[logging]
type = "database"
[logging.database]
spool_directory = "./spool"
connection_timeout = 2
${database}
`;
}

/** Starts the program in `folder` and returns what it ends with. */
async function startAndFail(folder: string, database: string): Promise<{ code: number; stderr: string }> {
  const listeners = `[server]
bind_address = "127.0.0.1:${freePort()}"
workers = 1
[monitoring]
bind_address = "127.0.0.1"
health_check_port = ${freePort()}
metrics_port = ${freePort()}
`;
  const path = join(folder, "config.toml");
  Deno.writeTextFileSync(path, listeners + toml(`http://127.0.0.1:${freePort()}`, database));
  const child = dispaCommand(["run", "-c", path], { cwd: folder }).spawn();
  const tooLong = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const { code, stderr } = await child.output();
  clearTimeout(tooLong);
  return { code, stderr: new TextDecoder().decode(stderr) };
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "dispa-test-" });
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function makeDamagedDatabase(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("CREATE TABLE t (a TEXT)");
  database.close();
  const bytes = Deno.readFileSync(path);
  // The header stays, the schema's page is gone.
  bytes.fill(0xff, 100, 4096);
  Deno.writeFileSync(path, bytes);
}

function makeForeignDatabase(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("CREATE TABLE traffic_logs (id TEXT, note TEXT)");
  database.exec("INSERT INTO traffic_logs VALUES ('1', 'somebody else''s')");
  database.close();
}

const UNUSABLE: { what: string; make: (path: string) => void; says: RegExp }[] = [
  {
    what: "a text file",
    make: (path) => Deno.writeTextFileSync(path, "not a database, but somebody's notes\n".repeat(200)),
    says: /cannot use the database .*traffic\.db: it is not a SQLite database/,
  },
  {
    what: "a damaged SQLite file",
    make: makeDamagedDatabase,
    says: /cannot use the database .*traffic\.db: it is damaged/,
  },
  {
    what: "another program's SQLite file",
    make: makeForeignDatabase,
    says: /cannot use the database .*traffic\.db: it belongs to another program/,
  },
];

for (const { what, make, says } of UNUSABLE) {
  for (const required of [true, false]) {
    Deno.test(`${what} ends the start with exit code 3 and is left as it is, required = ${required}`, () =>
      withFolder(async (folder) => {
        const path = join(folder, "traffic.db");
        make(path);
        const before = Deno.readFileSync(path);
        const { code, stderr } = await startAndFail(
          folder,
          `url = "sqlite://./traffic.db"\nrequired = ${required}`,
        );
        assert.equal(code, 3, stderr);
        assert.match(stderr, says);
        assert.match(stderr, /name another file or move this one away$/m);
        assert.doesNotMatch(stderr, /^\s+at /m);
        assert.deepEqual(Deno.readFileSync(path), before);
        const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
        assert.deepEqual(left, ["config.toml", "traffic.db"]);
      }));
  }
}

Deno.test("a PostgreSQL that is not there ends the start with exit code 3 and keeps the password to itself", () =>
  withFolder(async (folder) => {
    const port = freePort();
    const { code, stderr } = await startAndFail(
      folder,
      `url = "postgresql://dispa:s3cret%21@127.0.0.1:${port}/traffic"`,
    );
    assert.equal(code, 3, stderr);
    assert.match(stderr, new RegExp(`cannot .* the database.*127\\.0\\.0\\.1:${port}`));
    assert.doesNotMatch(stderr, /s3cret/);
    assert.doesNotMatch(stderr, /^\s+at /m);
  }));

Deno.test({
  name: "required = false: the program serves without PostgreSQL, and its records go in when it comes",
  ...requiresPostgres(),
  fn: async () => {
    const server = await startPostgres();
    try {
      const url = await server.newDatabase();
      await server.stop();
      await using upstream = new RawUpstream(() => ok("hello"));
      await using dispa = await Dispa.start({
        toml: toml(upstream.url, `url = "${url}"\nrequired = false`),
      });
      const early = Array.from({ length: 10 }, (_, index) => `/early/${index}`);
      for (const path of early) assert.equal((await dispa.fetch(HOST, path)).status, 200);
      const spool = join(dispa.directory, "spool");
      await eventually("the records are in the spool", () => {
        const texts = [...Deno.readDirSync(spool)].map(({ name }) =>
          Deno.readTextFileSync(join(spool, name))
        );
        return texts.join("").split("\n").length === early.length + 1;
      });
      await server.start();
      await dispa.stderr.waitFor(/the traffic log is written again/);
      assert.equal((await dispa.fetch(HOST, "/late")).status, 200);
      assert.equal(await dispa.stop("SIGTERM"), 0);
      const paths = (await postgresRows(url)).map(({ record }) => record.path);
      assert.deepEqual(paths.sort(), [...early, "/late"].sort());
      assert.deepEqual([...Deno.readDirSync(spool)], []);
      assert.doesNotMatch(dispa.stderr.text, /s3cret/);
    } finally {
      await server.remove();
    }
  },
});
