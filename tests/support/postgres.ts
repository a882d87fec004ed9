/** A private PostgreSQL server for tests: its own cluster in a temporary folder, on a port of its own. */

import { freePort } from "./ports.ts";
import { requires } from "./skip.ts";

const BIN = "/usr/lib/postgresql/15/bin";

/** For `Deno.test`: tests are skipped, and say so, on a machine without PostgreSQL's server. */
export function requiresPostgres(): { ignore: boolean } {
  return requires("PostgreSQL's server", `${BIN}/postgres`);
}

export interface PostgresServer {
  /** Makes an empty database and returns its URL, with the password in it. */
  newDatabase(options?: { encoding?: string }): Promise<string>;
  start(): Promise<void>;
  /** Stops it: `immediate` is what a crash looks like to its clients. */
  stop(mode?: "fast" | "immediate"): Promise<void>;
  /** Stops or continues every process of the server, which then neither answers nor closes connections. */
  signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Stops the server and removes its files. */
  remove(): Promise<void>;
}

export async function startPostgres(): Promise<PostgresServer> {
  const folder = await Deno.makeTempDir({ prefix: "dispa-postgres-" });
  // PostgreSQL refuses to run as root.
  const isRoot = Deno.uid() === 0;
  if (isRoot) await run("chown", ["postgres", folder]);
  const asPostgres = (program: string, args: string[]) =>
    isRoot ? run("runuser", ["-u", "postgres", "--", program, ...args]) : run(program, args);
  const data = `${folder}/data`;
  const port = freePort();
  await asPostgres(`${BIN}/initdb`, ["-D", data, "-U", "dispa", "-A", "trust", "--no-sync", "-E", "UTF8"]);
  const settings = `-p ${port} -k ${folder} -c listen_addresses=127.0.0.1 -c fsync=off`;
  const start = () =>
    asPostgres(`${BIN}/pg_ctl`, ["-D", data, "-o", settings, "-l", `${folder}/log`, "-w", "start"]);
  const stop = (mode: "fast" | "immediate" = "fast") =>
    asPostgres(`${BIN}/pg_ctl`, ["-D", data, "-m", mode, "-w", "stop"]);
  let databases = 0;
  let isRunning = false;
  const server: PostgresServer = {
    async newDatabase({ encoding = "UTF8" } = {}) {
      const name = `dispa_${++databases}`;
      await asPostgres(`${BIN}/createdb`, [
        ...["-h", folder, "-p", String(port), "-U", "dispa", "-E", encoding],
        ...["--locale", "C", "-T", "template0", name],
      ]);
      return `postgresql://dispa:s3cret@127.0.0.1:${port}/${name}`;
    },
    async start() {
      await start();
      isRunning = true;
    },
    async stop(mode) {
      await stop(mode);
      isRunning = false;
    },
    async signal(signal) {
      const main = Deno.readTextFileSync(`${data}/postmaster.pid`).split("\n")[0];
      const children = Deno.readTextFileSync(`/proc/${main}/task/${main}/children`).trim().split(" ");
      for (const pid of [main, ...children]) Deno.kill(Number(pid), signal);
      await Promise.resolve();
    },
    async remove() {
      if (isRunning) await stop("immediate");
      await Deno.remove(folder, { recursive: true });
    },
  };
  await server.start();
  return server;
}

async function run(program: string, args: string[]): Promise<void> {
  // No pipes: the server that pg_ctl leaves behind would keep them open.
  const file = await Deno.makeTempFile();
  try {
    const script = '"$0" "$@" >"$DISPA_TEST_OUTPUT" 2>&1 </dev/null';
    const { success } = await new Deno.Command("sh", {
      args: ["-c", script, program, ...args],
      env: { DISPA_TEST_OUTPUT: file },
      cwd: "/",
    }).output();
    if (!success) throw new Error(`${program} ${args.join(" ")} failed: ${await Deno.readTextFile(file)}`);
  } finally {
    await Deno.remove(file);
  }
}
