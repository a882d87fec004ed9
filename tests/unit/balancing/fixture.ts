import { Balancer, type BalancerOptions } from "../../../src/balancing/balancer.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { newActiveCounts, TargetTable } from "../../../src/balancing/target_table.ts";
import type { TargetConfig } from "../../../src/config/model.ts";

export function targetConfig(name: string, weight = 1, port = 80): TargetConfig {
  return {
    name,
    url: `http://10.0.0.1:${port}`,
    protocol: "http",
    hostname: "10.0.0.1",
    port,
    basePath: "",
    group: null,
    weight,
    timeoutMs: null,
    maxConnections: null,
    backup: false,
  };
}

/** Targets `t0`, `t1` … with these weights, a balancer over them, and what is below it. */
export function balance(weights: readonly number[], options: Partial<BalancerOptions> = {}) {
  const table = options.table ?? new TargetTable();
  const own = newActiveCounts();
  const targets = new SlotAllocator(table).assign(
    weights.map((weight, index) => targetConfig(`t${index}`, weight)),
  );
  const balancer = new Balancer({
    targets,
    type: "roundrobin",
    sticky: false,
    rotation: 0,
    own,
    ...options,
    table,
  });
  return { table, own, targets, balancer };
}

/** Acquires and at once releases `requests` times; how often each target came, in their order. */
export function shares(
  { targets, balancer }: Pick<ReturnType<typeof balance>, "targets" | "balancer">,
  requests: number,
  clientIp: (request: number) => string = () => "192.0.2.1",
): number[] {
  const counts = targets.map(() => 0);
  for (let request = 0; request < requests; request++) {
    const target = balancer.acquire(clientIp(request));
    if (target === null) throw new Error("no target was usable");
    counts[targets.indexOf(target)]++;
    balancer.release(target);
  }
  return counts;
}

/** A repeatable stand-in for Math.random (mulberry32). */
export function seededRandom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
