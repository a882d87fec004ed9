import { deepEqual, equal, ok } from "node:assert/strict";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { collectProcess } from "../../../src/metrics/process.ts";
import { Metrics } from "./support.ts";

function collected(): Metrics {
  const metrics = new Metrics();
  collectProcess(metrics.registry, "1.2.3");
  return metrics;
}

Deno.test("collectProcess tells the version, the start and the memory on every system", () => {
  const metrics = collected();
  deepEqual(metrics.scalars(FAMILIES.buildInfo), { [`1.2.3,${Deno.version.deno}`]: 1 });
  const start = metrics.scalars(FAMILIES.processStartTime)[""];
  ok(start > Date.UTC(2026, 0) / 1000 && start <= Date.now() / 1000, `${start} is no time since the epoch`);
  ok(metrics.scalars(FAMILIES.uptime)[""] > 0);
  ok(metrics.scalars(FAMILIES.processResidentMemory)[""] > 1e6);
});

Deno.test({
  name: "collectProcess counts the processor time that /proc counts",
  ignore: Deno.build.os !== "linux",
  fn: () => {
    const metrics = collected();
    // /proc counts in ticks of 10 ms.
    const tick = 0.01;
    const before = cpuSeconds();
    const cpu = metrics.scalars(FAMILIES.processCpu)[""];
    ok(cpu > before - 2 * tick && cpu < cpuSeconds() + 2 * tick, `${before} s of CPU time, exported ${cpu}`);
  },
});

Deno.test({
  name: "collectProcess gives what /proc says of this process",
  ignore: Deno.build.os !== "linux",
  fn: () => {
    const metrics = collected();
    const value = (family: typeof FAMILIES[keyof typeof FAMILIES]) => metrics.scalars(family)[""];
    ok(value(FAMILIES.processVirtualMemory) > value(FAMILIES.processResidentMemory));

    const limit = new Deno.Command("sh", { args: ["-c", "ulimit -n"] }).outputSync();
    const softLimit = new TextDecoder().decode(limit.stdout).trim();
    equal(value(FAMILIES.processMaxFds), softLimit === "unlimited" ? Infinity : Number(softLimit));

    const open = value(FAMILIES.processOpenFds);
    equal(open, openFds());
    const files = Array.from({ length: 5 }, () => Deno.openSync("/dev/null"));
    equal(value(FAMILIES.processOpenFds), open + 5);
    for (const file of files) file.close();
    equal(value(FAMILIES.processOpenFds), open);
  },
});

Deno.test({
  name: "collectProcess leaves out what it may not read, and the rest of the scrape goes on",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const folder = new URL("../../../src/metrics/", import.meta.url);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--no-check", "--no-config", "-"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`
      import { bucketBounds, collectProcess, MetricRegistry } from "${folder}mod.ts";
      const registry = new MetricRegistry(bucketBounds());
      collectProcess(registry, "1.2.3");
      console.log(registry.gather().map(({ family }) => family.name).join(" "));
    `));
    await writer.close();
    const { stdout, stderr } = await child.output();
    equal(new TextDecoder().decode(stderr), "");
    deepEqual(
      new TextDecoder().decode(stdout).trim().split(" ").filter((name) => name.startsWith("process_")),
      ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"],
    );
  },
});

/** Descriptors by asking for each in turn, which opens none. The limit is far above what a test has open. */
function openFds(): number {
  let open = 0;
  for (let fd = 0; fd < 4096; fd++) {
    try {
      Deno.lstatSync(`/proc/self/fd/${fd}`);
      open++;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return open;
}

/** Fields 14 and 15 of /proc/self/stat, in ticks of 10 ms; the second field holds no space here. */
function cpuSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(" ");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}
