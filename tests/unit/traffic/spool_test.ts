import assert from "node:assert/strict";
import fc from "fast-check";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { Spool } from "../../../src/traffic/spool.ts";
import { MemoryBacklog } from "../../../src/traffic/backlog.ts";
import type { Backlog } from "../../../src/traffic/backlog.ts";
import { MemoryLog, withFolder } from "../../support/traffic.ts";

function batchOf(first: number, count: number, width = 0): SinkBatch {
  const lines = Array.from(
    { length: count },
    (_, index) => `{"n":${first + index},"é":"${"x".repeat(width)}"}\n`,
  );
  return new SinkBatch(lines.join(""), count);
}

function numbers(lines: string): number[] {
  return lines.trimEnd().split("\n").map((line) => JSON.parse(line).n);
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

function drain(backlog: Backlog): number[] {
  const found: number[] = [];
  for (let batch = backlog.peek(); batch !== null; batch = backlog.peek()) {
    found.push(...numbers(batch.lines));
    backlog.advance(batch.count);
  }
  return found;
}

function openSpool(directory: string, maxBytes = 1e9): Spool {
  return new Spool({ directory, maxBytes, log: new MemoryLog().log });
}

function segments(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
}

Deno.test("Spool and MemoryBacklog give back what was pushed, in order, whatever the steps", () =>
  withFolder((folder) => {
    let folders = 0;
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 20 }) }),
      fc.record({ advance: fc.integer({ min: 0, max: 30 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), (steps, onDisk) => {
        const backlog = onDisk ? openSpool(`${folder}/${++folders}`) : new MemoryBacklog(1e9);
        let pushed = 0;
        const found: number[] = [];
        for (const step of steps) {
          if ("push" in step) {
            assert.equal(backlog.push(batchOf(pushed, step.push)), 0);
            pushed += step.push;
          } else {
            const batch = backlog.peek();
            assert.equal(batch === null, backlog.isEmpty());
            if (batch === null) continue;
            const count = Math.min(step.advance, batch.count);
            if (count === 0) continue;
            found.push(...numbers(batch.lines).slice(0, count));
            backlog.advance(count);
          }
        }
        found.push(...drain(backlog));
        assert.deepEqual(found, range(0, pushed));
        assert.equal(backlog.isEmpty(), true);
        backlog.close();
      }),
    );
  }));

Deno.test("Spool survives a restart and is replayed from the oldest segment", () =>
  withFolder((folder) => {
    const first = openSpool(folder);
    for (let at = 0; at < 1000; at += 100) first.push(batchOf(at, 100, 10_000));
    assert.ok(segments(folder).length > 1);
    first.close();
    const second = openSpool(folder);
    second.push(batchOf(1000, 5));
    assert.deepEqual(drain(second), range(0, 1005));
    assert.deepEqual(segments(folder), []);
    second.close();
  }));

Deno.test("Spool skips the line that a crash has torn and goes on with the next segment", () =>
  withFolder((folder) => {
    const first = openSpool(folder);
    first.push(batchOf(0, 3));
    first.close();
    Deno.writeTextFileSync(`${folder}/${segments(folder)[0]}`, '{"n":99', { append: true });
    const second = openSpool(folder);
    second.push(batchOf(3, 2));
    assert.deepEqual(drain(second), range(0, 5));
    second.close();
  }));

Deno.test("Spool keeps to its bound with whole lines and says how many it refuses", () =>
  withFolder((folder) => {
    const lineLength = batchOf(10, 1).bytes.length;
    const spool = openSpool(folder, lineLength * 5 + 3);
    assert.equal(spool.push(batchOf(10, 3)), 0);
    assert.equal(spool.push(batchOf(13, 4)), 2);
    assert.equal(spool.push(batchOf(20, 1)), 1);
    assert.equal(spool.bytes, lineLength * 5);
    assert.deepEqual(drain(spool), range(10, 5));
    assert.equal(spool.push(batchOf(30, 1)), 0);
    spool.close();
    // The bound holds for what an earlier run has left, too.
    const next = openSpool(folder, lineLength * 2);
    assert.equal(next.push(batchOf(31, 2)), 1);
    assert.deepEqual(drain(next), [30, 31]);
    next.close();
  }));

Deno.test("Spool goes on when somebody removes its files or its folder, and says so", () =>
  withFolder((folder) => {
    const directory = `${folder}/spool`;
    const log = new MemoryLog();
    const spool = new Spool({ directory, maxBytes: 1e9, log: log.log });
    spool.push(batchOf(0, 3));
    Deno.removeSync(directory, { recursive: true });
    spool.push(batchOf(3, 2));
    assert.deepEqual(drain(spool), [3, 4]);
    assert.equal(log.count("a part of the traffic log's spool was removed by somebody else"), 1);
    spool.close();
  }));

Deno.test("Spool goes on when a segment that has been replayed cannot be removed, and says so", () =>
  withFolder((folder) => {
    const log = new MemoryLog();
    const spool = new Spool({ directory: folder, maxBytes: 1e9, log: log.log });
    assert.equal(spool.push(batchOf(0, 2)), 0);
    assert.deepEqual(numbers(spool.peek()?.lines ?? ""), [0, 1]);
    // A folder that is not empty is not removed as a file is.
    const [segment] = segments(folder);
    Deno.removeSync(`${folder}/${segment}`);
    Deno.mkdirSync(`${folder}/${segment}/kept`, { recursive: true });
    spool.advance(2);
    assert.deepEqual(log.entries.map(({ message }) => message), [
      "cannot remove a part of the traffic log's spool that the database has",
    ]);
    assert.equal(spool.push(batchOf(2, 3)), 0);
    assert.deepEqual(drain(spool), [2, 3, 4]);
    spool.close();
  }));

Deno.test("Spool leaves files of other names alone, and its own are private", () =>
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/spool-1.ndjson`, "not ours\n");
    const spool = openSpool(folder);
    assert.equal(spool.isEmpty(), true);
    spool.push(batchOf(0, 1));
    const [own] = segments(folder);
    assert.equal(own, "spool-000000000001.ndjson");
    assert.equal((Deno.statSync(`${folder}/${own}`).mode ?? 0) & 0o777, 0o600);
    drain(spool);
    assert.deepEqual(segments(folder), ["spool-1.ndjson"]);
    spool.close();
  }));
