/** What no single key of `[routing]` can tell: names that must exist, keys that do not go together. */
import { nearest } from "./nearest.ts";
import { formatPath, type Path, quote } from "./problem.ts";
import { parseReplacement } from "./regex_replacement.ts";
import { parseRegex } from "./regex_syntax.ts";
import { mayHaveBody } from "./sections/route_actions.ts";
import { type Finding, isTable, type Table, valueAt } from "./tree.ts";

/** Works on the tree, as all cross-checks do: what is wrong elsewhere hides nothing. */
export function checkRouting(tree: Table): Finding[] {
  const known = new Names(tree);
  const findings = [...known.target(["routing", "default_target"])];
  const places = new Map<string, Path>();
  const rules = listAt(tree, ["routing", "rules"]);
  rules.forEach((rule, index) => {
    if (!isTable(rule)) return;
    const path: Path = ["routing", "rules", index];
    const { name } = rule;
    if (typeof name === "string") {
      const first = places.get(name);
      if (first === undefined) places.set(name, [...path, "name"]);
      else {
        findings.push(
          problem(
            [...path, "name"],
            `found ${quote(name)} again after ${formatPath(first)}, wanted unique names`,
          ),
        );
      }
    }
    findings.push(
      ...oneChoice(rule, path),
      ...known.ofRule(rule, path),
      ...split(rule, path),
      ...answers(rule, path),
      ...named(rule, path),
      ...replacement(tree, path),
    );
  });
  findings.push(...unreachable(rules));
  return findings;
}

/** The names that rules may refer to. */
class Names {
  readonly #targets: string[];
  readonly #groups: string[];
  readonly #plugins = new Map<string, Table>();
  readonly #pluginsRun: boolean;

  constructor(private readonly tree: Table) {
    const targets = listAt(tree, ["targets", "targets"]).filter(isTable);
    this.#targets = targets.map(({ name }) => name).filter((name) => typeof name === "string");
    this.#groups = targets.map(({ group }) => group).filter((group) => typeof group === "string");
    for (const plugin of listAt(tree, ["plugins", "plugins"])) {
      if (isTable(plugin) && typeof plugin.name === "string") this.#plugins.set(plugin.name, plugin);
    }
    this.#pluginsRun = valueAt(tree, ["plugins", "enabled"]) === true;
  }

  ofRule(rule: Table, path: Path): Finding[] {
    const choices = [path, ...listOf(rule.split).map((_part, index) => [...path, "split", index])];
    return [
      ...choices.flatMap((
        choice,
      ) => [...this.target([...choice, "target"]), ...this.#group([...choice, "group"])]),
      ...listOf(rule.targets).flatMap((_name, index) => this.target([...path, "targets", index])),
      ...this.target([...path, "mirror", "target"]),
      ...this.#pluginsOf(rule, path, "request"),
      ...this.#pluginsOf(rule, path, "response"),
    ];
  }

  target(path: Path): Finding[] {
    return this.#unknown(path, this.#targets, "target");
  }

  #group(path: Path): Finding[] {
    const noun = "group";
    return this.#unknown(
      path,
      this.#groups,
      noun,
      "no target has this group; it is set by targets.targets[].group",
    );
  }

  #unknown(path: Path, names: Iterable<string>, noun: string, ifNone?: string): Finding[] {
    const name = valueAt(this.tree, path);
    const all = new Set(names);
    if (typeof name !== "string" || all.has(name)) return [];
    const meant = nearest(name, all);
    const hint = meant !== null
      ? `did you mean ${quote(meant)}?`
      : all.size === 0
      ? ifNone ?? `there is no ${noun}`
      : `known are ${[...all].slice(0, 10).map(quote).join(", ")}${all.size > 10 ? ", …" : ""}`;
    return [problem(path, `found ${quote(name)}, wanted the name of a ${noun}: ${hint}`)];
  }

  #pluginsOf(rule: Table, path: Path, stage: "request" | "response"): Finding[] {
    const key = `plugins_${stage}`;
    return listOf(rule[key]).flatMap((name, index) => {
      const here = [...path, key, index];
      const plugin = typeof name === "string" ? this.#plugins.get(name) : undefined;
      if (plugin === undefined) return this.#unknown(here, this.#plugins.keys(), "plugin");
      if (!this.#pluginsRun) return [idle(here, "does not run, because plugins.enabled is false")];
      if (plugin.enabled === false) return [idle(here, "does not run, because the plugin is not enabled")];
      const at = plugin.stage ?? "request";
      if (at !== stage && at !== "both") {
        return [
          idle(here, `does not run, because the plugin's stage is ${String(at)}, not ${stage} or both`),
        ];
      }
      return [];
    });
  }
}

function oneChoice(rule: Table, path: Path): Finding[] {
  const given = ["target", "targets", "group", "split"].filter((key) => rule[key] !== undefined);
  return given.slice(1).map((key) =>
    keyProblem(
      [...path, key],
      `found beside ${given[0]}, wanted only one of target, targets, group and split`,
    )
  );
}

function split(rule: Table, path: Path): Finding[] {
  if (!Array.isArray(rule.split)) {
    if (rule.split !== undefined || rule.split_sticky === undefined) return [];
    return [idle([...path, "split_sticky"], "has no effect without split")];
  }
  const parts = rule.split.filter(isTable);
  const findings = rule.split.flatMap((part, index) => {
    if (!isTable(part) || (part.target === undefined) !== (part.group === undefined)) return [];
    return [keyProblem([...path, "split", index], "wanted one of target and group")];
  });
  if (parts.length > 0 && parts.every(({ weight }) => weight === 0)) {
    findings.push(keyProblem([...path, "split"], "every weight is 0, wanted one above 0"));
  }
  return findings;
}

/** A rule that answers itself does nothing else. */
function answers(rule: Table, path: Path): Finding[] {
  const { custom_response: answer, redirect } = rule;
  if (answer === undefined && redirect === undefined) return [];
  const findings: Finding[] = [];
  if (answer !== undefined && redirect !== undefined) {
    findings.push(keyProblem([...path, "redirect"], "found beside custom_response, wanted only one of them"));
  }
  if (isTable(answer) && typeof answer.status_code === "number" && !mayHaveBody(answer.status_code)) {
    if (answer.body !== undefined && answer.body !== "") {
      findings.push(
        problem(
          [...path, "custom_response", "body"],
          `found with status ${answer.status_code}, which has no body`,
        ),
      );
    }
  }
  const by = answer !== undefined ? "custom_response" : "redirect";
  for (const key of ["targets", "group", "split", "mirror", "response_actions", "plugins_response"]) {
    if (rule[key] === undefined) continue;
    findings.push({
      ...idle([...path, key], `has no effect beside ${by}, because nothing is forwarded`),
      at: "key",
    });
  }
  return findings;
}

/** What must not be there has no value that could fit. */
function named(rule: Table, path: Path): Finding[] {
  return ["headers", "query_params"].flatMap((key) =>
    listOf(isTable(rule.conditions) ? rule.conditions[key] : undefined).flatMap((condition, index) => {
      if (!isTable(condition) || condition.exists !== false) return [];
      if (condition.value === undefined && condition.value_regex === undefined) return [];
      const here = [...path, "conditions", key, index, "exists"];
      return [problem(here, "found false beside a value, wanted exists = false alone")];
    })
  );
}

function replacement(tree: Table, path: Path): Finding[] {
  const here = [...path, "request_actions", "path", "regex_replace"];
  const pattern = valueAt(tree, [...here, "pattern"]);
  const text = valueAt(tree, [...here, "replacement"]);
  if (typeof pattern !== "string" || typeof text !== "string") return [];
  const regex = parseRegex(pattern);
  if (!regex.ok) return [];
  const parsed = parseReplacement(text, regex.value);
  return parsed.ok
    ? []
    : [problem([...here, "replacement"], `found ${quote(text)}, wanted ${parsed.wanted}`)];
}

/** A rule without conditions takes all that is left for those after it. */
function unreachable(rules: unknown[]): Finding[] {
  const tried = rules.flatMap((rule, index) =>
    isTable(rule) && rule.enabled !== false
      ? [{ rule, index, priority: typeof rule.priority === "number" ? rule.priority : 0 }]
      : []
  ).sort((a, b) => b.priority - a.priority);
  const last = tried.findIndex(({ rule }) => takesAll(rule.conditions));
  if (last === -1 || last === tried.length - 1) return [];
  const { index } = tried[last];
  const next = tried[last + 1].rule.name;
  return [{
    ...idle(
      ["routing", "rules", index],
      `has no conditions and takes every request, so that the rules after it, from ${
        quote(String(next))
      } on, are ` +
        "never tried: give it a smaller priority",
    ),
    at: "key",
  }];
}

function takesAll(conditions: unknown): boolean {
  if (conditions === undefined) return true;
  if (!isTable(conditions)) return false;
  return Object.values(conditions).every((value) =>
    Array.isArray(value) ? value.length === 0 : isTable(value) && Object.keys(value).length === 0
  );
}

function listAt(tree: Table, path: Path): unknown[] {
  return listOf(valueAt(tree, path));
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function problem(path: Path, message: string): Finding {
  return { severity: "error", path, at: "value", message };
}

function keyProblem(path: Path, message: string): Finding {
  return { severity: "error", path, at: "key", message };
}

function idle(path: Path, message: string): Finding {
  return { severity: "warning", path, at: "value", message };
}
