/**
 * What one forwarded request costs the processor, with nothing of Dispa but the transport: a bare
 * `Deno.serve` with `Http1Pool` behind it, against the same with fetch and with nginx as the proxy.
 *
 *     deno run -A bench/upstream_floor.ts [--seconds 4] [--rounds 3] [--connections 64] [--path /64]
 *         [--modes http1,fetch,nginx,constant]
 *
 * Needs wrk and nginx. Proves first that each variant answers correctly, then alternates them. Figures are
 * medians over the rounds; CPU is user and system time of the proxy's process from /proc.
 */
import { parseArgs } from "node:util";
import type { TargetConfig } from "../src/config/model.ts";
import { removeHopByHop } from "../src/upstream/hop_by_hop.ts";
import { Http1Pool } from "../src/upstream/http1_pool.ts";
import { AbortHandle, type FlatHeaders } from "../src/upstream/transport.ts";

type Mode = "http1" | "fetch" | "constant" | "nginx";

function passThrough(mode: Mode, upstreamPort: number): (request: Request) => Response | Promise<Response> {
  const target: TargetConfig = {
    name: "bench",
    url: `http://127.0.0.1:${upstreamPort}`,
    protocol: "http",
    hostname: "127.0.0.1",
    port: upstreamPort,
    basePath: "",
    weight: 1,
    timeoutMs: null,
  };
  if (mode === "constant") return () => new Response("a constant");
  if (mode === "fetch") {
    return (request) =>
      fetch(target.url + request.url.slice(request.url.indexOf("/", 8)), {
        method: request.method,
        headers: request.headers,
        body: request.body,
        redirect: "manual",
      });
  }
  const pool = new Http1Pool({ poolMaxIdlePerHost: 256, poolIdleTimeoutMs: 90_000 });
  return async (request) => {
    const headers: FlatHeaders = [];
    let bodyLength: number | null = null;
    for (const [name, value] of request.headers) {
      if (name === "content-length") bodyLength = Number(value);
      else headers.push(name, value);
    }
    const response = await pool.send({
      target,
      method: request.method,
      path: request.url.slice(request.url.indexOf("/", 8)),
      headers: removeHopByHop(headers),
      body: request.body,
      bodyLength,
      abort: new AbortHandle(),
      observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
      connectTimeoutMs: 5000,
      timeoutMs: 30_000,
    });
    const pairs: [string, string][] = [];
    for (let i = 0; i < response.headers.length; i += 2) {
      pairs.push([response.headers[i], response.headers[i + 1]]);
    }
    return new Response(response.body, { status: response.status, headers: pairs });
  };
}

interface Running {
  pid: number;
  port: number;
  stop(): Promise<void>;
}

function running(child: Deno.ChildProcess, port: number): Running {
  return {
    pid: child.pid,
    port,
    async stop() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

async function startNginx(directory: string, name: string, port: number, server: string): Promise<Running> {
  const home = `${directory}/${name}`;
  await Deno.mkdir(home);
  await Deno.writeTextFile(
    `${home}/nginx.conf`,
    `daemon off; master_process off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600;
  client_body_temp_path ${home}/body; proxy_temp_path ${home}/proxy; fastcgi_temp_path ${home}/f;
  uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s; client_max_body_size 0;
  ${server}
}`,
  );
  const child = new Deno.Command("nginx", {
    args: ["-p", home, "-e", `${home}/error.log`, "-c", `${home}/nginx.conf`],
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  return running(child, port);
}

async function start(mode: Mode, directory: string, port: number, upstreamPort: number): Promise<Running> {
  const proxy = mode === "nginx"
    ? await startNginx(
      directory,
      `proxy-${port}`,
      port,
      `upstream u { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port};
    location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; } }`,
    )
    : running(
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--v8-flags=--max-semi-space-size=2", import.meta.filename!]
          .concat("serve", mode, String(port), String(upstreamPort)),
        stdout: "inherit",
        stderr: "inherit",
      }).spawn(),
      port,
    );
  await waitForPort(port);
  return proxy;
}

async function waitForPort(port: number): Promise<void> {
  const giveUpAt = Date.now() + 10_000;
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (Date.now() > giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** User and system time of a process in µs; /proc counts in ticks of 10 ms. */
async function cpuUs(pid: number): Promise<number> {
  const fields = (await Deno.readTextFile(`/proc/${pid}/stat`)).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function residentMb(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await Deno.readTextFile(`/proc/${pid}/status`))![1]) / 1024;
}

async function wrk(port: number, path: string, connections: number, seconds: number): Promise<string> {
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", `http://127.0.0.1:${port}${path}`];
  return new TextDecoder().decode((await new Deno.Command("wrk", { args }).output()).stdout);
}

interface Figures {
  cpuUsPerRequest: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  rssMb: number;
}

async function measure(proxy: Running, path: string, connections: number, seconds: number): Promise<Figures> {
  await wrk(proxy.port, path, connections, 1);
  const before = await cpuUs(proxy.pid);
  const report = await wrk(proxy.port, path, connections, seconds);
  const cpu = await cpuUs(proxy.pid) - before;
  if (/Non-2xx|Socket errors/.test(report)) throw new Error(`errors under load:\n${report}`);
  const latencyMs = (percentile: number) => {
    const [, value, unit] = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s)`).exec(report)!;
    return Number(value) * (unit === "us" ? 0.001 : unit === "ms" ? 1 : 1000);
  };
  return {
    cpuUsPerRequest: cpu / Number(/(\d+) requests in/.exec(report)![1]),
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(report)![1]),
    p50Ms: latencyMs(50),
    p99Ms: latencyMs(99),
    rssMb: await residentMb(proxy.pid),
  };
}

async function proveCorrect(mode: Mode, proxy: Running, path: string, wanted: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${proxy.port}${path}`);
  const body = await response.text();
  if (response.status !== 200 || (mode !== "constant" && body !== wanted)) {
    throw new Error(`${mode} answered ${response.status} with ${body.length} bytes, wanted ${wanted.length}`);
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

async function compare(): Promise<void> {
  const { values: flags } = parseArgs({
    args: Deno.args,
    options: {
      seconds: { type: "string", default: "4" },
      rounds: { type: "string", default: "3" },
      connections: { type: "string", default: "64" },
      path: { type: "string", default: "/64" },
      modes: { type: "string", default: "http1,fetch,nginx,constant" },
    },
  });
  const modes = flags.modes.split(",") as Mode[];
  const directory = await Deno.makeTempDir({ prefix: "upstream_floor" });
  await Deno.chmod(directory, 0o755);
  const upstreamPort = freePort();
  for (const bytes of [64, 65536, 1048576]) {
    await Deno.writeTextFile(`${directory}/${bytes}`, "0123456789abcde\n".repeat(bytes / 16));
  }
  const upstream = await startNginx(
    directory,
    "upstream",
    upstreamPort,
    `server { listen 127.0.0.1:${upstreamPort} backlog=4096; root ${directory}; }`,
  );
  try {
    await waitForPort(upstreamPort);
    const wanted = await Deno.readTextFile(directory + flags.path);
    const figures = new Map<Mode, Figures[]>(modes.map((mode) => [mode, []]));
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const mode of round % 2 === 0 ? modes : modes.toReversed()) {
        const proxy = await start(mode, directory, freePort(), upstreamPort);
        try {
          await proveCorrect(mode, proxy, flags.path, wanted);
          figures.get(mode)!.push(
            await measure(proxy, flags.path, Number(flags.connections), Number(flags.seconds)),
          );
        } finally {
          await proxy.stop();
        }
      }
    }
    console.log(
      `GET ${flags.path}, ${flags.connections} connections, ${flags.rounds} rounds of ${flags.seconds} s, ` +
        `${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}`,
    );
    console.table(Object.fromEntries(
      [...figures].map(([mode, rounds]) => [
        mode,
        {
          "CPU µs/request": Number(median(rounds.map((round) => round.cpuUsPerRequest)).toFixed(1)),
          "requests/s": Math.round(median(rounds.map((round) => round.requestsPerSecond))),
          "p50 ms": Number(median(rounds.map((round) => round.p50Ms)).toFixed(2)),
          "p99 ms": Number(median(rounds.map((round) => round.p99Ms)).toFixed(2)),
          "RSS MB": Math.round(median(rounds.map((round) => round.rssMb))),
        },
      ]),
    ));
  } finally {
    await upstream.stop();
    await Deno.remove(directory, { recursive: true });
  }
}

if (Deno.args[0] === "serve") {
  const [, mode, port, upstreamPort] = Deno.args;
  Deno.serve(
    { hostname: "127.0.0.1", port: Number(port), onListen: () => {} },
    passThrough(mode as Mode, Number(upstreamPort)),
  );
} else {
  await compare();
}
