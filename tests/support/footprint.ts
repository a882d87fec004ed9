/** What a program holds: to be the same before and after whatever a test does to it. */
import assert from "node:assert/strict";
import type { Dispa } from "./dispa.ts";
import { eventually } from "./eventually.ts";

/** Descriptors of a process. */
export function descriptors(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/fd/${name}`)];
    } catch (fault) {
      // Closed since the folder was read.
      if (fault instanceof Deno.errors.NotFound) return [];
      throw fault;
    }
  });
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Gauges that are 0 while nothing is in flight. */
const GAUGES =
  /^(?:dispa_active_requests|dispa_waiting_requests|dispa_target_active_connections\{.*\}) (\d+)$/gm;

function busyGauges(metrics: string): string[] {
  return [...metrics.matchAll(GAUGES)].filter(([, value]) => value !== "0").map(([line]) => line);
}

/** Resolves when nothing is in flight in the program, and its connections to targets have been closed. */
export async function quiet(dispa: Dispa): Promise<void> {
  await eventually("nothing is in flight", async () => {
    const busy = busyGauges(await dispa.metrics());
    if (busy.length > 0) throw new Error(busy.join(", "));
    return true;
  });
}

/**
 * What a program holds while nothing is in flight. Its `pool_idle_timeout_secs` must be short, so that the
 * connections it keeps to targets are gone soon.
 */
export class Footprint {
  private constructor(readonly sockets: number, readonly others: string[], readonly memoryMiB: number) {}

  static async of(dispa: Dispa): Promise<Footprint> {
    await quiet(dispa);
    // The end of the last idle connections is a matter of time only: two looks that agree.
    let last = -1;
    const open = await eventually("descriptors settle", async () => {
      const now = descriptors(dispa.pid);
      const settled = now.length === last;
      last = now.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return settled ? now : null;
    });
    const sockets = open.filter(isSocket).length;
    return new Footprint(sockets, open.filter((link) => !isSocket(link)), residentMiB(dispa.pid));
  }

  /** Waits until the program holds no more than this again; `growthMiB` is what its memory may have grown. */
  async restored(dispa: Dispa, growthMiB = 64): Promise<void> {
    await quiet(dispa);
    await eventually("its sockets are closed", () => {
      const sockets = descriptors(dispa.pid).filter(isSocket).length;
      if (sockets > this.sockets) throw new Error(`${sockets} are open, ${this.sockets} were before`);
      return true;
    });
    await eventually("its files are closed", () => {
      const others = descriptors(dispa.pid).filter((link) => !isSocket(link));
      if (others.length <= this.others.length) return true;
      throw new Error(`${others.join(" ")} are open, ${this.others.join(" ")} were before`);
    });
    const grown = residentMiB(dispa.pid) - this.memoryMiB;
    assert.ok(grown < growthMiB, `the memory has grown by ${Math.round(grown)} MiB`);
  }
}

function isSocket(link: string): boolean {
  return link.startsWith("socket:");
}
