/** A proxy thread reduced to its circuit breaker: reports failures of one target as fast as it can. */
import type { BalancedTarget } from "../../../src/balancing/balancer.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";
import type { CircuitBreakerConfig } from "../../../src/config/model.ts";
import { CircuitBreaker } from "../../../src/health/circuit_breaker.ts";

export interface ReportOrder {
  tableBuffer: SharedArrayBuffer;
  target: BalancedTarget;
  config: CircuitBreakerConfig;
  nowMs: number;
  reports: number;
}

declare const self: DedicatedWorkerGlobalScope & typeof globalThis;
interface DedicatedWorkerGlobalScope {
  onmessage: ((event: MessageEvent<ReportOrder>) => void) | null;
  postMessage(changes: string[]): void;
}

self.onmessage = ({ data: { tableBuffer, target, config, nowMs, reports } }) => {
  const changes: string[] = [];
  const breaker = new CircuitBreaker({
    table: new TargetTable(tableBuffer),
    config,
    changed: ({ to }) => changes.push(to),
    now: () => nowMs,
  });
  for (let report = 0; report < reports; report++) breaker.report(target, "failure", 1);
  self.postMessage(changes);
};
