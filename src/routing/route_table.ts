/** All routing rules, and which of them takes a request. */
import type { RoutingConfig, TargetConfig } from "../config/model.ts";
import type { RequestMessage } from "../http/message.ts";
import { compileConditions, type Condition } from "./conditions.ts";
import { Route } from "./route.ts";
import { RuleIndex } from "./rule_index.ts";
import { Subject } from "./subject.ts";
import { type TargetSet, TargetSets } from "./target_sets.ts";

/** Why a rule did not take a request, or that it did. */
export type RouteOutcome =
  | { outcome: "matched" }
  | { outcome: "disabled" }
  /** The first condition that did not hold, by its key below `conditions`. */
  | { outcome: "failed"; condition: string; wanted: string; found: string };

/** Told of every rule in the order they are tried, up to the one that matches; disabled ones in their place. */
export type RouteTrace = (rule: string, outcome: RouteOutcome) => void;

interface Rule {
  readonly conditions: readonly Condition[];
  readonly route: Route;
}

export class RouteTable {
  /** Every set of targets that a route may choose; the first is that of all targets. */
  readonly targetSets: readonly TargetSet[];
  /** Where requests go that no rule takes. */
  readonly defaultTargets: TargetSet;
  /** Whether the program's log is to tell of each decision, at level debug. */
  readonly logsDecisions: boolean;
  /** In the order they are tried; of a disabled rule only its name, for explanations. */
  readonly #all: readonly (Rule | string)[];
  readonly #enabled: readonly Rule[];
  readonly #index: RuleIndex;
  // Kept between requests so that a match allocates little; matching is synchronous.
  readonly #lists: (readonly number[])[] = [];
  readonly #cursors: number[] = [];

  /** @param routing checked: the names in it exist */
  constructor(routing: RoutingConfig, targets: readonly TargetConfig[]) {
    const sets = new TargetSets(targets);
    const { enabled, defaultTarget, enableLogging } = routing;
    this.defaultTargets = enabled && defaultTarget !== null ? sets.named([defaultTarget]) : sets.all;
    // Sorting is stable: rules of one priority stay in the order of the file.
    const rules = enabled ? routing.rules.toSorted((a, b) => b.priority - a.priority) : [];
    this.#all = rules.map((rule) =>
      rule.enabled
        ? {
          conditions: compileConditions(rule.conditions),
          route: new Route(rule, sets, this.defaultTargets),
        }
        : rule.name
    );
    this.#enabled = this.#all.filter((rule) => typeof rule !== "string");
    this.#index = new RuleIndex(rules.filter((rule) => rule.enabled).map(({ conditions }) => conditions));
    this.targetSets = sets.sets;
    this.logsDecisions = enabled && enableLogging;
  }

  /** All routes in the order they are tried. */
  get routes(): readonly Route[] {
    return this.#enabled.map(({ route }) => route);
  }

  /**
   * The route of the first rule whose conditions all hold; null if there is none.
   * @param trace for explanations: every rule is tried then, also those that the index would leave out
   */
  match(request: RequestMessage, trace?: RouteTrace): Route | null {
    if (trace !== undefined) return this.#explain(new Subject(request), trace);
    if (this.#enabled.length === 0) return null;
    const lists = this.#lists;
    lists.length = 0;
    this.#index.collect(request.host, request.path, lists);
    return lists.length === 0 ? null : this.#firstOf(lists, new Subject(request));
  }

  /** Tries the rules of all lists in rising order. */
  #firstOf(lists: readonly (readonly number[])[], subject: Subject): Route | null {
    const cursors = this.#cursors;
    for (let list = 0; list < lists.length; list++) cursors[list] = 0;
    for (;;) {
      let rank = Infinity;
      for (let list = 0; list < lists.length; list++) {
        const head = lists[list][cursors[list]];
        if (head < rank) rank = head;
      }
      if (rank === Infinity) return null;
      for (let list = 0; list < lists.length; list++) {
        if (lists[list][cursors[list]] === rank) cursors[list]++;
      }
      const rule = this.#enabled[rank];
      if (firstFailure(rule, subject) === null) return rule.route;
    }
  }

  #explain(subject: Subject, trace: RouteTrace): Route | null {
    for (const rule of this.#all) {
      if (typeof rule === "string") {
        trace(rule, { outcome: "disabled" });
        continue;
      }
      const failure = firstFailure(rule, subject);
      if (failure === null) {
        trace(rule.route.name, { outcome: "matched" });
        return rule.route;
      }
      const { key: condition, wanted } = failure;
      trace(rule.route.name, { outcome: "failed", condition, wanted, found: failure.found(subject) });
    }
    return null;
  }
}

function firstFailure({ conditions }: Rule, subject: Subject): Condition | null {
  for (const condition of conditions) if (!condition.holds(subject)) return condition;
  return null;
}
