/** Which groups of targets a configuration balances over, beside that of all. */
import type { Config } from "../config/model.ts";
import { RouteTable } from "../routing/mod.ts";

/** Names of the targets of each group that a routing rule, or the default target, may choose. */
export function targetGroups({ routing, targets }: Config): string[][] {
  return new RouteTable(routing, targets.targets).targetSets.flatMap(({ names }) =>
    names === null ? [] : [[...names]]
  );
}
