/** From the text of a configuration file to the checked configuration, or to all that is wrong with it. */
import { parse, TomlError } from "smol-toml";
import type * as z from "zod";
import { crossCheck } from "./cross_checks.ts";
import { collectOverrides, type Environment, type Override, type Overrides } from "./environment.ts";
import { readErrorPageFiles } from "./error_page_files.ts";
import { fieldNotes } from "./fields.ts";
import { checkFiles } from "./file_checks.ts";
import { createLocator } from "./locate.ts";
import type { Config } from "./model.ts";
import { normalise } from "./normalise.ts";
import { formatPath, type Path, pathKey, type Problem, showFound } from "./problem.ts";
import { settingsSchema } from "./plugins/mod.ts";
import { normaliseRoutingForms } from "./routing_forms.ts";
import { configFromFile, configSchema, fieldAt } from "./schema.ts";
import { isSecret } from "./secret_keys.ts";
import { type Finding, isTable, readTree, type Table, valueAt } from "./tree.ts";

export interface CheckOptions {
  /** What problems call the file. */
  path: string;
  /** Flags of the command line. */
  overrides?: Overrides;
  /** Default: the environment of the process. */
  environment?: Environment;
  /** Makes an unknown key an error. Default false. */
  strict?: boolean;
}

export type CheckResult =
  | { ok: true; config: Config; warnings: Problem[] }
  | { ok: false; problems: Problem[]; warnings: Problem[] };

/**
 * Checks the text of a configuration file. Reads the environment, and the certificates, plugin modules and
 * error pages that the text names, touches nothing else. Never throws for what may stand in the text; every problem is
 * reported, in the order of the file.
 */
export async function checkConfig(text: string, options: CheckOptions): Promise<CheckResult> {
  const environment = options.environment ?? Deno.env;
  const parsed = parseToml(text, options.path);
  if (!parsed.ok) return { ok: false, problems: [parsed.problem], warnings: [] };

  const { overrides, problems: overrideProblems } = collectOverrides(environment, options.overrides ?? {});
  const raw = readTree(parsed.table, environment);
  const replaced = applyOverrides(raw.tree, overrides);
  const routing = normaliseRoutingForms(raw.tree);
  const normal = normalise(configSchema, raw.tree, options.strict ?? false);
  const outcome = configSchema.safeParse(normal.tree);

  const issues = [...(outcome.error?.issues ?? []), ...settingsIssues(normal.tree)];
  const errorPages = await readErrorPageFiles(normal.tree);
  const own = [
    ...schemaFindings(issues, normal.tree),
    ...crossCheck(normal.tree),
    ...await checkFiles(normal.tree),
    ...errorPages.findings,
  ];
  const inFile: Finding[] = [
    ...raw.findings.filter(({ path }) => !replaced.has(pathKey(path))),
    ...routing.findings,
    ...normal.findings.map((finding) => ({ ...finding, path: routing.pathInFile(finding.path) })),
  ];
  // A value that could not even be read needs no second complaint about its form.
  const refused = new Set(
    inFile.filter(({ severity }) => severity === "error").map(({ path }) => pathKey(path)),
  );
  const problems = [...overrideProblems];
  for (const finding of own) {
    const origin = overrides.findLast(({ path }) => pathKey(path) === pathKey(finding.path));
    if (origin !== undefined) problems.push(fromOverride(finding, origin));
    else {
      const path = routing.pathInFile(normal.pathInFile(finding.path));
      if (!refused.has(pathKey(path))) inFile.push({ ...finding, path });
    }
  }
  problems.push(...await placeInFile(inFile, text, options.path));

  const warnings = limited(problems.filter(({ severity }) => severity === "warning"));
  const errors = limited(problems.filter(({ severity }) => severity === "error"));
  if (errors.length > 0 || !outcome.success) return { ok: false, problems: errors, warnings };
  return { ok: true, config: configFromFile(outcome.data, errorPages.texts), warnings };
}

function parseToml(
  text: string,
  source: string,
): { ok: true; table: Table } | { ok: false; problem: Problem } {
  try {
    return { ok: true, table: parse(text, { maxDepth: 100, unsafeKeyBehaviour: "throw" }) };
  } catch (error) {
    const place = error instanceof TomlError ? error : { line: null, column: null };
    const reason = String(error instanceof Error ? error.message : error)
      .split("\n", 1)[0].replace(/^Invalid TOML document: /, "");
    // The parser's word for a string that runs into the end of its line.
    const hint = reason.startsWith("control characters are not allowed")
      ? "; is a closing quotation mark missing?"
      : "";
    return {
      ok: false,
      problem: {
        severity: "error",
        source,
        line: place.line,
        column: place.column,
        key: "",
        message: `not valid TOML: ${reason}${hint}`,
      },
    };
  }
}

/**
 * Puts values of environment and flags in the place of the file's.
 * @returns the keys of the paths, in every spelling, whose value in the file no longer matters
 */
function applyOverrides(tree: Table, overrides: readonly Override[]): Set<string> {
  const replaced = new Set<string>();
  for (const { path, value } of overrides) {
    const parents = path.slice(0, -1);
    const name = String(path.at(-1));
    let table: unknown = tree;
    for (const parent of parents) {
      if (!isTable(table)) break;
      table = table[parent] ??= {};
    }
    // If a section is no table, the schema says so; there is no place to put the value.
    if (!isTable(table)) continue;
    for (const spelling of [name, ...(fieldNotes.get(fieldAt(path))?.aliases ?? [])]) {
      delete table[spelling];
      replaced.add(pathKey([...parents, spelling]));
    }
    table[name] = value;
  }
  return replaced;
}

/** What is wrong with the settings of plugins, each checked by the schema of its type. */
function settingsIssues(tree: Table): z.core.$ZodIssue[] {
  const plugins = valueAt(tree, ["plugins", "plugins"]);
  if (!Array.isArray(plugins)) return [];
  return plugins.flatMap((plugin, index) => {
    const config = valueAt(plugin, ["config"]) ?? {};
    const schema = settingsSchema(String(valueAt(plugin, ["type"])));
    if (schema === null || !isTable(config)) return [];
    const issues = schema.safeParse(config).error?.issues ?? [];
    return issues.map((issue) => ({
      ...issue,
      path: ["plugins", "plugins", index, "config", ...issue.path],
    }));
  });
}

function schemaFindings(issues: readonly z.core.$ZodIssue[], tree: Table): Finding[] {
  // A number can break two rules of one range, which are told by the same words.
  const findings = new Map<string, Finding>();
  for (const issue of issues) {
    const finding = fromIssue(issue, tree);
    findings.set(`${pathKey(finding.path)} ${finding.message}`, finding);
  }
  return [...findings.values()];
}

function fromIssue(issue: z.core.$ZodIssue, tree: Table): Finding {
  const path = issue.path.map((segment) => typeof segment === "number" ? segment : String(segment));
  if (issue.code === "invalid_type" && issue.expected === "never") {
    return { severity: "error", path, at: "key", message: issue.message };
  }
  if (issue.code === "invalid_key") {
    const [{ message }] = issue.issues;
    return {
      severity: "error",
      path,
      at: "key",
      message: `found ${showFound(path.at(-1))}, wanted ${message}`,
    };
  }
  const found = valueAt(tree, path);
  // Problems go to logs and to people who may not see secrets.
  const shown = isSecret(path, (at) => textAt(tree, at)) ? "a secret value" : showFound(found);
  const state = found === undefined ? "missing" : `found ${shown}`;
  return {
    severity: "error",
    path,
    at: found === undefined ? "key" : "value",
    message: `${state}, wanted ${issue.message}`,
  };
}

function textAt(tree: Table, path: Path): string | null {
  const value = valueAt(tree, path);
  return typeof value === "string" ? value : null;
}

function fromOverride({ severity, message }: Finding, { source, name }: Override): Problem {
  return { severity, source, line: null, column: null, key: name, message };
}

async function placeInFile(findings: Finding[], text: string, source: string): Promise<Problem[]> {
  if (findings.length === 0) return [];
  const locator = await createLocator(text);
  const problems = findings.map(({ severity, path, at, message }): Problem => {
    const position = locator?.[at](path) ?? { line: null, column: null };
    return {
      severity,
      source,
      line: position.line,
      column: position.column,
      key: formatPath(path),
      message,
    };
  });
  return problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** Nobody reads more, and a log must not be flooded by a hostile file. */
const MAX_LISTED = 500;

function limited(problems: Problem[]): Problem[] {
  if (problems.length <= MAX_LISTED) return problems;
  const rest = problems.length - MAX_LISTED;
  const last: Problem = {
    ...problems[MAX_LISTED],
    line: null,
    column: null,
    key: "",
    message: `and ${rest} more of these`,
  };
  return [...problems.slice(0, MAX_LISTED), last];
}
