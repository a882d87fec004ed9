/**
 * Tells which rules a request has to be tried on, so that 3,000 rules cost little more than 3 where their hosts or
 * paths differ. It leaves out only rules that cannot fit; whether the others do, their conditions say.
 */
import type { RouteConditions } from "../config/model.ts";
import { parseRegex, type RegexNode } from "../config/regex_syntax.ts";
import { PrefixTable } from "./prefix_table.ts";

export class RuleIndex {
  readonly #ofHost: ReadonlyMap<string, PathIndex>;
  readonly #ofAnyHost: PathIndex;

  /** @param rules in the order they are tried; their positions are what `collect` tells */
  constructor(rules: readonly RouteConditions[]) {
    const ofHost = new Map<string, PathIndexBuilder>();
    const ofAnyHost = new PathIndexBuilder();
    rules.forEach(({ host, path }, rank) => {
      if (host.exact.length === 0) ofAnyHost.add(path, rank);
      for (const name of new Set(host.exact)) {
        atKey(ofHost, name, () => new PathIndexBuilder()).add(path, rank);
      }
    });
    this.#ofHost = new Map([...ofHost].map(([name, builder]) => [name, builder.build()]));
    this.#ofAnyHost = ofAnyHost.build();
  }

  /** Adds lists of positions, each rising; one position may stand in several. */
  collect(host: string, path: string, lists: (readonly number[])[]): void {
    this.#ofHost.get(host)?.collect(path, lists);
    this.#ofAnyHost.collect(path, lists);
  }
}

class PathIndex {
  constructor(
    private readonly exact: ReadonlyMap<string, readonly number[]>,
    private readonly prefixes: PrefixTable,
    private readonly others: readonly number[],
  ) {}

  collect(path: string, lists: (readonly number[])[]): void {
    const exact = this.exact.get(path);
    if (exact !== undefined) lists.push(exact);
    this.prefixes.collect(path, lists);
    if (this.others.length > 0) lists.push(this.others);
  }
}

class PathIndexBuilder {
  readonly #exact = new Map<string, number[]>();
  readonly #prefixes = new Map<string, number[]>();
  readonly #others: number[] = [];

  add({ exact, prefix, regex }: RouteConditions["path"], rank: number): void {
    const beginning = regex === null ? "" : literalBeginning(regex);
    if (exact.length > 0) {
      for (const path of new Set(exact)) atKey(this.#exact, path, () => []).push(rank);
    } else if (prefix.length > 0) {
      for (const text of new Set(prefix)) atKey(this.#prefixes, text, () => []).push(rank);
    } else if (beginning !== "") {
      atKey(this.#prefixes, beginning, () => []).push(rank);
    } else {
      this.#others.push(rank);
    }
  }

  build(): PathIndex {
    return new PathIndex(this.#exact, new PrefixTable(this.#prefixes), this.#others);
  }
}

function atKey<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}

/** What every text begins with that the expression matches: `/api/` for `^/api/v[0-9]+`; "" if that is not plain. */
function literalBeginning(regex: string): string {
  const parsed = parseRegex(regex);
  if (!parsed.ok || parsed.value.root.kind !== "sequence") return "";
  const [first, ...rest] = parsed.value.root.parts;
  if (first?.kind !== "assert" || first.what !== "start") return "";
  let text = "";
  for (const part of rest) {
    const point = onlyPoint(part);
    if (point === null) break;
    text += String.fromCodePoint(point);
  }
  return text;
}

function onlyPoint(node: RegexNode): number | null {
  return node.kind === "set" && node.points.length === 2 && node.points[0] === node.points[1]
    ? node.points[0]
    : null;
}
