/**
 * The image, run as a container engine would run it: its root read-only, its user, environment, working folder
 * and command as it says itself. `.ci/image` builds and mounts it and gives its place in DISPA_IMAGE_ROOT, what
 * `buildah inspect` says of it in DISPA_IMAGE_INSPECT. Needs the rights to mount.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { Lines } from "../support/lines.ts";
import { freePort } from "../support/ports.ts";
import { field, ok, RawUpstream } from "../support/upstream.ts";

interface ImageConfig {
  User: string;
  Env: string[];
  Entrypoint: string[];
  Cmd: string[];
  WorkingDir: string;
  ExposedPorts: Record<string, unknown>;
  Volumes: Record<string, unknown>;
  StopSignal: string;
  Healthcheck: { Test: string[] };
}

function variable(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`${name} is not set: run .ci/image`);
  return value;
}

const ROOT = variable("DISPA_IMAGE_ROOT");
const CONFIG: ImageConfig =
  JSON.parse(await Deno.readTextFile(variable("DISPA_IMAGE_INSPECT"))).Docker.config;
const HOST = "service.test";

/** A container: the image's root read-only, with the mounts an engine makes, and volumes in a folder. */
class Container {
  readonly port = freePort();
  readonly #healthPort = freePort();
  readonly metricsPort = freePort();

  private constructor(readonly folder: string) {}

  static async make(config: string): Promise<Container> {
    const container = new Container(await Deno.makeTempDir({ prefix: "dispa-image-" }));
    // Others than root have to get there.
    await Deno.chmod(container.folder, 0o755);
    for (const name of ["etc", "state"]) await Deno.mkdir(join(container.folder, name));
    await Deno.writeTextFile(join(container.folder, "etc/config.toml"), config);
    const [user, group] = CONFIG.User.split(":").map(Number);
    await Deno.chown(join(container.folder, "state"), user, group);
    await Deno.writeTextFile(join(container.folder, "hosts"), `127.0.0.1 localhost upstream.test\n`);
    return container;
  }

  /** Runs a command in it; signals to the child reach the command itself. */
  spawn(command: string[]): Deno.ChildProcess {
    const [user, group] = CONFIG.User.split(":");
    // The mounts are the child's own and go with it.
    const script = `set -e
mount --bind "$ROOT" "$ROOT"
touch "$ROOT/etc/hosts"
mount --bind "$FOLDER/hosts" "$ROOT/etc/hosts"
mount --bind "$FOLDER/etc" "$ROOT/etc/dispa"
mount --bind "$FOLDER/state" "$ROOT/var/lib/dispa"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount --bind /proc "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
mount -o remount,ro,bind "$ROOT"
exec unshare --root="$ROOT" --wd="$WORKDIR" --setgid=${group} --setuid=${user} "$@"`;
    return new Deno.Command("unshare", {
      args: ["--mount", "sh", "-c", script, "sh", ...command],
      clearEnv: true,
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        ROOT,
        FOLDER: this.folder,
        WORKDIR: CONFIG.WorkingDir,
        NO_COLOR: "1",
        ...Object.fromEntries(CONFIG.Env.map((entry) => entry.split(/=(.*)/s, 2))),
        DISPA_BIND_ADDRESS: `0.0.0.0:${this.port}`,
        DISPA_METRICS_PORT: String(this.metricsPort),
        DISPA_HEALTH_CHECK_PORT: String(this.#healthPort),
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async health(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#healthPort}/health`);
    await response.body?.cancel();
    return response.status;
  }

  async remove(): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Exit code of the image's HEALTHCHECK in a container. */
async function healthcheck(container: Container): Promise<number> {
  const [kind, ...command] = CONFIG.Healthcheck.Test;
  assert.equal(kind, "CMD");
  const { code, stderr } = await container.spawn(command).output();
  if (code !== 0) assert.notEqual(stderr.length, 0);
  return code;
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(join(ROOT, folder))].map(({ name }) => name).sort();
}

Deno.test("the image says how it is to be run", () => {
  assert.notEqual(CONFIG.User.split(":")[0], "0");
  assert.deepEqual([...CONFIG.Entrypoint, ...CONFIG.Cmd], ["/usr/bin/dispa", "run"]);
  assert.deepEqual(Object.keys(CONFIG.ExposedPorts).sort(), ["8080/tcp", "8081/tcp", "9090/tcp"]);
  assert.deepEqual(Object.keys(CONFIG.Volumes).sort(), ["/etc/dispa", "/var/lib/dispa"]);
  assert.equal(CONFIG.StopSignal, "SIGTERM");
  assert.deepEqual(CONFIG.Healthcheck.Test, ["CMD", "/usr/bin/dispa", "healthcheck"]);
});

Deno.test("the image holds the executable and what it needs, and no shell", () => {
  assert.deepEqual(names("usr/bin"), ["dispa"]);
  for (const folder of ["bin", "sbin", "usr/sbin"]) assert.throws(() => names(folder), Deno.errors.NotFound);
  for (const path of ["etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Asia/Shanghai", "tmp"]) {
    Deno.statSync(join(ROOT, path));
  }
  assert.deepEqual(names("etc/dispa"), ["config.toml"]);
  assert.deepEqual(names("usr/share/doc/dispa"), ["LICENSE", "THIRD_PARTY_LICENSES.md"]);
});

Deno.test("what a new volume takes over from the image belongs to the image's user, who may write to /tmp", () => {
  const [user, group] = CONFIG.User.split(":").map(Number);
  for (const path of [...Object.keys(CONFIG.Volumes), "/var/lib/dispa/logs", "/var/lib/dispa/data"]) {
    const { uid, gid } = Deno.statSync(join(ROOT, path));
    assert.deepEqual([uid, gid], [user, group], path);
  }
  assert.equal(Deno.statSync(join(ROOT, "tmp")).mode! & 0o7777, 0o1777);
});

Deno.test("the image proxies, records, reports its health and stops, read-only and without root", async () => {
  await using upstream = new RawUpstream(() => ok("from the upstream"));
  // A name: its resolution needs libraries that are loaded late.
  const container = await Container.make(`[domains]
intercept_domains = ["${HOST}"]
[[targets.targets]]
name = "one"
url = "http://upstream.test:${upstream.port}"
[targets.health_check]
interval = 1
timeout = 0.5
[logging]
type = "both"
`);
  try {
    assert.equal(await healthcheck(container), 1);
    const child = container.spawn([...CONFIG.Entrypoint, ...CONFIG.Cmd]);
    const stderr = new Lines(child.stderr);
    const stdout = new Lines(child.stdout);
    await stderr.waitFor(/serving on http/);

    const status = await Deno.readTextFile(`/proc/${child.pid}/status`);
    assert.match(status, new RegExp(`^Uid:\\s+${CONFIG.User.split(":")[0]}\\s`, "m"));
    assert.match(status, /^CapEff:\s+0+$/m);
    const mounts = await Deno.readTextFile(`/proc/${child.pid}/mounts`);
    assert.match(mounts, / \/ \S+ ro[, ]/);

    const client = Deno.createHttpClient({ allowHost: true });
    const response = await fetch(`http://127.0.0.1:${container.port}/a`, { client, headers: { host: HOST } });
    assert.deepEqual([response.status, await response.text()], [200, "from the upstream"]);
    client.close();
    const seen = upstream.requests.find(({ target }) => target === "/a")!;
    assert.equal(field(seen, "host"), HOST);

    await eventually("healthy", async () => await container.health() === 200);
    assert.equal(await healthcheck(container), 0);
    const metrics = await (await fetch(`http://127.0.0.1:${container.metricsPort}/metrics`)).text();
    assert.match(metrics, /^dispa_requests_total\{domain="service.test",method="GET",status="200"\} 1$/m);
    const page = await fetch(`http://127.0.0.1:${container.metricsPort}/admin`);
    assert.match(await page.text(), /<title>.*Dispa/s);

    child.kill(CONFIG.StopSignal as Deno.Signal);
    assert.equal((await child.status).code, 0, stderr.text);
    await Promise.all([stderr.done, stdout.done]);
    assert.equal(await healthcheck(container), 1);

    // The working folder is a volume: the files' and the database's relative paths are there.
    const logs = join(container.folder, "state/logs");
    const [log] = [...Deno.readDirSync(logs)].map(({ name }) => name);
    assert.match(await Deno.readTextFile(join(logs, log)), /"path":"\/a"/);
    assert.ok(Deno.statSync(join(container.folder, "state/data/traffic.db")).isFile);
  } finally {
    await container.remove();
  }
});
