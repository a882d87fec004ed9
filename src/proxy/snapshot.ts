/** One generation of the configuration as a proxy thread uses it: never changed, only replaced. */
import type { BalancedTarget, Balancer } from "../balancing/balancer.ts";
import { BalancerSet, type Rotations } from "../balancing/groups.ts";
import type { ActiveCounts, TargetTable } from "../balancing/target_table.ts";
import type { Config } from "../config/model.ts";
import type { TransportSet } from "../upstream/transports.ts";
import { DomainTable } from "./domains.ts";
import type { Origin } from "./exchange.ts";
import type { RequestFields } from "./headers.ts";
import { DomainStep, type Step } from "./steps.ts";
import { isTrustedPeer } from "./trusted_peer.ts";

/** What the control thread posts for a new generation: plain data. */
export interface SnapshotSpec {
  generation: number;
  config: Config;
  targets: BalancedTarget[];
  /** The turn counters of the balancers. */
  rotations: Rotations;
  /** Memory shared with the other proxy threads, by the part of the configuration that it belongs to. */
  shared: Readonly<Record<string, SharedArrayBuffer>>;
}

/** What a proxy thread builds its snapshots with. */
export interface SnapshotContext {
  table: TargetTable;
  counts: ActiveCounts;
  log: (
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
}

export class Snapshot {
  readonly generation: number;
  readonly config: Config;
  readonly balancers: BalancerSet;
  /** Over all targets. */
  readonly balancer: Balancer;
  readonly steps: readonly Step[];
  #inFlight = 0;
  #retired: (() => void) | null = null;

  private constructor(spec: SnapshotSpec, context: SnapshotContext, readonly transports: TransportSet) {
    const { config } = spec;
    this.generation = spec.generation;
    this.config = config;
    this.balancers = new BalancerSet({
      targets: spec.targets,
      config: config.targets,
      rotations: spec.rotations,
      table: context.table,
      own: context.counts,
    });
    this.balancer = this.balancers.all;
    this.steps = [new DomainStep(new DomainTable(config.domains))];
  }

  /** @throws Error if a part of the configuration cannot be made, e.g. a plugin's module not be loaded */
  static build(spec: SnapshotSpec, context: SnapshotContext, transports: TransportSet): Promise<Snapshot> {
    return Promise.resolve(new Snapshot(spec, context, transports));
  }

  /** Where a request comes from, as far as this configuration believes it. */
  originOf(peerIp: string, scheme: Origin["scheme"], _fields: RequestFields): Origin {
    const trusted = this.config.security.accessControl.trustProxyHeaders && isTrustedPeer(peerIp);
    return { peerIp, clientIp: peerIp, trusted, scheme };
  }

  /** An exchange uses this generation from now on. */
  begin(): void {
    this.#inFlight++;
  }

  /** That exchange has ended. */
  end(): void {
    if (--this.#inFlight === 0) this.#retired?.();
  }

  /** No new exchange comes: resolves when the last one has ended. */
  retire(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#inFlight === 0) resolve();
      else this.#retired = resolve;
    });
  }
}
