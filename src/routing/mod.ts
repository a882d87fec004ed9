/** The public face of `routing`. */
export { type Mirror, Route } from "./route.ts";
export { type RouteOutcome, RouteTable, type RouteTrace } from "./route_table.ts";
export { Split, type SplitShare } from "./split.ts";
export type { TargetSet } from "./target_sets.ts";
