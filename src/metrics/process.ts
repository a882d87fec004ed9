/**
 * The standard `process_*` metrics. What the runtime knows is always exported: processor time, resident memory
 * and the time of the start. Virtual memory and file descriptors come from Linux's /proc, as in other
 * Prometheus clients, which Deno lets only programs with all permissions read: the executable and the tasks do
 * without (src/build/run_flags.ts).
 */
import process from "node:process";
import { FAMILIES } from "./families.ts";
import type { MetricRegistry } from "./registry.ts";

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
  registry.collect(FAMILIES.processCpu, () => [{ labels: [], value: cpuSeconds() }]);
  if (Deno.build.os !== "linux") return;
  registry.collect(FAMILIES.processVirtualMemory, () => ifReadable(readVirtualBytes));
  registry.collect(FAMILIES.processOpenFds, () => ifReadable(countOpenFds));
  registry.collect(FAMILIES.processMaxFds, () => ifReadable(readMaxFds));
}

/**
 * No series where the file cannot be read: /proc may be out of reach, and a process that is out of file
 * descriptors must still be able to say how it is.
 */
function ifReadable(read: () => number): { labels: readonly []; value: number }[] {
  try {
    return [{ labels: [], value: read() }];
  } catch {
    return [];
  }
}

/** Of all threads (getrusage(2)). */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Field 23 of /proc/self/stat (proc_pid_stat(5)); the second may hold spaces, so fields count from its `)`. */
function readVirtualBytes(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[23 - 3]);
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
