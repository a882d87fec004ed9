import assert from "node:assert/strict";
import type { LoggingConfig } from "../../../src/config/model.ts";
import { QueueGauge } from "../../../src/traffic/gauge.ts";
import { listLogFiles } from "../../../src/traffic/file_names.ts";
import { decodeLines } from "../../../src/traffic/record.ts";
import type { RecordBatch } from "../../../src/traffic/record.ts";
import { TrafficWriter } from "../../../src/traffic/writer.ts";
import { requiresThat } from "../../support/skip.ts";
import {
  CountingMetrics,
  makeBatch,
  makeLogging,
  makeRecords,
  MemoryLog,
  QUICK_TIMINGS,
  TestClock,
  withFolder,
} from "../../support/traffic.ts";

function makeWriter(logging: LoggingConfig) {
  const gauge = new QueueGauge(new SharedArrayBuffer(QueueGauge.BYTES));
  const metrics = new CountingMetrics();
  const log = new MemoryLog();
  const clock = new TestClock();
  const writer = new TrafficWriter({ logging, gauge, metrics, log: log.log, clock, timings: QUICK_TIMINGS });
  const send = (batch: RecordBatch) => {
    gauge.reserve(batch.bytes.length);
    writer.write(batch);
  };
  return { writer, gauge, metrics, log, clock, send };
}

function fileIds(directory: string): string[] {
  return listLogFiles(directory).flatMap((file) =>
    decodeLines(Deno.readTextFileSync(file.path)).map((row) => row.request_id)
  );
}

function ids(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `request-${first + index}`);
}

Deno.test("TrafficWriter writes 100,000 records to files, each exactly once and in order", () =>
  withFolder(async (folder) => {
    const { writer, gauge, metrics, send } = makeWriter(
      makeLogging(folder, { file: { maxFileSizeBytes: 5_000_000 } }),
    );
    await writer.open();
    for (let first = 0; first < 100_000; first += 200) send(makeBatch(makeRecords(first, 200)));
    await writer.close();
    assert.ok(listLogFiles(`${folder}/logs`).length > 5);
    assert.deepEqual(fileIds(`${folder}/logs`), ids(0, 100_000));
    assert.equal(metrics.writes.file, 100_000);
    assert.deepEqual([gauge.queuedBytes(), metrics.dropped, metrics.errors.file], [0, 0, undefined]);
  }));

Deno.test("TrafficWriter keeps what comes before it is open", () =>
  withFolder(async (folder) => {
    const { writer, send } = makeWriter(makeLogging(folder));
    send(makeBatch(makeRecords(1, 3)));
    await writer.open();
    await writer.close();
    assert.deepEqual(fileIds(`${folder}/logs`), ids(1, 3));
  }));

Deno.test("TrafficWriter with logging off takes batches and gives their room back", () =>
  withFolder(async (folder) => {
    const { writer, gauge, send } = makeWriter(makeLogging(folder, { enabled: false }));
    await writer.open();
    send(makeBatch(makeRecords(1, 3)));
    assert.equal(gauge.queuedBytes(), 0);
    await writer.close();
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

Deno.test("TrafficWriter goes on when the folder cannot be made, says so once, and catches up", () =>
  withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/logs`, "a file in the way");
    const { writer, gauge, metrics, log, send } = makeWriter(makeLogging(folder));
    await writer.open();
    for (let first = 1; first <= 30; first += 10) send(makeBatch(makeRecords(first, 10)));
    assert.equal(gauge.queuedBytes(), 0);
    assert.equal(log.count("the traffic log cannot be written"), 1);
    const again = log.said("the traffic log is written again");
    Deno.removeSync(`${folder}/logs`);
    await again;
    send(makeBatch(makeRecords(31, 1)));
    await writer.close();
    assert.deepEqual(fileIds(`${folder}/logs`), ids(1, 31));
    assert.ok((metrics.errors.file ?? 0) >= 1);
    assert.equal(metrics.dropped, 0);
    assert.equal(log.count("the traffic log cannot be written"), 1);
  }));

Deno.test("TrafficWriter drops and counts what exceeds the retry memory, and what is left at the end", () =>
  withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/logs`, "a file in the way");
    const batch = makeBatch(makeRecords(10, 10));
    const { writer, metrics, log, send } = makeWriter(
      makeLogging(folder, { queueMaxBytes: batch.lines.length * 2 }),
    );
    await writer.open();
    send(batch);
    send(makeBatch(makeRecords(20, 10)));
    assert.equal(metrics.dropped, 0);
    send(makeBatch(makeRecords(30, 10)));
    send(makeBatch(makeRecords(40, 10)));
    assert.equal(metrics.dropped, 20);
    assert.equal(log.count("traffic records are lost"), 1);
    await writer.close();
    assert.equal(metrics.dropped, 40);
    const last = log.entries.at(-1);
    assert.deepEqual([last?.message, last?.fields.records], ["traffic records were lost", 40]);
  }));

Deno.test("TrafficWriter.reconfigure moves to another folder without losing what came meanwhile", () =>
  withFolder(async (folder) => {
    const logging = makeLogging(folder);
    const { writer, gauge, send } = makeWriter(logging);
    await writer.open();
    send(makeBatch(makeRecords(1, 2)));
    const changed = writer.reconfigure({
      ...logging,
      file: { ...logging.file, directory: `${folder}/other` },
    });
    send(makeBatch(makeRecords(3, 2)));
    await changed;
    send(makeBatch(makeRecords(5, 2)));
    await writer.close();
    assert.deepEqual([...fileIds(`${folder}/logs`), ...fileIds(`${folder}/other`)], ids(1, 6));
    assert.ok(fileIds(`${folder}/other`).includes("request-5"));
    assert.equal(gauge.queuedBytes(), 0);
  }));

Deno.test("TrafficWriter removes expired files at start", () =>
  withFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/logs`);
    Deno.writeTextFileSync(`${folder}/logs/traffic-2026-01-01.log`, "");
    const { writer } = makeWriter(makeLogging(folder, { retentionDays: 30 }));
    await writer.open();
    await writer.close();
    assert.deepEqual(listLogFiles(`${folder}/logs`).map((file) => file.day), ["2026-03-10"]);
  }));

Deno.test("TrafficWriter passes on what proxies had to drop, and a batch after its end is counted", () =>
  withFolder(async (folder) => {
    const { writer, gauge, metrics, log, send } = makeWriter(makeLogging(folder));
    await writer.open();
    gauge.countDropped(5);
    await writer.close();
    assert.equal(metrics.dropped, 5);
    assert.equal(log.count("traffic records are dropped: the queue to the writer is full"), 1);
    send(makeBatch(makeRecords(1, 3)));
    assert.equal(metrics.dropped, 8);
    assert.equal(gauge.queuedBytes(), 0);
  }));

const canMount = Deno.uid() === 0 &&
  (await new Deno.Command("sh", { args: ["-c", "command -v mount umount"], stdout: "null" }).output())
    .success;

Deno.test({
  name:
    "TrafficWriter on a full disk: whole lines only, one log line, and everything follows when there is room",
  ...requiresThat(canMount, "mounting a tmpfs needs root"),
  fn: () =>
    withFolder(async (folder) => {
      const disk = `${folder}/disk`;
      Deno.mkdirSync(disk);
      await command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk);
      try {
        Deno.writeFileSync(`${disk}/ballast`, new Uint8Array(160 * 1024));
        const { writer, metrics, log, send } = makeWriter(makeLogging(disk));
        await writer.open();
        for (let first = 0; first < 400; first += 50) send(makeBatch(makeRecords(first, 50)));
        // The sink's queue is written in turns; its first failure is the disk being full.
        await log.said("the traffic log cannot be written");
        const text = Deno.readTextFileSync(`${disk}/logs/traffic-2026-03-10.log`);
        assert.ok(text.endsWith("\n"));
        const kept = decodeLines(text).length;
        assert.ok(kept > 0 && kept < 400, `${kept}`);
        assert.equal(text.trimEnd().split("\n").length, kept);
        const again = log.said("the traffic log is written again");
        Deno.removeSync(`${disk}/ballast`);
        await again;
        await writer.close();
        assert.deepEqual(fileIds(`${disk}/logs`), ids(0, 400));
        assert.equal(log.count("the traffic log cannot be written"), 1);
        assert.equal(metrics.dropped, 0);
        assert.equal(metrics.writes.file, 400);
      } finally {
        await command("umount", disk);
      }
    }),
});

async function command(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stderr: "piped" }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
