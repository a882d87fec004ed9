import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { SinkBatch } from "../../../src/traffic/batch.ts";
import { TrafficOpenError } from "../../../src/traffic/sink.ts";
import { openForReading, openForWriting } from "../../../src/traffic/sqlite_schema.ts";
import { SqliteSink } from "../../../src/traffic/sqlite_sink.ts";
import { makeBatch, makeRecords, TestClock, withFolder } from "../../support/traffic.ts";

function refuses(open: () => unknown, kind: "unusable" | "unreachable", message: RegExp): void {
  assert.throws(open, (error) => {
    assert.ok(error instanceof TrafficOpenError, String(error));
    assert.match(error.message, message);
    assert.equal(error.kind, kind);
    return true;
  });
}

function batchOf(first: number, count: number): SinkBatch {
  const { lines } = makeBatch(makeRecords(first, count));
  return new SinkBatch(lines, count);
}

/** Fails if the run changes the file. (SQLite puts its `-wal` and `-shm` beside one in WAL mode to read it.) */
function leavesAlone(path: string, run: () => void): void {
  const before = Deno.readFileSync(path);
  run();
  assert.deepEqual(Deno.readFileSync(path), before);
}

Deno.test("openForWriting makes the folder and the file, in WAL mode, readable while it writes", () =>
  withFolder((folder) => {
    const path = `${folder}/a/b/traffic.db`;
    using writer = openForWriting(path);
    assert.equal(writer.prepare("PRAGMA journal_mode").get()?.journal_mode, "wal");
    using reader = openForReading(path);
    writer.exec("BEGIN IMMEDIATE");
    writer.exec("INSERT INTO traffic_client_ips VALUES ('2026-03-10', '10.0.0.1')");
    assert.equal(reader.prepare("SELECT count(*) AS n FROM traffic_client_ips").get()?.n, 0);
    writer.exec("COMMIT");
    assert.equal(reader.prepare("SELECT count(*) AS n FROM traffic_client_ips").get()?.n, 1);
    assert.throws(() => reader.exec("DELETE FROM traffic_logs"), /readonly/);
  }));

Deno.test("openForWriting refuses a file that is no database, and leaves it as it is", () =>
  withFolder((folder) => {
    const path = `${folder}/notes.txt`;
    Deno.writeTextFileSync(path, "These are my notes, not a database.\n".repeat(300));
    leavesAlone(
      path,
      () => refuses(() => openForWriting(path), "unusable", /notes\.txt: it is not a SQLite/),
    );
  }));

Deno.test("openForWriting refuses another program's database, and leaves it as it is", () =>
  withFolder((folder) => {
    const path = `${folder}/books.db`;
    const books = new DatabaseSync(path);
    books.exec("CREATE TABLE books (title TEXT); PRAGMA user_version = 1");
    books.close();
    leavesAlone(path, () => refuses(() => openForWriting(path), "unusable", /belongs to another program/));
  }));

Deno.test("openForWriting refuses a damaged database, and leaves it as it is", () =>
  withFolder((folder) => {
    const path = `${folder}/traffic.db`;
    const sink = new SqliteSink(path, new TestClock());
    sink.open();
    sink.write(batchOf(0, 2000));
    sink.close();
    const bytes = Deno.readFileSync(path);
    Deno.writeFileSync(path, bytes.subarray(0, 8192));
    leavesAlone(path, () => refuses(() => openForWriting(path), "unusable", /it is damaged/));
    bytes.fill(0x55, 100);
    Deno.writeFileSync(path, bytes);
    leavesAlone(path, () => refuses(() => openForWriting(path), "unusable", /it is damaged/));
  }));

Deno.test("openForWriting refuses the database of a newer Dispa, and leaves it as it is", () =>
  withFolder((folder) => {
    const path = `${folder}/traffic.db`;
    const database = openForWriting(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    leavesAlone(
      path,
      () =>
        refuses(
          () => openForWriting(path),
          "unusable",
          /newer Dispa \(schema 99, this one knows up to \d+\)/,
        ),
    );
  }));

Deno.test("openForWriting takes an empty file, such as a crash at the first start may leave", () =>
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/traffic.db`, "");
    using database = openForWriting(`${folder}/traffic.db`);
    assert.equal(database.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n, 0);
  }));

Deno.test("openForWriting says that a folder cannot be made", () =>
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    refuses(() => openForWriting(`${folder}/file/traffic.db`), "unreachable", /cannot make the folder/);
  }));

Deno.test("openForReading says that there is no database, and makes none", () =>
  withFolder((folder) => {
    refuses(() => openForReading(`${folder}/traffic.db`), "unreachable", /there is no database at/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

Deno.test("SqliteSink makes a new file when its own is moved away or deleted", () =>
  withFolder((folder) => {
    const path = `${folder}/traffic.db`;
    const sink = new SqliteSink(path, new TestClock());
    sink.open();
    sink.write(batchOf(0, 10));
    Deno.renameSync(path, `${folder}/old.db`);
    sink.write(batchOf(10, 5));
    sink.close();
    using database = openForReading(path);
    assert.equal(database.prepare("SELECT count(*) AS n FROM traffic_logs").get()?.n, 5);
  }));

Deno.test("SqliteSink in memory keeps its rows when it is opened again", () => {
  const sink = new SqliteSink(":memory:", new TestClock());
  sink.open();
  sink.write(batchOf(0, 3));
  sink.open();
  sink.write(batchOf(0, 3));
  sink.close();
});
