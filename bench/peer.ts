/** What the bench needs to know of a proxy that takes part. */
import { firstAnswer } from "./first_answer.ts";
import type { Upstream } from "./upstream.ts";
import type { Workshop } from "./workshop.ts";

/** Idle upstream connections that every proxy may keep: enough for 1,000 clients at once. */
export const POOL_SIZE = 1024;

export interface Surroundings {
  workshop: Workshop;
  upstream: Upstream;
  /** URL of a new empty PostgreSQL database. */
  newPostgresDatabase(): Promise<string>;
}

export interface RunningPeer {
  pid: number;
  port: number;
  /** From the start of the program to its first answer from the upstream. */
  startMs: number;
  /** Traffic records lost so far, where the peer counts them. */
  droppedRecords: (() => Promise<number>) | null;
  /** What the process printed last, where it has ended by itself; null while it runs. */
  lastWords(): string | null;
  /** Ends the process and removes its files. */
  stop(): Promise<void>;
}

export interface Peer {
  /** What `--only` calls it. */
  name: string;
  /** What it is, for the report. */
  description: string;
  /** Why it cannot run on this machine; null if it can. */
  missing: string | null;
  start(surroundings: Surroundings): Promise<RunningPeer>;
}

/** Starts a peer's program in a folder of its own and waits for its first answer. */
export async function startPeer(
  { workshop }: Surroundings,
  name: string,
  port: number,
  command: (folder: string) => Promise<{ program: string; args: string[]; env?: Record<string, string> }>,
): Promise<RunningPeer> {
  const folder = workshop.folder(name);
  const { program, args, env } = await command(folder);
  const process = workshop.spawn(folder, program, args, env);
  const startMs = await firstAnswer(process, port, "/64");
  return {
    pid: process.pid,
    port,
    startMs,
    droppedRecords: null,
    lastWords: () => process.ended ? process.lastOutput() : null,
    async stop() {
      await process.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Whether a program is on the PATH. */
export function onPath(program: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch (fault) {
      if (fault instanceof Deno.errors.NotFound || fault instanceof Deno.errors.NotADirectory) return false;
      throw fault;
    }
  });
}
