/** Load from wrk: as many requests as the connections allow, each after the answer to the one before. */
import { join } from "node:path";
import type { Workshop } from "./workshop.ts";

export interface Load {
  path: string;
  connections: number;
  /** Size of the POST's body; null: a GET. */
  postBytes: number | null;
  /** Whether each request has a connection of its own. */
  newConnections: boolean;
}

export interface WrkReport {
  requests: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

/** What wrk's `done` hook prints. */
interface RawReport {
  requests: number;
  durationUs: number;
  p50Us: number;
  p99Us: number;
  errors: Record<"connect" | "read" | "write" | "status" | "timeout", number>;
}

const MARK = "BENCH ";

const DONE_HOOK = `
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '${MARK}{"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
`;

/** Runs the load. Throws on any answer that is not 2xx or 3xx, any socket error and any time-out. */
export async function runWrk(
  workshop: Workshop,
  port: number,
  load: Load,
  seconds: number,
): Promise<WrkReport> {
  const folder = workshop.folder("wrk");
  const script = join(folder, "load.lua");
  await Deno.writeTextFile(script, luaScript(load));
  const output = await workshop.run("wrk", [
    // One thread: more would take the processor from the proxy on small machines.
    ...["-t1", `-c${load.connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", script],
    ...(load.newConnections ? ["-H", "Connection: close"] : []),
    `http://127.0.0.1:${port}${load.path}`,
  ]);
  await Deno.remove(folder, { recursive: true });
  return parseWrkOutput(output);
}

function luaScript({ postBytes }: Load): string {
  if (postBytes === null) return DONE_HOOK;
  return `wrk.method = "POST"\nwrk.body = string.rep("x", ${postBytes})\n${DONE_HOOK}`;
}

/** Reads what `DONE_HOOK` printed. Throws where it counted an error, or no request. */
export function parseWrkOutput(output: string): WrkReport {
  const line = output.split("\n").find((line) => line.startsWith(MARK));
  if (line === undefined) throw new Error(`wrk printed no result: ${JSON.stringify(output)}`);
  const raw: RawReport = JSON.parse(line.slice(MARK.length));
  const errors = Object.entries(raw.errors).filter(([, count]) => count > 0);
  if (errors.length > 0) {
    const counts = errors.map(([kind, count]) => `${count} ${kind}`).join(", ");
    throw new Error(`errors under load (${counts}) in ${raw.requests} requests, wanted is none`);
  }
  if (raw.requests === 0) throw new Error("no request was answered under load");
  return {
    requests: raw.requests,
    requestsPerSecond: raw.requests / raw.durationUs * 1e6,
    p50Ms: raw.p50Us / 1000,
    p99Ms: raw.p99Us / 1000,
  };
}
