import type { TargetConfig } from "../config/model.ts";

/** A target and its place in the target table. */
export interface BalancedTarget {
  readonly slot: number;
  readonly config: TargetConfig;
}
