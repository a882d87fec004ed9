/** One generation of the configuration as a proxy thread uses it: never changed, only replaced. */
import { type BalancedTarget, Balancer } from "../balancing/balancer.ts";
import type { ActiveCounts, TargetTable } from "../balancing/target_table.ts";
import type { Config } from "../config/model.ts";
import type { TransportSet } from "../upstream/transports.ts";
import { DomainTable } from "./domains.ts";

/** What the control thread posts for a new generation: plain data. */
export interface SnapshotSpec {
  generation: number;
  config: Config;
  targets: BalancedTarget[];
  /** The turn counter of the balancer. */
  rotation: number;
}

export class Snapshot {
  readonly generation: number;
  readonly config: Config;
  readonly domains: DomainTable;
  readonly balancer: Balancer;

  constructor(
    spec: SnapshotSpec,
    shared: { table: TargetTable; counts: ActiveCounts },
    readonly transports: TransportSet,
  ) {
    const { config } = spec;
    this.generation = spec.generation;
    this.config = config;
    this.domains = new DomainTable(config.domains);
    this.balancer = new Balancer({
      targets: spec.targets,
      type: config.targets.balancing.type,
      sticky: config.targets.balancing.stickySessions,
      rotation: spec.rotation,
      table: shared.table,
      own: shared.counts,
    });
  }
}
