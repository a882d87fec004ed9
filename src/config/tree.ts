/** From what the TOML parser gives to plain data: variables replaced, values no key can take refused. */
import { type Environment, readVariable } from "./environment.ts";
import { type Path, quote, showFound } from "./problem.ts";

export type Table = Record<string, unknown>;

/** Something to be said about a value; `check.ts` adds where it stands. */
export interface Finding {
  severity: "error" | "warning";
  path: Path;
  /** Whether the key or the value is to be pointed at. */
  at: "key" | "value";
  message: string;
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

export function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const segment of path) {
    if (typeof segment === "number") value = Array.isArray(value) ? value[segment] : undefined;
    else value = isTable(value) && Object.hasOwn(value, segment) ? value[segment] : undefined;
  }
  return value;
}

/** No key lies deeper than a few tables; what follows walks the tree recursively. */
export const MAX_DEPTH = 32;

/**
 * Copies the parsed file into plain objects. In strings, `${NAME}` and `${NAME:-default}` are replaced by
 * environment variables (an empty one counts as missing, as in a shell); `$${` stands for a literal `${`.
 */
export function readTree(parsed: Table, environment: Environment): { tree: Table; findings: Finding[] } {
  const findings: Finding[] = [];
  const refuse = (path: Path, message: string) =>
    findings.push({ severity: "error", path, at: "value", message });

  function copy(value: unknown, path: Path): unknown {
    if (typeof value === "string") {
      return replaceVariables(value, environment, (message) => refuse(path, message));
    }
    if (value instanceof Date) {
      refuse(path, "found a date, wanted a string, number, true, false, list or table");
    } else if (typeof value === "number" && !Number.isFinite(value)) {
      refuse(path, `found ${showFound(value)}, wanted a finite number`);
    } else if (typeof value === "object" && value !== null && path.length >= MAX_DEPTH) {
      refuse(path, `nested more than ${MAX_DEPTH} levels deep`);
      return null;
    } else if (Array.isArray(value)) {
      return value.map((entry, index) => copy(entry, [...path, index]));
    } else if (isTable(value)) {
      return copyTable(value, path);
    }
    return value;
  }
  const copyTable = (table: Table, path: Path): Table =>
    Object.fromEntries(Object.entries(table).map(([key, entry]) => [key, copy(entry, [...path, key])]));

  return { tree: copyTable(parsed, []), findings };
}

/** Who may see or send the configuration must not get a higher role by it. */
const ADMIN_TOKEN = /^DISPA_(?:ADMIN|EDITOR|VIEWER)_TOKEN$/;

function replaceVariables(text: string, environment: Environment, refuse: (message: string) => void): string {
  return text.replace(/\$\$\{|\$\{([^}]*)(\}?)/g, (whole, inside: string | undefined, closing: string) => {
    if (inside === undefined) return "${";
    const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside);
    if (closing === "" || parts === null) {
      refuse(`found ${quote(whole)}, wanted \${NAME} or \${NAME:-default}; a literal \${ is written $\${`);
      return whole;
    }
    const [, name, fallback] = parts;
    if (ADMIN_TOKEN.test(name)) {
      refuse(`environment variable ${name} opens the admin API and cannot be used in the configuration`);
      return whole;
    }
    const value = readVariable(environment, name);
    if (value !== undefined) return value;
    if (fallback !== undefined) return fallback;
    refuse(`environment variable ${name} is not set, wanted a value for it or \${${name}:-default}`);
    return whole;
  });
}

/** The inverse: text that `readTree` reads back as `text`. */
export function escapeVariables(text: string): string {
  // A function, because "$$" in a replacement text means "$".
  return text.replaceAll("${", () => "$${");
}
