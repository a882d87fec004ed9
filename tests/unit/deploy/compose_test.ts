/** docker-compose.yml fits the repository, the image and Prometheus. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { VERSION } from "../../../src/version.ts";
import { accepted, ONE_TARGET } from "../config/support.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

interface ComposeService {
  build?: string;
  image: string;
  read_only?: boolean;
  tmpfs?: string[];
  stop_grace_period?: string;
  depends_on?: string[];
  ports: string[];
  volumes: string[];
}

interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, null>;
}

async function yaml(path: string): Promise<unknown> {
  return parse(await Deno.readTextFile(join(ROOT, path)), { strict: true, uniqueKeys: true });
}

const COMPOSE = await yaml("docker-compose.yml") as Compose;

Deno.test("what docker-compose.yml mounts is a file or folder of this repository, or a volume it declares", () => {
  const used = new Set<string>();
  for (const { volumes } of Object.values(COMPOSE.services)) {
    for (const [source] of volumes.map((volume) => volume.split(":"))) {
      if (source.startsWith("./")) Deno.statSync(join(ROOT, source));
      else used.add(source);
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(COMPOSE.volumes).sort());
});

Deno.test("the service dispa runs the image of this repository with its volumes, and nothing else writable", async () => {
  const { build, image, volumes, read_only, tmpfs } = COMPOSE.services.dispa;
  assert.deepEqual([build, image, read_only, tmpfs], [".", `dispa:${VERSION}`, true, ["/tmp"]]);
  const dockerfile = await Deno.readTextFile(join(ROOT, "Dockerfile"));
  const declared: string[] = JSON.parse(/^VOLUME (.*)$/m.exec(dockerfile)![1]);
  assert.deepEqual(volumes.map((volume) => volume.split(":")[1]).sort(), declared.sort());
  const [, path] = /DISPA_CONFIG=(\S+)/.exec(dockerfile)!;
  const [source, target] = volumes[0].split(":");
  Deno.statSync(join(ROOT, path.replace(target, source)));
});

Deno.test("the service dispa publishes the default ports, those of control to this machine only", async () => {
  const { server, monitoring } = await accepted(ONE_TARGET);
  const { healthCheckPort, metricsPort } = monitoring;
  assert.deepEqual(COMPOSE.services.dispa.ports, [
    `${server.bind.port}:${server.bind.port}`,
    `127.0.0.1:${healthCheckPort}:${healthCheckPort}`,
    `127.0.0.1:${metricsPort}:${metricsPort}`,
  ]);
  const [, graceS] = /^(\d+)s$/.exec(COMPOSE.services.dispa.stop_grace_period ?? "")!;
  assert.ok(Number(graceS) * 1000 > server.shutdownTimeoutMs);
});

Deno.test("Prometheus reads the service dispa, and Grafana reads Prometheus", async () => {
  const { metricsPort } = (await accepted(ONE_TARGET)).monitoring;
  const prometheus = await yaml("docs/prometheus.yml") as {
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  const job = prometheus.scrape_configs.find(({ job_name }) => job_name === "dispa");
  assert.deepEqual(job?.static_configs, [{ targets: [`dispa:${metricsPort}`] }]);
  const grafana = await yaml("docs/grafana/provisioning/datasources/prometheus.yml") as {
    datasources: { url: string }[];
  };
  assert.deepEqual(grafana.datasources.map(({ url }) => url), ["http://prometheus:9090"]);
  assert.ok(COMPOSE.services.prometheus);
});

Deno.test("the version in the Kubernetes manifest is this one", async () => {
  const manifest = await Deno.readTextFile(join(ROOT, "deploy/kubernetes/dispa.yaml"));
  assert.match(manifest, new RegExp(`^ +image: dispa:${VERSION.replaceAll(".", "\\.")}$`, "m"));
});
