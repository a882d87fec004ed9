/**
 * The standard `process_*` metrics. On Linux they come from /proc, as in other Prometheus clients; elsewhere
 * only what Deno itself knows is exported: resident memory and the time of the start.
 */
import { FAMILIES } from "./families.ts";
import type { MetricRegistry } from "./registry.ts";

/** USER_HZ, the unit of times in /proc: 100 on every architecture that Deno runs on (proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;

/**
 * Exports `process_*`, `dispa_uptime_seconds` and `dispa_build_info`. To be called in the main thread, whose
 * clock starts with the process.
 * @param version of Dispa, without a leading "v"
 */
export function collectProcess(registry: MetricRegistry, version: string): void {
  registry.collect(FAMILIES.uptime, () => [{ labels: [], value: performance.now() / 1000 }]);
  registry.collect(FAMILIES.buildInfo, () => [{ labels: [version, Deno.version.deno], value: 1 }]);
  registry.collect(FAMILIES.processStartTime, () => [{ labels: [], value: performance.timeOrigin / 1000 }]);
  registry.collect(
    FAMILIES.processResidentMemory,
    () => [{ labels: [], value: Deno.memoryUsage().rss }],
  );
  if (Deno.build.os !== "linux") return;
  registry.collect(FAMILIES.processCpu, () => ifReadable(() => readStat().cpuSeconds));
  registry.collect(FAMILIES.processVirtualMemory, () => ifReadable(() => readStat().virtualBytes));
  registry.collect(FAMILIES.processOpenFds, () => ifReadable(countOpenFds));
  registry.collect(FAMILIES.processMaxFds, () => ifReadable(readMaxFds));
}

/**
 * No series where the file cannot be read: /proc may not be mounted, and a process that is out of file
 * descriptors must still be able to say how it is.
 */
function ifReadable(read: () => number): { labels: readonly []; value: number }[] {
  try {
    return [{ labels: [], value: read() }];
  } catch {
    return [];
  }
}

/** Fields 14, 15 and 23 of /proc/self/stat; the second may hold spaces, so fields count from its `)`. */
function readStat(): { cpuSeconds: number; virtualBytes: number } {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  const fromThird = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (n: number) => Number(fromThird[n - 3]);
  return { cpuSeconds: (field(14) + field(15)) / TICKS_PER_SECOND, virtualBytes: field(23) };
}

/** Without the descriptor that reads the folder. */
function countOpenFds(): number {
  return Array.from(Deno.readDirSync("/proc/self/fd")).length - 1;
}

/** The soft limit, Infinity if there is none. */
function readMaxFds(): number {
  const limit = /^Max open files +(\d+|unlimited)/m.exec(Deno.readTextFileSync("/proc/self/limits"));
  if (limit === null) throw new Error("cannot find the line of open files in /proc/self/limits");
  return limit[1] === "unlimited" ? Infinity : Number(limit[1]);
}
