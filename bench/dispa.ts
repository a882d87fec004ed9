/**
 * Dispa as a peer, from the sources as `deno task start` runs them, or the executable in DISPA_BIN.
 * A variant's name says what differs from `dispa`, which has one worker, the http1 transport, the traffic log
 * to a file and metrics on: `dispa[-fetch][-NUMBERw][-nolog|-sqlite|-postgres]`.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../tests/support/ports.ts";
import { type Peer, POOL_SIZE, startPeer, type Surroundings } from "./peer.ts";
import { POSTGRES_MISSING } from "./postgres.ts";

export type TrafficLog = "file" | "nolog" | "sqlite" | "postgres";

interface Variant {
  transport: "http1" | "fetch";
  workers: number;
  log: TrafficLog;
}

const NAME = /^dispa(?<fetch>-fetch)?(?:-(?<workers>[1-9]\d{0,2})w)?(?:-(?<log>nolog|sqlite|postgres))?$/;

const LOG_TEXT: Record<TrafficLog, string> = {
  file: "traffic log to a file",
  nolog: "no traffic log",
  sqlite: "traffic log to SQLite",
  postgres: "traffic log to PostgreSQL",
};

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The variant of that name; null where the name is none. */
export function dispaPeer(name: string): Peer | null {
  const parts = NAME.exec(name)?.groups;
  if (parts === undefined) return null;
  const variant: Variant = {
    transport: parts.fetch === undefined ? "http1" : "fetch",
    workers: Number(parts.workers ?? 1),
    log: (parts.log ?? "file") as TrafficLog,
  };
  return {
    name,
    description:
      `transport ${variant.transport}, ${variant.workers} worker${variant.workers === 1 ? "" : "s"}, ` +
      `${LOG_TEXT[variant.log]}, metrics on`,
    missing: variant.log === "postgres" ? POSTGRES_MISSING : null,
    start: (surroundings) => startDispa(name, variant, surroundings),
  };
}

async function startDispa(name: string, variant: Variant, surroundings: Surroundings) {
  const [port, metricsPort, healthPort] = [freePort(), freePort(), freePort()];
  const running = await startPeer(surroundings, name, port, async (folder) => {
    await Deno.writeTextFile(
      join(folder, "config.toml"),
      `[server]
bind_address = "127.0.0.1:${port}"
workers = ${variant.workers}
[monitoring]
bind_address = "127.0.0.1"
metrics_port = ${metricsPort}
health_check_port = ${healthPort}
[domains]
intercept_domains = ["127.0.0.1", "example.com", "*.example.com"]
[[targets.targets]]
name = "upstream"
url = "http://127.0.0.1:${surroundings.upstream.port}"
[http_client]
transport = "${variant.transport}"
pool_max_idle_per_host = ${POOL_SIZE}
${await loggingToml(variant.log, folder, surroundings.newPostgresDatabase)}`,
    );
    const [program, ...first] = dispaCommand();
    return { program, args: [...first, "run", "-c", join(folder, "config.toml")] };
  });
  return { ...running, droppedRecords: () => droppedRecords(metricsPort) };
}

/** The `[logging]` section for a traffic log in `folder`. */
export async function loggingToml(
  log: TrafficLog,
  folder: string,
  newPostgresDatabase: () => Promise<string>,
): Promise<string> {
  if (log === "nolog") return `[logging]\nenabled = false\n`;
  if (log === "file") return `[logging]\ntype = "file"\n[logging.file]\ndirectory = "${folder}/logs"\n`;
  const url = log === "sqlite" ? `sqlite://${folder}/traffic.db` : await newPostgresDatabase();
  return `[logging]\ntype = "database"\n[logging.database]\nurl = "${url}"\nspool_directory = "${folder}/spool"\n`;
}

/** The words of the `start` task, so that the bench runs with the flags that users run with. */
function dispaCommand(): string[] {
  const binary = Deno.env.get("DISPA_BIN");
  if (binary !== undefined) return [binary];
  const config: { tasks: { start: { command: string } } } = JSON.parse(
    Deno.readTextFileSync(join(ROOT, "deno.json")),
  );
  const [deno, run, ...rest] = config.tasks.start.command.split(" ");
  if (deno !== "deno" || run !== "run" || rest.at(-1) !== "main.ts") {
    throw new Error(
      `the task "start" is "${config.tasks.start.command}", wanted is "deno run FLAGS main.ts"`,
    );
  }
  return [
    Deno.execPath(),
    run,
    "--config",
    join(ROOT, "deno.json"),
    ...rest.slice(0, -1),
    join(ROOT, "main.ts"),
  ];
}

async function droppedRecords(metricsPort: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  const value = /^dispa_log_dropped_total (\d+)/m.exec(await response.text());
  if (value === null) throw new Error("the metrics hold no dispa_log_dropped_total");
  return Number(value[1]);
}
