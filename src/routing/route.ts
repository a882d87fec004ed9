/** A routing rule, made ready for what comes after it has taken a request. */
import type { RouteRule } from "../config/model.ts";
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import { applyHeaderActions } from "./header_actions.ts";
import { type Answer, compileCustomResponse, compileRedirect } from "./local_answers.ts";
import { compilePathRewrite, type PathRewrite } from "./path_rewrite.ts";
import { Split } from "./split.ts";
import type { TargetSet, TargetSets } from "./target_sets.ts";

export interface Mirror {
  /** Name of the target that gets the copies. */
  readonly target: string;
  /** 0 to 1: how many of the requests are copied. */
  readonly share: number;
  /** Requests with a longer body are not copied. */
  readonly maxBodyBytes: number;
}

export class Route {
  readonly name: string;
  /** Where the requests go: to one set of targets, or to the one a split chooses. */
  readonly targets: TargetSet | Split;
  readonly mirror: Mirror | null;
  /** Names in the order to run; a name may stand twice. */
  readonly pluginsRequest: readonly string[];
  readonly pluginsResponse: readonly string[];
  readonly #rule: RouteRule;
  readonly #rewrite: PathRewrite | null;
  readonly #answer: Answer | null;

  /** @param otherwise where the requests go if the rule does not say */
  constructor(rule: RouteRule, sets: TargetSets, otherwise: TargetSet) {
    const { name, mirror, customResponse, redirect } = rule;
    this.name = name;
    this.targets = targetsOf(rule, sets, otherwise);
    this.mirror = mirror === null
      ? null
      : { target: mirror.target, share: mirror.percent / 100, maxBodyBytes: mirror.maxBodyBytes };
    this.pluginsRequest = inOrder(rule.pluginsRequest, rule);
    this.pluginsResponse = inOrder(rule.pluginsResponse, rule);
    this.#rule = rule;
    this.#rewrite = compilePathRewrite(rule.requestPath);
    this.#answer = customResponse !== null
      ? compileCustomResponse(customResponse)
      : redirect !== null
      ? compileRedirect(redirect, this.#rewrite)
      : null;
  }

  /**
   * The targets that this request may go to.
   * @param random from 0 to below 1; decides where a split is not sticky
   */
  chooseTargets(request: RequestMessage, random: () => number = Math.random): TargetSet {
    return this.targets instanceof Split ? this.targets.choose(request, random) : this.targets;
  }

  /** Whether chance decides between its targets, so that the same request may go elsewhere the next time. */
  get choosesByChance(): boolean {
    return this.targets instanceof Split && this.targets.sticky === null && this.targets.shares.length > 1;
  }

  /** The answer in place of any target's; asked before `applyRequest`. Null: the request is forwarded. */
  answer(request: RequestMessage): LocalAnswer | null {
    return this.#answer === null ? null : this.#answer(request);
  }

  /** Changes the request's fields and path. */
  applyRequest(request: RequestMessage): void {
    applyHeaderActions(request.headers, this.#rule.requestHeaders);
    if (this.#rewrite === null) return;
    const { path } = request;
    const rewritten = this.#rewrite(path);
    // Assigning encodes anew: what no action touches stays byte for byte as the client wrote it.
    if (rewritten !== path) request.path = rewritten;
  }

  /** Changes the fields of a target's answer. */
  applyResponse(response: ResponseMessage): void {
    applyHeaderActions(response.headers, this.#rule.responseHeaders);
  }
}

function targetsOf({ name, targets }: RouteRule, sets: TargetSets, otherwise: TargetSet): TargetSet | Split {
  switch (targets.by) {
    case "all":
      return otherwise;
    case "target":
      return sets.named([targets.target]);
    case "targets":
      return sets.named(targets.targets);
    case "group":
      return sets.group(targets.group);
    case "split":
      return new Split(
        name,
        targets.parts.map(({ choice, weight }) => ({
          targets: choice.by === "target" ? sets.named([choice.target]) : sets.group(choice.group),
          weight,
        })),
        targets.sticky,
      );
  }
}

function inOrder(names: readonly string[], { pluginsOrder, pluginsDedup }: RouteRule): string[] {
  const listed = pluginsDedup ? [...new Set(names)] : [...names];
  if (pluginsOrder === "as_listed") return listed;
  const ascending = listed.sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
  return pluginsOrder === "name_asc" ? ascending : ascending.reverse();
}
