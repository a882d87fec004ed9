/** Processor time and memory of a process with all its children, from Linux's /proc. */
import { delay } from "./delay.ts";

/** `getconf CLK_TCK`: 100 on every Linux architecture that Deno runs on. */
const US_PER_TICK = 10_000;

/** Ids of the process and its living descendants. */
function tree(pid: number): number[] {
  const pids = [pid];
  for (const thread of Deno.readDirSync(`/proc/${pid}/task`)) {
    const children = Deno.readTextFileSync(`/proc/${pid}/task/${thread.name}/children`).trim();
    if (children !== "") pids.push(...children.split(" ").flatMap((child) => tree(Number(child))));
  }
  return pids;
}

/** User and system time since the start, in µs, counted in ticks of 10 ms. */
export function cpuUs(pid: number): number {
  let ticks = 0;
  for (const member of tree(pid)) {
    const stat = Deno.readTextFileSync(`/proc/${member}/stat`);
    // The program's name, in brackets, may hold spaces. Fields 14 to 17 of proc(5): utime stime cutime cstime.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks * US_PER_TICK;
}

/** Resident memory in MB of 2^20 bytes. */
export function residentMb(pid: number): number {
  let kb = 0;
  for (const member of tree(pid)) {
    kb += Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${member}/status`))?.[1] ?? 0);
  }
  return kb / 1024;
}

/**
 * Waits until the process has nothing to do, so that work it puts off (writing the traffic log) is counted to
 * the requests that caused it. Throws where it is still busy after 30 seconds.
 */
export async function settle(pid: number): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  let before = cpuUs(pid);
  for (;;) {
    await delay(250);
    const now = cpuUs(pid);
    if (now - before <= US_PER_TICK) return;
    if (performance.now() > giveUpAt) throw new Error("still busy 30 s after the load");
    before = now;
  }
}

/** The highest resident memory in MB while `work` runs, looked at ten times a second. */
export async function highestResidentMb<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ result: T; highestMb: number }> {
  let highestMb = residentMb(pid);
  const timer = setInterval(() => highestMb = Math.max(highestMb, residentMb(pid)), 100);
  try {
    const result = await work();
    return { result, highestMb: Math.max(highestMb, residentMb(pid)) };
  } finally {
    clearInterval(timer);
  }
}
