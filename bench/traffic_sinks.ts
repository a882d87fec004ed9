/**
 * Records a second and CPU time a record for each sink of the traffic log:
 *
 *     deno run -A bench/traffic_sinks.ts [records]
 *
 * Batches of 64 KiB go straight into the sink, as on the writer thread. Every round starts each sink afresh, the
 * sinks take turns, and medians are printed. The CPU time is this process's only: PostgreSQL, a private server
 * on this machine, has its own. What was kept is counted before anything is printed.
 */

import { DatabaseSync } from "node:sqlite";
import process from "node:process";
import postgres from "postgres";
import { SinkBatch } from "../src/traffic/batch.ts";
import { FLUSH_AT_BYTES } from "../src/traffic/buffer.ts";
import { systemClock } from "../src/traffic/clock.ts";
import { listLogFiles } from "../src/traffic/file_names.ts";
import { FileSink } from "../src/traffic/file_sink.ts";
import { PostgresSink } from "../src/traffic/postgres_sink.ts";
import { encodeRecord } from "../src/traffic/record.ts";
import type { Sink } from "../src/traffic/sink.ts";
import { SqliteSink } from "../src/traffic/sqlite_sink.ts";
import { requiresPostgres, startPostgres } from "../tests/support/postgres.ts";
import { makeRecord, withFolder } from "../tests/support/traffic.ts";

const ROUNDS = 3;
const records = Number(Deno.args[0] ?? 200_000);

interface Figures {
  perSecond: number;
  cpuUs: number;
}

interface Contender {
  name: string;
  round: () => Promise<Figures>;
}

function makeBatches(): SinkBatch[] {
  const batches: SinkBatch[] = [];
  let lines = "";
  let count = 0;
  for (let index = 0; index < records; index++) {
    lines += encodeRecord(makeRecord(index, { userAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/115.0" }));
    count++;
    if (lines.length >= FLUSH_AT_BYTES || index === records - 1) {
      batches.push(new SinkBatch(lines, count));
      lines = "";
      count = 0;
    }
  }
  return batches;
}

async function measure(sink: Sink, countKept: () => number | Promise<number>): Promise<Figures> {
  const batches = makeBatches();
  await sink.open();
  const cpu = process.cpuUsage();
  const started = performance.now();
  for (const batch of batches) await sink.write(batch);
  const elapsedMs = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  await sink.close();
  const kept = await countKept();
  if (kept !== records) throw new Error(`${sink.name} kept ${kept} of ${records} records`);
  return { perSecond: records / elapsedMs * 1000, cpuUs: (user + system) / records };
}

function countLines(directory: string): number {
  let lines = 0;
  for (const file of listLogFiles(directory)) {
    lines += Deno.readTextFileSync(file.path).split("\n").length - 1;
  }
  return lines;
}

function countRows(path: string): number {
  using database = new DatabaseSync(path, { readOnly: true });
  return Number(database.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n);
}

async function countPostgresRows(url: string): Promise<number> {
  const sql = postgres(url, { max: 1 });
  const [{ n }] = await sql`SELECT count(*)::int AS n FROM traffic_logs`;
  await sql.end();
  return n;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

const server = requiresPostgres().ignore ? null : await startPostgres();
try {
  await withFolder(async (folder) => {
    let fresh = 0;
    const contenders: Contender[] = [
      {
        name: "file",
        round: () => {
          const directory = `${folder}/${++fresh}`;
          const options = { directory, rotation: true, maxFileSizeBytes: 100_000_000 };
          return measure(new FileSink(options, systemClock), () => countLines(directory));
        },
      },
      {
        name: "sqlite",
        round: () => {
          const path = `${folder}/${++fresh}.db`;
          return measure(new SqliteSink(path, systemClock), () => countRows(path));
        },
      },
    ];
    if (server !== null) {
      contenders.push({
        name: "postgres",
        round: async () => {
          const url = await server.newDatabase();
          const options = { url, maxConnections: 2, connectionTimeoutMs: 5_000 };
          return await measure(new PostgresSink(options, systemClock), () => countPostgresRows(url));
        },
      });
    }
    const rounds = new Map<string, Figures[]>(contenders.map(({ name }) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      // Every other round the other way about.
      for (const { name, round: run } of round % 2 === 0 ? contenders : contenders.toReversed()) {
        rounds.get(name)?.push(await run());
      }
    }
    const commit = new Deno.Command("git", { args: ["rev-parse", "--short", "HEAD"] }).outputSync();
    console.log(
      `${records} records, median of ${ROUNDS} rounds; commit ${
        new TextDecoder().decode(commit.stdout).trim()
      }, ` +
        `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, ${Deno.build.target}`,
    );
    console.log("sink      records/s  CPU µs/record");
    for (const [name, figures] of rounds) {
      const perSecond = Math.round(median(figures.map((figure) => figure.perSecond)));
      const cpuUs = median(figures.map((figure) => figure.cpuUs)).toFixed(2);
      console.log(`${name.padEnd(8)}  ${String(perSecond).padStart(9)}  ${cpuUs.padStart(13)}`);
    }
  });
} finally {
  await server?.remove();
}
