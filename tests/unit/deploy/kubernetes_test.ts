/** The Kubernetes manifest fits the Kubernetes API, the image and Dispa. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Deployment } from "kubernetes-types/apps/v1.d.ts";
import type { ConfigMap, Container, Probe, Service } from "kubernetes-types/core/v1.d.ts";
import { parseAllDocuments } from "yaml";
import { healthApp, type HealthSource } from "../../../src/admin/health_app.ts";
import type { Config } from "../../../src/config/mod.ts";
import { accepted, withFolder } from "../config/support.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The types that describe each kind of object. */
const MODULES: Record<string, string> = {
  ConfigMap: "core/v1",
  Deployment: "apps/v1",
  Service: "core/v1",
  PodDisruptionBudget: "policy/v1",
};

interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
}

async function resources(): Promise<Resource[]> {
  const documents = parseAllDocuments(await Deno.readTextFile(join(ROOT, "deploy/kubernetes/dispa.yaml")), {
    strict: true,
    uniqueKeys: true,
  });
  return [...documents].map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS();
  });
}

async function resource<Kind>(kind: string): Promise<Kind> {
  const found = (await resources()).filter((resource) => resource.kind === kind);
  assert.equal(found.length, 1);
  return found[0] as Kind;
}

async function container(): Promise<Container> {
  const { spec } = await resource<Deployment>("Deployment");
  const containers = spec?.template.spec?.containers ?? [];
  assert.equal(containers.length, 1);
  return containers[0];
}

async function config(): Promise<Config> {
  const { data } = await resource<ConfigMap>("ConfigMap");
  return await accepted(data?.["config.toml"] ?? "");
}

/** What the type checker says of the objects; a key that their kind does not have is an error to it. */
async function complaints(objects: Resource[]): Promise<string> {
  let output = "";
  await withFolder(async (folder) => {
    const path = join(folder, "manifest.ts");
    const lines = objects.flatMap((object, index) => [
      `import type { ${object.kind} as Kind${index} } from "kubernetes-types/${MODULES[object.kind]}.d.ts";`,
      `export const object${index}: Kind${index} = ${JSON.stringify(object)};`,
    ]);
    await Deno.writeTextFile(path, lines.join("\n"));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", "--config", join(ROOT, "deno.json"), path],
      env: { NO_COLOR: "1" },
    }).output();
    output = new TextDecoder().decode(stderr);
    if (!success) assert.notEqual(output, "");
    if (success) output = "";
  });
  return output;
}

Deno.test("every object of the manifest has the keys and values that its kind knows", async () => {
  const objects = await resources();
  assert.deepEqual(objects.map(({ kind }) => kind).filter((kind) => MODULES[kind] === undefined), []);
  assert.equal(await complaints(objects), "");
  const text = JSON.stringify(objects);
  for (
    const [from, to] of [["periodSeconds", "periodSecs"], ['"httpGet"', '"http"'], [
      '"runAsUser":65532',
      '"runAsUser":"65532"',
    ]]
  ) {
    assert.ok(text.includes(from));
    assert.notEqual(await complaints(JSON.parse(text.replace(from, to))), "", `${to} is taken`);
  }
});

/** A program that has just been told to stop, and whose only target is down. */
const STOPPING: HealthSource = {
  version: "0",
  uptimeMs: () => 0,
  isServing: () => false,
  isDraining: () => true,
  components: () => ({} as ReturnType<HealthSource["components"]>),
  targets: () => [],
  certificates: () => [],
  config: () => ({ path: "", generation: 1, loadedAt: new Date(0), lastError: null }),
};

Deno.test("the probes ask what Dispa answers: readiness ends with the draining, liveness does not", async () => {
  const { livenessProbe, readinessProbe, startupProbe } = await container();
  const app = healthApp(STOPPING);
  const status = async (probe: Probe | undefined) => {
    assert.equal(probe?.httpGet?.port, "health");
    return (await app.request(probe.httpGet.path ?? "")).status;
  };
  assert.equal(await status(livenessProbe), 200);
  assert.equal(await status(startupProbe), 200);
  assert.equal(await status(readinessProbe), 503);
});

Deno.test("the manifest's ports are those of its configuration", async () => {
  const { server, monitoring } = await config();
  const { ports = [] } = await container();
  assert.deepEqual(Object.fromEntries(ports.map(({ name, containerPort }) => [name, containerPort])), {
    proxy: server.bind.port,
    health: monitoring.healthCheckPort,
    metrics: monitoring.metricsPort,
  });
  // The kubelet and Prometheus come from outside the pod.
  assert.equal(monitoring.bindHostname, "0.0.0.0");
  const { spec } = await resource<Service>("Service");
  for (const { targetPort } of spec?.ports ?? []) assert.equal(targetPort, "proxy");
  const { spec: deployment } = await resource<Deployment>("Deployment");
  assert.equal(
    deployment?.template.metadata?.annotations?.["prometheus.io/port"],
    String(monitoring.metricsPort),
  );
});

Deno.test("the pod has time for its pause and for what is in flight", async () => {
  const { server } = await config();
  const { lifecycle } = await container();
  const pauseS = lifecycle?.preStop?.sleep?.seconds ?? 0;
  assert.ok(pauseS > 0);
  const { spec } = await resource<Deployment>("Deployment");
  const graceS = spec?.template.spec?.terminationGracePeriodSeconds ?? 0;
  assert.ok(graceS * 1000 > pauseS * 1000 + server.shutdownTimeoutMs);
});

Deno.test("the selectors find the pod, and everything that is mounted is there", async () => {
  const { spec } = await resource<Deployment>("Deployment");
  const labels = spec?.template.metadata?.labels;
  assert.ok(labels);
  assert.deepEqual(spec?.selector.matchLabels, labels);
  assert.deepEqual((await resource<Service>("Service")).spec?.selector, labels);
  assert.deepEqual(
    (await resource<{ spec: { selector: { matchLabels: unknown } } }>("PodDisruptionBudget")).spec.selector
      .matchLabels,
    labels,
  );
  const volumes = spec?.template.spec?.volumes ?? [];
  const { volumeMounts = [] } = await container();
  assert.deepEqual(volumeMounts.map(({ name }) => name).sort(), volumes.map(({ name }) => name).sort());
  const maps = volumes.flatMap(({ configMap }) => configMap === undefined ? [] : [configMap.name]);
  assert.deepEqual(maps, [(await resource<ConfigMap>("ConfigMap")).metadata?.name]);
});

Deno.test("the pod runs the image as the Dockerfile says: its user, its volumes, nothing else writable", async () => {
  const dockerfile = await Deno.readTextFile(join(ROOT, "Dockerfile"));
  const [, user, group] = /^USER (\d+):(\d+)$/m.exec(dockerfile)!;
  const { spec } = await resource<Deployment>("Deployment");
  const { runAsUser, runAsGroup, runAsNonRoot } = spec?.template.spec?.securityContext ?? {};
  assert.deepEqual([runAsUser, runAsGroup, runAsNonRoot], [Number(user), Number(group), true]);
  const { securityContext, volumeMounts = [] } = await container();
  assert.equal(securityContext?.readOnlyRootFilesystem, true);
  const volumes: string[] = JSON.parse(/^VOLUME (.*)$/m.exec(dockerfile)![1]);
  const mounts = volumeMounts.map(({ mountPath }) => mountPath);
  assert.deepEqual(mounts.sort(), [...volumes, "/tmp"].sort());
});
