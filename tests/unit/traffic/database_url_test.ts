import assert from "node:assert/strict";
import { maskDatabaseUrl, parseDatabaseUrl } from "../../../src/traffic/database_url.ts";
import { TrafficOpenError } from "../../../src/traffic/sink.ts";

Deno.test("parseDatabaseUrl reads every documented spelling", () => {
  const sqlite = (path: string) => ({ kind: "sqlite", path });
  assert.deepEqual(parseDatabaseUrl("sqlite://./data/x.db"), sqlite("./data/x.db"));
  assert.deepEqual(parseDatabaseUrl("sqlite:///var/lib/dispa/x.db"), sqlite("/var/lib/dispa/x.db"));
  assert.deepEqual(parseDatabaseUrl("sqlite:data/x.db"), sqlite("data/x.db"));
  assert.deepEqual(parseDatabaseUrl("sqlite://data/x.db?mode=rwc"), sqlite("data/x.db"));
  assert.deepEqual(parseDatabaseUrl("sqlite::memory:"), { kind: "sqlite-memory" });
  for (const url of ["postgresql://u:p@h:5432/d", "postgres://h/d"]) {
    assert.deepEqual(parseDatabaseUrl(url), { kind: "postgres", url });
  }
});

Deno.test("parseDatabaseUrl refuses the rest without repeating a password", () => {
  for (const url of ["mysql://dispa:s3cret@h/d", "", "data/x.db", "sqlite:"]) {
    assert.throws(() => parseDatabaseUrl(url), (error) => {
      assert.ok(error instanceof TrafficOpenError);
      assert.equal(error.kind, "unusable");
      assert.match(error.message, /wanted is sqlite:\/\/PATH/);
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
  }
});

Deno.test("maskDatabaseUrl hides the password wherever it stands", () => {
  for (
    const [url, masked] of [
      ["postgresql://u:p@h:5432/d", "postgresql://u:***@h:5432/d"],
      ["postgresql://u:p@ss:w@rd@h/d", "postgresql://u:***@h/d"],
      ["postgresql://h/d?user=u&password=s3cret&x=1", "postgresql://h/d?user=u&password=***&x=1"],
      ["postgresql://u@h/d", "postgresql://u@h/d"],
      ["sqlite://./x.db", "sqlite://./x.db"],
    ]
  ) assert.equal(maskDatabaseUrl(url), masked);
});
