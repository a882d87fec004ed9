/** Disks that fill and databases that go: no request waits for them, and no record is lost unsaid. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { PostgresServer } from "../support/postgres.ts";
import { requiresPostgres, startPostgres } from "../support/postgres.ts";
import { accounted } from "../support/accounted.ts";
import { Dispa, readRecords } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Footprint } from "../support/footprint.ts";
import { requiresMounts, SmallDisk } from "../support/small_disk.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { targetsToml } from "../support/targets.ts";
import { postgresRows, sqliteRows } from "../support/traffic_rows.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const POOL = "[http_client]\npool_idle_timeout_secs = 0.3\n";

/** Everything that is written lies in `folder`. */
function logging(folder: string, type: "file" | "database", url: string, more = ""): string {
  return `[logging]
type = "${type}"
${more}
[logging.file]
directory = "${folder}/logs"
[logging.database]
url = "${url}"
spool_directory = "${folder}/spool"
`;
}

async function warmUp(dispa: Dispa): Promise<number> {
  await using warm = new SteadyClients(dispa.port, "example.com", "/warm");
  await warm.served(100);
  await warm.stop();
  return warm.answered.length;
}

const NEEDS_MOUNTS = requiresMounts();

for (const type of ["file", "database"] as const) {
  Deno.test({
    name:
      `${type}: a disk that is full for longer than memory lasts: what is lost is counted, the rest written`,
    ...NEEDS_MOUNTS,
    fn: async () => {
      using disk = new SmallDisk();
      const database = join(disk.folder, "traffic.db");
      const log = logging(disk.folder, type, `sqlite://${database}`, "queue_max_bytes = 65536");
      await using upstream = new RawUpstream(() => ok("hello"));
      await using dispa = await Dispa.start({
        toml: targetsToml([upstream], { more: log + POOL }),
        workers: 2,
      });
      const warm = await warmUp(dispa);
      const footprint = await Footprint.of(dispa);
      await using clients = new SteadyClients(dispa.port, "example.com");
      await clients.served(200);
      disk.fill();
      await dispa.stderr.waitFor(/the traffic log cannot be written/);
      await dispa.stderr.waitFor(/traffic records are (?:lost|dropped)/);
      await clients.served(200);
      const sink = type === "file" ? "file" : "sqlite";
      const failed = () => dispa.metric(`dispa_log_write_errors_total{sink="${sink}"}`);
      await eventually("several attempts fail", async () => await failed() >= 2);
      disk.clear();
      await dispa.stderr.waitFor(/the traffic log is written again/);
      await clients.served(200);
      await clients.stop();
      const asked = warm + clients.answered.length;
      const written = () =>
        type === "file"
          ? readRecords(join(disk.folder, "logs"))
          : sqliteRows(database).map(({ record }) => record);
      const lost = await accounted(dispa, asked, () => written().length);
      assert.ok(lost > 0);
      // With the queue empty again nothing more is lost.
      assert.equal((await dispa.fetch("example.com", "/last")).status, 200);
      assert.equal(await accounted(dispa, asked + 1, () => written().length), lost);
      await footprint.restored(dispa);
      assert.equal((await dispa.health()).status, 200);
      assert.equal(await dispa.stop("SIGTERM"), 0);
      const records = written();
      assert.equal(new Set(records.map(({ id }) => id)).size, records.length, "none is there twice");
      assert.equal(records.length + lost, asked + 1);
      const failures = dispa.stderr.all.filter((line) => /cannot be written/.test(line));
      assert.equal(failures.length, 1, dispa.stderr.text);
    },
  });
}

async function withPostgres(run: (server: PostgresServer, folder: string) => Promise<void>): Promise<void> {
  const server = await startPostgres();
  const folder = await Deno.makeTempDir({ prefix: "dispa-spool-" });
  try {
    await run(server, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
    await server.remove();
  }
}

Deno.test({
  name:
    "PostgreSQL stands still, then crashes and comes back under load: every request is served and recorded once",
  ...requiresPostgres(),
  fn: () =>
    withPostgres(async (server, folder) => {
      const url = await server.newDatabase();
      await using upstream = new RawUpstream(() => ok("hello"));
      await using dispa = await Dispa.start({
        toml: targetsToml([upstream], { more: logging(folder, "database", url) + POOL }),
        workers: 2,
      });
      const warm = await warmUp(dispa);
      const footprint = await Footprint.of(dispa);
      await using clients = new SteadyClients(dispa.port, "example.com");
      await clients.served(200);
      const spooled = () => Array.from(Deno.readDirSync(join(folder, "spool"))).length;
      await server.signal("SIGSTOP");
      try {
        await eventually("records wait in the spool", () => spooled() > 0);
        await clients.served(200);
      } finally {
        await server.signal("SIGCONT");
      }
      await eventually("all are in", () => spooled() === 0);
      await server.stop("immediate");
      await dispa.stderr.waitFor(/the traffic log cannot be written/);
      await clients.served(200);
      await server.start();
      await dispa.stderr.waitFor(/the traffic log is written again/);
      await clients.served(200);
      await clients.stop();
      assert.equal(await dispa.metric("dispa_log_dropped_total"), 0);
      await eventually("all are in", () => spooled() === 0);
      await footprint.restored(dispa);
      assert.equal(await dispa.stop("SIGTERM"), 0);
      const paths = (await postgresRows(url)).map(({ record }) => record.path);
      assert.equal(new Set(paths).size, paths.length, "none is there twice");
      assert.equal(paths.length, warm + clients.answered.length);
    }),
});
