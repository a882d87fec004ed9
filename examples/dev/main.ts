/**
 * `deno task dev`: the proxy on config/dev.toml with two demo targets, started again whenever the code
 * changes. The configuration is reloaded by the proxy itself.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RUN_FLAGS } from "../../src/build/run_flags.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CONFIG = join("config", "dev.toml");
const TARGETS = [{ name: "demo-1", port: 3001 }, { name: "demo-2", port: 3002 }];
/** Editors write a file in several steps. */
const DEBOUNCE_MS = 200;

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", ...RUN_FLAGS, ...args],
    cwd: ROOT,
    stdin: "null",
    // A group of its own: Ctrl-C reaches this program alone, which then ends the others in order.
    detached: true,
  }).spawn();
}

/** Ends a child in order and waits for it; one that is gone already is fine. */
async function stop(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch (fault) {
    if (!(fault instanceof TypeError) && !(fault instanceof Deno.errors.NotFound)) throw fault;
  }
  await child.status;
}

let stoppingProxy = false;

function startProxy(): Deno.ChildProcess {
  stoppingProxy = false;
  const child = start(["main.ts", "run", "-c", CONFIG]);
  child.status.then(({ code }) => {
    if (!stoppingProxy) {
      console.log(`The proxy has ended (exit code ${code}); a change of the code starts it again`);
    }
  });
  return child;
}

async function stopProxy(): Promise<void> {
  stoppingProxy = true;
  await stop(proxy);
}

const targets = TARGETS.map(({ name, port }) => {
  const child = start(["examples/dev/target.ts", name, String(port)]);
  return { name, port, child };
});
let proxy = startProxy();

console.log(`Dispa in development: the proxy on ${CONFIG} and two demo targets

Try:
  curl -H 'Host: example.com' http://localhost:8080/
  curl http://localhost:8081/health
  curl http://localhost:9090/metrics

Stop a target and see the other take over: kill ${targets[0].child.pid}   (${targets[0].name})
Admin and metrics: http://localhost:9090/   Records: logs/   Ctrl-C stops everything
`);

const watcher = Deno.watchFs([join(ROOT, "src"), join(ROOT, "main.ts")]);
const stopping = Promise.withResolvers<void>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    watcher.close();
    stopping.resolve();
  });
}

for (const { name, child } of targets) {
  child.status.then(({ code, signal }) =>
    console.log(`${name} has ended (${signal ?? `exit code ${code}`})`)
  );
}

/** Starts the proxy again after each change of the code, until the watcher is closed. */
async function restartOnChange(): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  for await (const event of watcher) {
    if (event.kind === "access" || !event.paths.some((path) => path.endsWith(".ts"))) continue;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      console.log("The code has changed: starting the proxy again");
      await stopProxy();
      proxy = startProxy();
    }, DEBOUNCE_MS);
  }
  clearTimeout(timer);
}

await Promise.all([restartOnChange(), stopping.promise]);
await stopProxy();
await Promise.all(targets.map(({ child }) => stop(child)));
Deno.exit(0);
