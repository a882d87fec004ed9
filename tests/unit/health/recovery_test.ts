import assert from "node:assert/strict";
import { CircuitState } from "../../../src/balancing/circuit_table.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import { checkConfig, type Config } from "../../../src/config/mod.ts";
import { Recovery } from "../../../src/health/recovery.ts";
import { FakeClock, localTarget } from "./fixture.ts";

async function targetsConfig(text: string): Promise<Config["targets"]> {
  const checked = await checkConfig(`${text}\n[[targets.targets]]\nname = "t"\nurl = "http://h"\n`, {
    path: "x.toml",
    environment: new Map(),
  });
  assert.ok(checked.ok, JSON.stringify(checked));
  return checked.config.targets;
}

function fixture() {
  const clock = new FakeClock();
  const table = new TargetTable(undefined, () => clock.now());
  const targets = new SlotAllocator(table).assign([localTarget(80, "t")]);
  const changes: string[] = [];
  const recovery = new Recovery({ table, clock, changed: ({ from, to }) => changes.push(`${from} ${to}`) });
  return { clock, table, circuits: table.circuits, targets, slot: targets[0].slot, changes, recovery };
}

const BREAKER = "[targets.circuit_breaker]\nenabled = true\nopen_secs = 2";

Deno.test("open circuits come due for their trials", async () => {
  const { clock, circuits, targets, slot, changes, recovery } = fixture();
  recovery.apply(targets, await targetsConfig(BREAKER));
  circuits.open(slot, CircuitState.Closed, 2000, 1, clock.now());
  clock.advance(1900);
  assert.equal(circuits.state(slot), CircuitState.Open);
  clock.advance(200);
  assert.equal(circuits.state(slot), CircuitState.HalfOpen);
  assert.deepEqual(changes, ["open half_open"]);
  recovery.stop();
  assert.deepEqual(clock.waitingMs, []);
});

Deno.test("without circuits and slow start there is no timer", async () => {
  const { clock, targets, recovery } = fixture();
  recovery.apply(targets, await targetsConfig(""));
  assert.deepEqual(clock.waitingMs, []);
  recovery.apply(targets, await targetsConfig(BREAKER));
  recovery.apply(targets, await targetsConfig(BREAKER));
  assert.equal(clock.waitingMs.length, 1, "one, however often it is applied");
  recovery.apply(targets, await targetsConfig(""));
  assert.deepEqual(clock.waitingMs, []);
});

Deno.test("a reload keeps circuits, and one that switches them on begins with closed ones", async () => {
  const { clock, circuits, targets, slot, recovery } = fixture();
  recovery.apply(targets, await targetsConfig(BREAKER));
  circuits.open(slot, CircuitState.Closed, 2000, 1, clock.now());
  recovery.apply(targets, await targetsConfig(`${BREAKER}\nmin_requests = 7`));
  assert.equal(circuits.state(slot), CircuitState.Open);
  recovery.apply(targets, await targetsConfig(""));
  clock.advance(60_000);
  recovery.apply(targets, await targetsConfig(BREAKER));
  assert.equal(circuits.state(slot), CircuitState.Closed);
  recovery.stop();
});

Deno.test("a target that returns has all of its share when its slow start is over", async () => {
  const { clock, table, circuits, targets, slot, recovery } = fixture();
  recovery.apply(targets, await targetsConfig("[targets]\nslow_start = 10"));
  table.setState(slot, TargetState.Unhealthy);
  table.setState(slot, TargetState.Healthy);
  const shares: number[] = [];
  for (let second = 0; second < 10; second++) {
    shares.push(circuits.rampThousandths(slot));
    clock.advance(1000);
  }
  assert.deepEqual(shares, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
  const { generation } = table;
  clock.advance(5000);
  assert.equal(table.generation, generation, "then nothing changes any more");
  recovery.stop();
});
