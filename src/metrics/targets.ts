/** Metrics of the targets that are read from the target table at the moment of a scrape. */
import { type CircuitName, circuitName } from "../balancing/circuit_table.ts";
import { TargetState, type TargetTable } from "../balancing/target_table.ts";
import type { TargetConfig } from "../config/model.ts";
import { FAMILIES } from "./families.ts";
import type { MetricRegistry } from "./registry.ts";

/** A target of the running configuration and its place in the target table. */
export interface TargetSlot {
  config: Pick<TargetConfig, "name" | "url">;
  slot: number;
}

export interface TargetStatus {
  name: string;
  url: string;
  /** True until health checks find the target unhealthy: it is used before its first check has ended. */
  healthy: boolean;
  draining: boolean;
  circuit: CircuitName;
  /** Effective weight, which an operator may have changed. */
  weight: number;
  /** Requests in flight to it, of all threads. */
  activeConnections: number;
}

export function targetStatuses(table: TargetTable, targets: Iterable<TargetSlot>): TargetStatus[] {
  return Array.from(targets, ({ config, slot }) => ({
    name: config.name,
    url: config.url,
    healthy: table.state(slot) !== TargetState.Unhealthy,
    draining: table.isDraining(slot),
    circuit: circuitName(table.circuits.state(slot)),
    weight: table.weightThousandths(slot) / 1000,
    activeConnections: table.active(slot),
  }));
}

/** In the order in which they let requests through. */
const CIRCUIT_VALUES = {
  closed: 0,
  half_open: 1,
  open: 2,
} as const satisfies Record<CircuitName, number>;

/** Exports the health, circuits and active connections of the targets that `read` gives at each scrape. */
export function collectTargets(registry: MetricRegistry, read: () => readonly TargetStatus[]): void {
  registry.collect(
    FAMILIES.targetHealthy,
    () => read().map(({ name, healthy }) => ({ labels: [name], value: healthy ? 1 : 0 })),
  );
  registry.collect(
    FAMILIES.targetCircuitState,
    () => read().map(({ name, circuit }) => ({ labels: [name], value: CIRCUIT_VALUES[circuit] })),
  );
  registry.collect(
    FAMILIES.targetActiveConnections,
    () => read().map(({ name, activeConnections }) => ({ labels: [name], value: activeConnections })),
  );
}
