import assert from "node:assert/strict";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { FileSink } from "../../../src/traffic/file_sink.ts";
import { listLogFiles, parseLogFileName } from "../../../src/traffic/file_names.ts";
import { decodeLines } from "../../../src/traffic/record.ts";
import type { TrafficRecord } from "../../../src/traffic/record.ts";
import { SinkWriteError } from "../../../src/traffic/sink.ts";
import { makeBatch, makeRecords, TestClock, withFolder } from "../../support/traffic.ts";

const DAY = 86_400_000;

function batchOf(records: TrafficRecord[]): SinkBatch {
  const { lines, count } = makeBatch(records);
  return new SinkBatch(lines, count);
}

function requestIds(path: string): string[] {
  return decodeLines(Deno.readTextFileSync(path)).map((row) => row.request_id);
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
}

function makeSink(folder: string, change: { rotation?: boolean; maxFileSizeBytes?: number } = {}) {
  const clock = new TestClock();
  const directory = `${folder}/logs`;
  const sink = new FileSink({ directory, rotation: true, maxFileSizeBytes: 1e9, ...change }, clock);
  return { sink, clock, directory };
}

Deno.test("FileSink starts another file when the UTC day changes", () =>
  withFolder((folder) => {
    const { sink, clock, directory } = makeSink(folder);
    clock.timeMs = Date.parse("2026-03-10T23:59:59.999Z");
    sink.open();
    sink.write(batchOf(makeRecords(1, 2)));
    clock.timeMs++;
    sink.write(batchOf(makeRecords(3, 1)));
    sink.close();
    assert.deepEqual(names(directory), ["traffic-2026-03-10.log", "traffic-2026-03-11.log"]);
    assert.deepEqual(requestIds(`${directory}/traffic-2026-03-10.log`), ["request-1", "request-2"]);
    assert.deepEqual(requestIds(`${directory}/traffic-2026-03-11.log`), ["request-3"]);
  }));

Deno.test("FileSink goes back to the earlier day's file when the clock is set back", () =>
  withFolder((folder) => {
    const { sink, clock, directory } = makeSink(folder);
    clock.timeMs = Date.parse("2026-03-11T00:00:01Z");
    sink.write(batchOf(makeRecords(1, 1)));
    clock.timeMs -= 10_000;
    sink.write(batchOf(makeRecords(2, 1)));
    sink.close();
    assert.deepEqual(requestIds(`${directory}/traffic-2026-03-10.log`), ["request-2"]);
    assert.deepEqual(requestIds(`${directory}/traffic-2026-03-11.log`), ["request-1"]);
  }));

Deno.test("FileSink rotates at max_file_size between lines and goes on with the newest after a restart", () =>
  withFolder((folder) => {
    const lineLength = batchOf(makeRecords(10, 1)).size;
    const max = Math.floor(lineLength * 3.5);
    const first = makeSink(folder, { maxFileSizeBytes: max });
    first.sink.write(batchOf(makeRecords(10, 8)));
    first.sink.close();
    const second = makeSink(folder, { maxFileSizeBytes: max });
    second.sink.open();
    second.sink.write(batchOf(makeRecords(18, 2)));
    second.sink.close();
    const files = listLogFiles(first.directory);
    assert.deepEqual(files.map((file) => file.number), [0, 1, 2, 3]);
    assert.deepEqual(files.map((file) => requestIds(file.path).length), [3, 3, 3, 1]);
    for (const file of files) assert.ok(Deno.statSync(file.path).size <= max);
    assert.deepEqual(
      files.flatMap((file) => requestIds(file.path)),
      Array.from({ length: 10 }, (_, index) => `request-${10 + index}`),
    );
  }));

Deno.test("FileSink puts a line longer than max_file_size into a file of its own", () =>
  withFolder((folder) => {
    const { sink, directory } = makeSink(folder, { maxFileSizeBytes: 10 });
    sink.write(batchOf(makeRecords(1, 3)));
    sink.close();
    assert.deepEqual(listLogFiles(directory).map((file) => requestIds(file.path)), [["request-1"], [
      "request-2",
    ], ["request-3"]]);
  }));

Deno.test("FileSink without rotation keeps to one file a day", () =>
  withFolder((folder) => {
    const { sink, directory } = makeSink(folder, { rotation: false, maxFileSizeBytes: 10 });
    sink.write(batchOf(makeRecords(1, 3)));
    sink.close();
    assert.deepEqual(names(directory), ["traffic-2026-03-10.log"]);
  }));

Deno.test("FileSink follows when its file is moved away, deleted, or its folder removed", () =>
  withFolder((folder) => {
    const { sink, directory } = makeSink(folder);
    const path = `${directory}/traffic-2026-03-10.log`;
    sink.write(batchOf(makeRecords(1, 1)));
    Deno.renameSync(path, `${directory}/kept.log`);
    sink.write(batchOf(makeRecords(2, 1)));
    assert.deepEqual(requestIds(path), ["request-2"]);
    // As logrotate does with "create": another file is there at once.
    Deno.renameSync(path, `${directory}/kept.2.log`);
    Deno.writeTextFileSync(path, "");
    sink.write(batchOf(makeRecords(9, 1)));
    assert.deepEqual(requestIds(path), ["request-9"]);
    Deno.removeSync(path);
    sink.write(batchOf(makeRecords(3, 1)));
    assert.deepEqual(requestIds(path), ["request-3"]);
    assert.deepEqual(requestIds(`${directory}/kept.log`), ["request-1"]);
    Deno.removeSync(directory, { recursive: true });
    sink.write(batchOf(makeRecords(4, 1)));
    assert.deepEqual(requestIds(path), ["request-4"]);
    sink.close();
  }));

Deno.test("FileSink cuts a torn last line when it opens a file", () =>
  withFolder((folder) => {
    const { sink, directory } = makeSink(folder);
    sink.write(batchOf(makeRecords(1, 2)));
    sink.close();
    const path = `${directory}/traffic-2026-03-10.log`;
    Deno.writeTextFileSync(path, '{"id":"torn', { append: true });
    sink.open();
    sink.write(batchOf(makeRecords(3, 1)));
    sink.close();
    const lines = Deno.readTextFileSync(path).trimEnd().split("\n");
    assert.deepEqual(lines.map((line) => JSON.parse(line).request_id), [
      "request-1",
      "request-2",
      "request-3",
    ]);
  }));

Deno.test("FileSink retention removes only Dispa's own files that are wholly too old", () =>
  withFolder((folder) => {
    const { sink, clock, directory } = makeSink(folder);
    Deno.mkdirSync(`${directory}/traffic-2020-01-03.log`, { recursive: true });
    const others = ["traffic-2020-01-01.log.gz", "traffic-2020-1-1.log", "traffic-2020-02-30.log", "app.log"];
    const expired = ["traffic-2026-03-02.log", "traffic-2026-03-02.1.log", "traffic-2020-01-01.log"];
    const young = ["traffic-2026-03-03.log", "traffic-2026-03-10.log", "traffic-2026-03-12.log"];
    for (const name of [...others, ...expired, ...young]) Deno.writeTextFileSync(`${directory}/${name}`, "");
    Deno.symlinkSync(`${directory}/app.log`, `${directory}/traffic-2020-01-02.log`);
    const all = names(directory);
    sink.maintain(0);
    assert.deepEqual(names(directory), all);
    clock.timeMs = Date.parse("2026-03-10T00:00:00Z");
    sink.maintain(7);
    assert.deepEqual(names(directory), all.filter((name) => !expired.includes(name)));
    clock.timeMs += DAY;
    sink.maintain(7);
    assert.equal(names(directory).includes("traffic-2026-03-03.log"), false);
  }));

Deno.test("FileSink says which records are kept when it cannot write the rest", () =>
  withFolder((folder) => {
    const lineLength = batchOf(makeRecords(10, 1)).size;
    const { sink, directory } = makeSink(folder, { maxFileSizeBytes: lineLength * 2 });
    sink.open();
    // A folder where the next file should be: the first two records fit, the rest cannot be written.
    Deno.mkdirSync(`${directory}/traffic-2026-03-10.1.log`);
    assert.throws(
      () => sink.write(batchOf(makeRecords(10, 5))),
      (error) => error instanceof SinkWriteError && error.written === 2,
    );
    assert.deepEqual(requestIds(`${directory}/traffic-2026-03-10.log`), ["request-10", "request-11"]);
  }));

Deno.test("parseLogFileName takes the names Dispa gives and no others", () => {
  assert.deepEqual(parseLogFileName("traffic-2026-03-10.log"), { day: "2026-03-10", number: 0 });
  assert.deepEqual(parseLogFileName("traffic-2026-03-10.12.log"), { day: "2026-03-10", number: 12 });
  for (
    const name of [
      "traffic-2026-03-10.0.log",
      "traffic-2026-03-10.01.log",
      "traffic-2026-02-30.log",
      "traffic-2026-13-01.log",
      "xtraffic-2026-03-10.log",
      "traffic-2026-03-10.log.1",
      "traffic-2026-03-10.log\n",
    ]
  ) assert.equal(parseLogFileName(name), null, name);
});
