/**
 * Writes traffic records into the sink that a configuration names and prints what that cost, as JSON.
 * A process of its own, so that its processor time is the sink's alone.
 *
 *     deno run -A bench/sink_writer.ts CONFIG SECONDS
 */
import process from "node:process";
import { formatProblem, loadConfig } from "../src/config/mod.ts";
import { SinkBatch } from "../src/traffic/batch.ts";
import { systemClock } from "../src/traffic/clock.ts";
import { encodeRecord } from "../src/traffic/record.ts";
import { configuredSinks } from "../src/traffic/sinks.ts";

/** What 20,000 requests a second leave in the default flush interval of 0.1 s. */
const BATCH_RECORDS = 2_000;

function makeBatch(first: number): SinkBatch {
  const timestampMs = Date.now();
  const time = timestampMs.toString(16).padStart(12, "0");
  let lines = "";
  for (let index = first; index < first + BATCH_RECORDS; index++) {
    const id = `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${index.toString(16).padStart(12, "0")}`;
    lines += encodeRecord({
      id,
      timestampMs,
      requestId: id,
      clientIp: `10.0.${(index >> 8) % 256}.${index % 256}`,
      host: "shop.example.com",
      method: "GET",
      path: `/items/${index}`,
      target: "upstream",
      statusCode: 200,
      durationMs: 1.234,
      requestSize: 0,
      responseSize: 64,
      userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
      errorMessage: null,
      route: "*.example.com",
      upstreamMs: 0.987,
      retries: 0,
      protocol: "http/1.1",
      worker: 0,
    });
  }
  return new SinkBatch(lines, BATCH_RECORDS);
}

const [configPath, seconds] = Deno.args;
const loaded = await loadConfig(configPath);
if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join("\n"));
const [{ sink }] = configuredSinks(
  loaded.config.logging,
  systemClock,
  (level, message) => console.error(level, message),
);
await sink.open();

// Making the records is the proxy threads' work: its time does not count.
let records = 0, elapsedMs = 0, cpuUs = 0;
while (elapsedMs < Number(seconds) * 1000) {
  const batch = makeBatch(records);
  const startedAt = performance.now(), cpuBefore = process.cpuUsage();
  await sink.write(batch);
  elapsedMs += performance.now() - startedAt;
  const cpu = process.cpuUsage(cpuBefore);
  cpuUs += cpu.user + cpu.system;
  records += BATCH_RECORDS;
}
await sink.close();
console.log(JSON.stringify({ recordsPerSecond: records / elapsedMs * 1000, cpuUs: cpuUs / records }));
