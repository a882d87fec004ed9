/** Where and with what a run was made. */
import os from "node:os";
import { fileURLToPath } from "node:url";
import { onPath } from "./peer.ts";
import type { Workshop } from "./workshop.ts";

export interface Machine {
  commit: string;
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  date: string;
  /** Load average of the last minute before the run: others' work makes every figure worse. */
  loadAverage: number;
  versions: Record<string, string>;
}

const ROOT = fileURLToPath(new URL("../", import.meta.url));

export async function describeMachine(workshop: Workshop): Promise<Machine> {
  return {
    commit: await commit(workshop),
    cpu: os.cpus()[0].model,
    cores: os.cpus().length,
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    date: new Date().toISOString().slice(0, 10),
    loadAverage: os.loadavg()[0],
    versions: {
      deno: Deno.version.deno,
      nginx: await version(workshop, "nginx", ["-v"], 0),
      haproxy: await version(workshop, "haproxy", ["-v"], 0),
      caddy: await version(workshop, "caddy", ["version"], 0),
      // wrk prints its version with its usage, and exits with 1.
      wrk: await version(workshop, "wrk", ["-v"], 1),
    },
  };
}

async function commit(workshop: Workshop): Promise<string> {
  if (!onPath("git")) return "unknown";
  try {
    const hash = (await workshop.run("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"])).trim();
    const changes = await workshop.run("git", ["-C", ROOT, "status", "--porcelain", "--untracked-files=no"]);
    return changes === "" ? hash : `${hash} with changes`;
  } catch (fault) {
    // Sources unpacked from an archive have no history.
    console.error(`the commit is not known: ${fault instanceof Error ? fault.message : fault}`);
    return "unknown";
  }
}

async function version(
  workshop: Workshop,
  program: string,
  args: string[],
  exitCode: number,
): Promise<string> {
  if (!onPath(program)) return "not installed";
  const output = await workshop.run(program, args, exitCode);
  return /\d+(\.\d+)+/.exec(output)?.[0] ?? "unknown";
}
