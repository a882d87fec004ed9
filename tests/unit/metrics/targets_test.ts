import { deepEqual } from "node:assert/strict";
import { CircuitState } from "../../../src/balancing/circuit_table.ts";
import { newActiveCounts, TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { collectTargets, targetStatuses } from "../../../src/metrics/targets.ts";
import { Metrics } from "./support.ts";

Deno.test("the target gauges follow the target table and the running configuration", () => {
  const metrics = new Metrics();
  const table = new TargetTable();
  let slots = [
    { config: { name: "b1", url: "http://a" }, slot: 3 },
    { config: { name: "b2", url: "http://b" }, slot: 0 },
  ];
  collectTargets(metrics.registry, () => targetStatuses(table, slots));
  table.setState(0, TargetState.Unhealthy);
  table.setWeight(3, 2.5);
  table.setDraining(3, true);
  table.increment(3, newActiveCounts());
  table.circuits.open(3, CircuitState.Closed, 1000, 1, 0);
  deepEqual(metrics.scalars(FAMILIES.targetHealthy), { b1: 1, b2: 0 }, "unknown counts as healthy");
  deepEqual(metrics.scalars(FAMILIES.targetActiveConnections), { b1: 1, b2: 0 });
  deepEqual(targetStatuses(table, slots)[0], {
    name: "b1",
    url: "http://a",
    healthy: true,
    draining: true,
    circuit: "open",
    weight: 2.5,
    activeConnections: 1,
  });
  deepEqual(metrics.scalars(FAMILIES.targetCircuitState), { b1: 2, b2: 0 });
  slots = slots.slice(1);
  table.setState(0, TargetState.Healthy);
  deepEqual(metrics.scalars(FAMILIES.targetHealthy), { b2: 1 });
});
