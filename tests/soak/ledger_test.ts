/** Whether the soak notices what it is there to notice. */
import assert from "node:assert/strict";
import { decodeLine, encodeRecord, type TrafficRecord, type TrafficRow } from "../../src/traffic/record.ts";
import { Ledger } from "./ledger.ts";

function recorded(number: number, change: Partial<TrafficRecord> = {}): TrafficRow {
  const row = decodeLine(encodeRecord({
    id: `id-${number}`,
    timestampMs: 0,
    requestId: String(number),
    clientIp: "127.0.0.1",
    host: "soak.test",
    method: "GET",
    path: `/small/${number}`,
    target: "t0",
    statusCode: 200,
    durationMs: 1,
    requestSize: 0,
    responseSize: 5,
    userAgent: null,
    errorMessage: null,
    route: null,
    upstreamMs: 1,
    retries: 0,
    protocol: "http/1.1",
    worker: 0,
    ...change,
  }));
  assert.ok(row);
  return row;
}

/** Requests 1 and 2 were answered, the client of 3 left. */
function ledger(): Ledger {
  const ledger = new Ledger(() => "");
  for (let number = 1; number <= 3; number++) assert.equal(ledger.begin("small"), number);
  for (const number of [1, 2]) ledger.end(number, "served", { recorded: "one", status: 200, size: 5 });
  ledger.end(3, "left");
  return ledger;
}

function faultsOf(records: TrafficRow[]): string {
  const judge = ledger();
  judge.compare(records);
  // Each begins with the time.
  return judge.faults.map((text) => text.replace(/^\S+ /, "").trim()).join("; ");
}

Deno.test("Ledger is content with one record for each request, and with one or none where the client left", () => {
  assert.equal(faultsOf([recorded(1), recorded(2)]), "");
  assert.equal(faultsOf([recorded(1), recorded(2), recorded(3, { statusCode: 499, responseSize: 0 })]), "");
});

Deno.test("Ledger notices lost and doubled records, and those of what nobody asked for", () => {
  assert.match(faultsOf([recorded(1)]), /^\/small\/2 has no record$/);
  assert.match(faultsOf([recorded(1), recorded(2), recorded(2)]), /^\/small\/2 has 2 records$/);
  assert.match(faultsOf([recorded(1), recorded(2), recorded(4)]), /^a record of what nobody asked for/);
});

Deno.test("Ledger notices records that say something else than the client has seen", () => {
  for (
    const change of [{ statusCode: 0 }, { statusCode: 502 }, { responseSize: 4 }, { requestId: "other" }]
  ) {
    assert.match(faultsOf([recorded(1, change), recorded(2)]), /\/small\/1/, JSON.stringify(change));
  }
});
