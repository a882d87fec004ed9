/** The audit log as a file. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { AuditLog } from "../../../src/admin/audit.ts";

const ENTRY = { who: "admin 1234abcd", from: "::1", subject: null, result: "ok", detail: null };

async function withLog(
  maxFileBytes: number,
  work: (log: AuditLog, directory: string, logged: string[]) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "dispa-audit-" });
  const logged: string[] = [];
  const log = new AuditLog({
    directory: () => join(directory, "logs"),
    log: (level, message) => logged.push(`${level} ${message}`),
    maxFileBytes,
  });
  try {
    await work(log, directory, logged);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("entries are lines in the order they came, for their owner only, read newest first", async () => {
  await withLog(1_000_000, async (log, directory) => {
    await Promise.all([1, 2, 3].map((n) => log.write({ ...ENTRY, action: `a${n}` })));
    const path = join(directory, "logs", "admin_audit.log");
    const lines = Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ action }) => action), ["a1", "a2", "a3"]);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual((await log.read(2)).map(({ action }) => action), ["a3", "a2"]);
  });
});

Deno.test("the log is bounded: a full file is set aside, and the oldest is given up", async () => {
  await withLog(1_000, async (log, directory) => {
    for (let n = 0; n < 100; n++) await log.write({ ...ENTRY, action: `a${n}` });
    const files = [...Deno.readDirSync(join(directory, "logs"))].map(({ name }) => name).sort();
    assert.deepEqual(files, [
      "admin_audit.log",
      "admin_audit.log.1",
      "admin_audit.log.2",
      "admin_audit.log.3",
      "admin_audit.log.4",
    ]);
    for (const name of files) assert.ok(Deno.statSync(join(directory, "logs", name)).size <= 1_000);
    assert.equal((await log.read(1))[0].action, "a99");
  });
});

Deno.test("a line that was cut is passed over", async () => {
  await withLog(1_000_000, async (log, directory) => {
    await log.write({ ...ENTRY, action: "whole" });
    Deno.writeTextFileSync(join(directory, "logs", "admin_audit.log"), '{"time":"20', { append: true });
    assert.deepEqual((await log.read(5)).map(({ action }) => action), ["whole"]);
  });
});

Deno.test("a log that cannot be written is told, with the entry, and throws nothing", async () => {
  await withLog(1_000_000, async (log, directory, logged) => {
    Deno.writeTextFileSync(join(directory, "logs"), "in the way");
    await log.write({ ...ENTRY, action: "a" });
    assert.deepEqual(logged, ["error the audit log cannot be written"]);
  });
});
