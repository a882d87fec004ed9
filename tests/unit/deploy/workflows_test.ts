/** The GitHub workflows call what is there, with no more rights than they need; the issue forms are whole. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

interface Step {
  uses?: string;
  run?: string;
}

interface Workflow {
  permissions: Record<string, string>;
  env?: Record<string, string>;
  jobs: Record<string, { "timeout-minutes"?: number; needs?: string; steps: Step[] }>;
}

interface IssueForm {
  name: string;
  description: string;
  body: { type: string; id?: string; attributes: { label?: string; value?: string } }[];
}

const read = (path: string) => Deno.readTextFile(join(ROOT, path));
const yaml = async (path: string): Promise<unknown> =>
  parse(await read(path), { strict: true, uniqueKeys: true });

async function workflows(): Promise<[string, Workflow][]> {
  const names = [...Deno.readDirSync(join(ROOT, ".github/workflows"))].map(({ name }) => name).sort();
  return await Promise.all(
    names.map(async (name) =>
      [name, await yaml(`.github/workflows/${name}`) as Workflow] as [string, Workflow]
    ),
  );
}

Deno.test("the workflows use the actions of GitHub alone, may read only, and end", async () => {
  for (const [name, { permissions, jobs }] of await workflows()) {
    assert.deepEqual(permissions, { contents: "read" }, name);
    for (const [job, { steps, "timeout-minutes": minutes }] of Object.entries(jobs)) {
      assert.ok(minutes !== undefined && minutes <= 60, `${name}: ${job} has no time-out`);
      for (const { uses } of steps) {
        if (uses !== undefined) assert.match(uses, /^actions\/[a-z-]+@v\d+$/, `${name}: ${job}`);
      }
    }
  }
});

Deno.test("the workflows call scripts and tasks that there are, with the Deno of .ci/run", async () => {
  const { tasks } = JSON.parse(await read("deno.json"));
  const version = /^DENO_VERSION=(\S+)$/m.exec(await read(".ci/run"))![1];
  const called = new Set<string>();
  for (const [name, { env = {}, jobs }] of await workflows()) {
    for (const [, used] of JSON.stringify(env).matchAll(/deno@([\d.]+)/g)) assert.equal(used, version, name);
    for (const { run = "" } of Object.values(jobs).flatMap(({ steps }) => steps)) {
      for (const [script] of run.matchAll(/\.ci\/[a-z-]+/g)) {
        called.add(script);
        assert.ok((Deno.statSync(join(ROOT, script)).mode! & 0o111) !== 0, `${script} cannot be run`);
      }
      for (const [, task] of run.matchAll(/\$DENO task (\S+)/g)) {
        called.add(task);
        assert.ok(task in tasks, `there is no task ${task}`);
      }
    }
  }
  assert.deepEqual([...called].sort(), [".ci/run", "release"]);
  assert.ok((await read("Dockerfile")).includes(`denoland/deno:debian-${version}`));
});

Deno.test("nothing is released before .ci/run has passed", async () => {
  const { jobs } = await yaml(".github/workflows/release.yml") as Workflow;
  assert.deepEqual(jobs.ci.steps.map(({ run }) => run).filter((run) => run !== undefined), [".ci/run"]);
  for (const [name, { needs }] of Object.entries(jobs)) assert.equal(needs, name === "ci" ? undefined : "ci");
});

Deno.test("every field of the issue forms has its own id and a label", async () => {
  for (const name of ["bug.yml", "feature.yml"]) {
    const form = await yaml(`.github/ISSUE_TEMPLATE/${name}`) as IssueForm;
    assert.ok(form.name && form.description);
    const fields = form.body.filter(({ type }) => type !== "markdown");
    assert.equal(new Set(fields.map(({ id }) => id)).size, fields.length);
    for (const { id, type, attributes } of fields) {
      assert.match(id ?? "", /^[a-z]+$/);
      assert.ok(["input", "textarea", "dropdown"].includes(type));
      assert.ok(attributes.label);
    }
  }
});
