/**
 * Brings the forms that routing rules are written in to the one that the schema knows: short forms, those of
 * older documents, and the one that cannot work but stands in the examples of the program that ours follows.
 */
import { formatPath, type Path, pathKey } from "./problem.ts";
import { ruleSchema } from "./sections/routing.ts";
import { type Finding, isTable, type Table, valueAt } from "./tree.ts";

export interface RoutingForms {
  findings: Finding[];
  /** Where the file has what stands at `path` now. */
  pathInFile(path: Path): Path;
}

/** Changes `tree` in place. What cannot be understood stays as it is, for the schema to complain of. */
export function normaliseRoutingForms(tree: Table): RoutingForms {
  const forms = new Forms();
  const rules = valueAt(tree, ["routing", "rules"]);
  if (Array.isArray(rules)) {
    rules.forEach((rule, index) => {
      if (isTable(rule)) forms.rule(rule, ["routing", "rules", index]);
    });
  }
  return forms;
}

const OLD_CONDITIONS: Readonly<Record<string, string>> = {
  path_exact: "exact",
  path_prefix: "prefix",
  path_suffix: "suffix",
  path_contains: "contains",
  path_regex: "regex",
};
const OLD_ACTIONS: Readonly<Record<string, string>> = {
  add_headers: "add",
  set_headers: "set",
  remove_headers: "remove",
};

class Forms implements RoutingForms {
  readonly findings: Finding[] = [];
  /** Where the file has it, by what it is called now. */
  readonly #moved = new Map<string, Path>();

  pathInFile(path: Path): Path {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#moved.get(pathKey(path.slice(0, length)));
      if (origin !== undefined) return this.pathInFile([...origin, ...path.slice(length)]);
    }
    return path;
  }

  rule(rule: Table, path: Path): void {
    this.#misplaced(rule, rule, path, path);
    this.#oldName(rule, path, "match", "conditions", ["conditions"]);
    this.#oldName(rule, path, "transform", "request_actions", ["request_actions", "actions"]);
    for (const key of ["request_actions", "actions"]) this.#oldActions(rule[key], [...path, key]);
    const { conditions } = rule;
    if (!isTable(conditions)) return;
    const here = [...path, "conditions"];
    this.#oldPathConditions(conditions, here);
    for (const key of ["headers", "query_params"]) this.#namedConditions(conditions, key, here);
  }

  /**
   * `routing.rules.plugins_request = [...]` below a sub-table of the rule: TOML takes it for keys of that table,
   * whoever wrote it means the rule.
   */
  #misplaced(rule: Table, table: Table, rulePath: Path, path: Path): void {
    for (const [key, value] of Object.entries(table)) {
      const here = [...path, key];
      const meant = key === "routing" && isTable(value) ? value.rules : undefined;
      if (!isTable(value) || !isTable(meant)) {
        if (isTable(value)) this.#misplaced(rule, value, rulePath, here);
        continue;
      }
      for (const [name, setting] of Object.entries(meant)) {
        if (!Object.hasOwn(ruleSchema.shape, name) || Object.hasOwn(rule, name)) continue;
        const origin = [...here, "rules", name];
        this.#move(origin, [...rulePath, name]);
        rule[name] = setting;
        delete meant[name];
        const written = `${name} = ${JSON.stringify(setting)}`;
        this.#warn(
          origin,
          `stands in the table [${
            formatPath(path.filter((part) => typeof part === "string"))
          }], but is taken for the rule's own: write ${written} right below ` +
            "[[routing.rules]], before the first table of the rule",
        );
      }
      if (Object.keys(meant).length === 0) delete table[key];
    }
  }

  #oldName(table: Table, path: Path, old: string, name: string, taken: string[]): void {
    if (!Object.hasOwn(table, old) || taken.some((key) => Object.hasOwn(table, key))) return;
    table[name] = table[old];
    delete table[old];
    this.#move([...path, old], [...path, name]);
    this.#warn([...path, old], `${old} is the old name of ${name}: write ${name}`);
  }

  #oldActions(actions: unknown, path: Path): void {
    if (isTable(actions)) this.#intoTable(actions, path, "headers", OLD_ACTIONS);
  }

  #oldPathConditions(conditions: Table, path: Path): void {
    this.#intoTable(conditions, path, "path", OLD_CONDITIONS);
  }

  /** Puts `path_prefix` in its place as `path.prefix`, and the like. */
  #intoTable(table: Table, path: Path, into: string, names: Readonly<Record<string, string>>): void {
    for (const [old, name] of Object.entries(names)) {
      if (!Object.hasOwn(table, old)) continue;
      const inner = table[into] ??= {};
      if (!isTable(inner) || Object.hasOwn(inner, name)) continue;
      inner[name] = table[old];
      delete table[old];
      this.#move([...path, old], [...path, into, name]);
      this.#warn([...path, old], `${old} is the old form of ${into}.${name}: write ${into}.${name}`);
    }
  }

  /** `{ name = value }` becomes a list, and a value that is a text or a list what it has to equal. */
  #namedConditions(conditions: Table, key: string, path: Path): void {
    const here = [...path, key];
    const short = conditions[key];
    if (isTable(short)) {
      conditions[key] = Object.entries(short).map(([name, value], index) => {
        this.#move([...here, name], [...here, index, "name"]);
        this.#move([...here, name], [...here, index, "value"]);
        return { name, value };
      });
    }
    const list = conditions[key];
    if (!Array.isArray(list)) return;
    list.forEach((condition, index) => {
      if (!isTable(condition) || condition.value === undefined || isTable(condition.value)) return;
      condition.value = { equals: condition.value };
      this.#move([...here, index, "value"], [...here, index, "value", "equals"]);
    });
  }

  #move(from: Path, to: Path): void {
    this.#moved.set(pathKey(to), from);
  }

  #warn(path: Path, message: string): void {
    // The message is for the file as it stands there, whatever was moved before.
    this.findings.push({ severity: "warning", path: this.pathInFile(path), at: "key", message });
  }
}
