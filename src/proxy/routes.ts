/** What a snapshot holds for its routing rules: the balancer of each set of targets, the plugins of each rule. */
import type { Balancer } from "../balancing/balancer.ts";
import type { BalancerSet } from "../balancing/groups.ts";
import type { Chain, PluginSet } from "../plugins/mod.ts";
import type { Route, RouteTable, TargetSet } from "../routing/mod.ts";
import type { Exchange } from "./exchange.ts";

/** Plugins of one rule; null where it names none. */
export interface RouteChains {
  readonly request: Chain | null;
  /** Of the rule alone: those for all answers run after them. */
  readonly response: Chain | null;
}

export class RouteParts {
  /** By `TargetSet.index`. */
  readonly #balancers: readonly Balancer[];
  readonly #chains: ReadonlyMap<Route, RouteChains>;
  readonly #log: (message: string, fields: Record<string, unknown>) => void;

  constructor(
    table: RouteTable,
    parts: {
      balancers: BalancerSet;
      plugins: PluginSet;
      log: (message: string, fields: Record<string, unknown>) => void;
    },
  ) {
    const { balancers, plugins, log } = parts;
    this.#balancers = table.targetSets.map(({ names }) =>
      names === null ? balancers.all : balancers.for(names)
    );
    this.#chains = new Map(table.routes.map((route) => [route, {
      request: plugins.chainOf(route.pluginsRequest, "request"),
      response: plugins.chainOf(route.pluginsResponse, "response"),
    }]));
    this.#log = log;
  }

  /** Whether any rule runs plugins on requests. */
  get havePlugins(): boolean {
    return [...this.#chains.values()].some(({ request }) => request !== null);
  }

  balancerOf(targets: TargetSet): Balancer {
    return this.#balancers[targets.index];
  }

  chainsOf(route: Route): RouteChains {
    return this.#chains.get(route)!;
  }

  /** `routing.enable_logging`: a line for each decision. */
  log(exchange: Exchange, targets: TargetSet): void {
    this.#log("routed", {
      request_id: exchange.requestId,
      host: exchange.host,
      path: exchange.path,
      rule: exchange.route?.name ?? null,
      targets: targets.names ?? "all",
    });
  }
}
