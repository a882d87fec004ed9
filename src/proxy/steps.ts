/**
 * The steps between receiving a request and forwarding it. A configuration compiles into the list of those
 * it needs: what it leaves out costs nothing.
 */
import type { LocalAnswer } from "../http/message.ts";
import type { Refusal } from "../http/refusal.ts";
import type { Chain, PluginOutcome } from "../plugins/mod.ts";
import type { RouteTable, RouteTrace } from "../routing/mod.ts";
import type { DomainTable } from "./domains.ts";
import type { Exchange } from "./exchange.ts";
import { httpsRedirect } from "./https_redirect.ts";
import type { RouteParts } from "./routes.ts";
import type { Trace } from "./trace.ts";

/** What ends an exchange before it is forwarded. */
export type Ending = Refusal | LocalAnswer;

export interface Step {
  readonly name: string;
  /** Null lets the exchange pass. Only a step that has to wait gives a promise. */
  run(exchange: Exchange): Ending | null | Promise<Ending | null>;
}

/** How and where an exchange has ended. */
export interface StepEnding {
  step: string;
  ending: Ending;
}

/** Runs the steps one after the other until one ends the exchange; null if none does. */
export function runSteps(exchange: Exchange, first = 0): StepEnding | null | Promise<StepEnding | null> {
  const { steps } = exchange.snapshot;
  for (let index = first; index < steps.length; index++) {
    const { name } = steps[index];
    const ending = steps[index].run(exchange);
    if (ending === null) continue;
    if (ending instanceof Promise) {
      return ending.then((late) =>
        late === null ? runSteps(exchange, index + 1) : { step: name, ending: late }
      );
    }
    return { step: name, ending };
  }
  return null;
}

export function isRefusal(ending: object): ending is Refusal {
  return "code" in ending;
}

export class DomainStep implements Step {
  readonly name = "domain";
  readonly #domains: DomainTable;

  constructor(domains: DomainTable) {
    this.#domains = domains;
  }

  run(exchange: Exchange): Refusal | null {
    exchange.domain = this.#domains.match(exchange.host);
    if (exchange.domain !== null) {
      exchange.trace?.add("domain", "passed", `${exchange.host} is matched by "${exchange.domain}"`, {
        host: exchange.host,
        pattern: exchange.domain,
      });
      return null;
    }
    return { code: "domain_not_found", message: "Domain not found" };
  }
}

/** Sends clients of plain HTTP to HTTPS (`tls.redirect_http`). */
export class RedirectStep implements Step {
  readonly name = "https_redirect";
  readonly #port: number;

  /** @param port that clients reach HTTPS at */
  constructor(port: number) {
    this.#port = port;
  }

  run({ scheme, authority, receivedTarget: target }: Exchange): LocalAnswer | null {
    return httpsRedirect({ scheme, authority, target }, this.#port);
  }
}

/** Plugins that run before or after the domain check, or for one route. */
export class PluginStep implements Step {
  readonly #chain: Chain;

  constructor(readonly name: string, chain: Chain) {
    this.#chain = chain;
  }

  run(exchange: Exchange): Ending | null | Promise<Ending | null> {
    const outcome = this.#chain.runRequest(exchange, exchange.trace?.pluginsOf(this.name));
    return outcome instanceof Promise ? outcome.then(pluginEnding) : pluginEnding(outcome);
  }
}

/** What a plugin's outcome means for the exchange. */
export function pluginEnding(outcome: PluginOutcome): Ending | null {
  if (outcome === null) return null;
  return outcome.kind === "answer" ? outcome.answer : outcome.refusal;
}

/** Chooses the routing rule, and with it the targets; what the rule changes or answers itself is done here. */
export class RouteStep implements Step {
  readonly name = "route";
  readonly #table: RouteTable;
  readonly #parts: RouteParts;

  constructor(table: RouteTable, parts: RouteParts) {
    this.#table = table;
    this.#parts = parts;
  }

  run(exchange: Exchange): LocalAnswer | null {
    const { trace } = exchange;
    const route = this.#table.match(exchange, trace === null ? undefined : routeTrace(trace));
    exchange.route = route;
    const targets = route === null ? this.#table.defaultTargets : route.chooseTargets(exchange);
    exchange.balancer = this.#parts.balancerOf(targets);
    if (this.#table.logsDecisions && !trace?.dry) this.#parts.log(exchange, targets);
    if (trace !== null) {
      const which = targets.names === null ? "all targets" : targets.names.join(", ");
      const byChance = route?.choosesByChance ?? false;
      const summary = route === null
        ? `no rule takes it: ${which}`
        : `rule "${route.name}": ${which}${byChance ? " by lot, the next request may go elsewhere" : ""}`;
      const rule = route?.name ?? null;
      trace.add(this.name, "chose", summary, { rule, targets: targets.names, by_chance: byChance });
    }
    if (route === null) return null;
    const answer = route.answer(exchange);
    if (answer !== null) return answer;
    route.applyRequest(exchange);
    return null;
  }
}

function routeTrace(trace: Trace): RouteTrace {
  return (rule, outcome) => {
    switch (outcome.outcome) {
      case "matched":
        return trace.add("route", "passed", `rule "${rule}" matches`, { rule });
      case "disabled":
        return trace.add("route", "passed", `rule "${rule}" is disabled`, { rule });
      case "failed": {
        const { condition, wanted, found } = outcome;
        const summary = `rule "${rule}" does not match: ${condition} is ${found}, wanted ${wanted}`;
        return trace.add("route", "passed", summary, { rule, condition, wanted, found });
      }
    }
  };
}

/** The plugins that the chosen rule names for requests. */
export class RoutePluginStep implements Step {
  readonly name = "route_plugins";
  readonly #parts: RouteParts;

  constructor(parts: RouteParts) {
    this.#parts = parts;
  }

  run(exchange: Exchange): Ending | null | Promise<Ending | null> {
    const chain = exchange.route === null ? null : this.#parts.chainsOf(exchange.route).request;
    if (chain === null) return null;
    const outcome = chain.runRequest(exchange, exchange.trace?.pluginsOf(this.name));
    return outcome instanceof Promise ? outcome.then(pluginEnding) : pluginEnding(outcome);
  }
}
