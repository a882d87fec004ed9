/**
 * What an executable weighs and how soon it serves: `deno run -A bench/executable.ts [FILE]`, dist/dispa unless
 * named. Linux only.
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../tests/support/ports.ts";
import { firstAnswer } from "./first_answer.ts";
import { cpuUs, residentMb } from "./proc_stats.ts";
import { Workshop } from "./workshop.ts";

const STARTS = 9;

/** Where the ELF file of the runtime ends, behind its section headers; the program follows. */
async function runtimeBytes(path: string): Promise<number> {
  using file = await Deno.open(path);
  const header = new DataView(new ArrayBuffer(64));
  await file.read(new Uint8Array(header.buffer));
  if (header.getUint32(0) !== 0x7f454c46) throw new Error(`${path} is no ELF file`);
  // e_shoff, e_shentsize and e_shnum of elf(5), little endian on every machine that Deno runs on.
  return Number(header.getBigUint64(40, true)) + header.getUint16(58, true) * header.getUint16(60, true);
}

interface Start {
  /** From the start of the program to the end of its first answer from the target. */
  ms: number;
  /** Processor time until then, which other programs on the machine disturb less. */
  cpuMs: number;
  residentMb: number;
}

async function start(
  workshop: Workshop,
  executable: string,
  workers: number,
  upstreamPort: number,
): Promise<Start> {
  const folder = workshop.folder("start");
  const [port, metricsPort, healthPort] = [freePort(), freePort(), freePort()];
  await Deno.writeTextFile(
    join(folder, "config.toml"),
    `[server]
bind_address = "127.0.0.1:${port}"
workers = ${workers}
[monitoring]
bind_address = "127.0.0.1"
metrics_port = ${metricsPort}
health_check_port = ${healthPort}
[domains]
intercept_domains = ["*"]
[[targets.targets]]
name = "target"
url = "http://127.0.0.1:${upstreamPort}"
[logging]
type = "file"
`,
  );
  const startedAt = performance.now();
  const process = workshop.spawn(folder, executable, ["run", "-c", "config.toml"]);
  await firstAnswer(process, port, "/");
  const ms = performance.now() - startedAt;
  const measured = { ms, cpuMs: cpuUs(process.pid) / 1000, residentMb: residentMb(process.pid) };
  await process.stop();
  return measured;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

const executable = resolve(Deno.args[0] ?? fileURLToPath(new URL("../dist/dispa", import.meta.url)));
const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const { size } = await Deno.stat(executable);
const runtime = await runtimeBytes(executable);
console.log(
  `${executable}: ${mb(size)}, of which the runtime ${mb(runtime)}, the program ${mb(size - runtime)}`,
);

await using workshop = new Workshop();
console.log((await workshop.run(executable, ["--version"])).trim());
const upstream = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => undefined },
  () => new Response("hello"),
);
workshop.defer(() => upstream.shutdown());
for (const workers of [1, navigator.hardwareConcurrency]) {
  const starts: Start[] = [];
  for (let index = 0; index < STARTS; index++) {
    starts.push(await start(workshop, executable, workers, upstream.addr.port));
  }
  const times = starts.map(({ ms }) => ms);
  console.log(
    `${workers} proxy thread(s): start to the first answered request ${median(times).toFixed(0)} ms ` +
      `(${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)} of ${STARTS}), ` +
      `${median(starts.map(({ cpuMs }) => cpuMs)).toFixed(0)} ms of processor time, ` +
      `resident then ${median(starts.map((one) => one.residentMb)).toFixed(0)} MB`,
  );
}
