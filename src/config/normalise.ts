/**
 * Brings the file's many accepted spellings to the one that the schema knows: other names of keys, choices
 * in any case. Reports keys that nobody knows.
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { fieldNotes } from "./fields.ts";
import { nearest } from "./nearest.ts";
import { settingsSchema } from "./plugins/mod.ts";
import { formatPath, type Path, pathKey, showFound } from "./problem.ts";
import { innerSchema, tableFields } from "./schema.ts";
import { isSecret } from "./secret_keys.ts";
import { type Finding, isTable, type Table } from "./tree.ts";

export interface Normalised {
  tree: Table;
  findings: Finding[];
  /** The path as the file spells it, which is the one to show and to look up. */
  pathInFile(path: Path): Path;
}

/** @param strict makes an unknown key an error */
export function normalise(schema: z.ZodType, tree: Table, strict: boolean): Normalised {
  const findings: Finding[] = [];
  /** Path as the schema has it -> last name of it in the file, where they differ. */
  const spelt = new Map<string, string>();
  const pathInFile = (path: Path): Path =>
    path.map((segment, index) => spelt.get(pathKey(path.slice(0, index + 1))) ?? segment);

  function visit(schema: z.ZodType, value: unknown, path: Path): unknown {
    const inner = innerSchema(schema);
    const fields = tableFields(schema);
    if (fields !== null && isTable(value)) {
      return visitTable(fields, value, path, strict || fieldNotes.get(inner)?.closed === true);
    }
    if (inner instanceof z.ZodArray && Array.isArray(value)) {
      const element = inner.element as z.ZodType;
      return value.map((entry, index) => visit(element, entry, [...path, index]));
    }
    if (inner instanceof z.ZodUnion && typeof value === "string") {
      const words = inner.options.find((option) => option instanceof z.ZodEnum);
      return words === undefined ? value : visit(words, value, path);
    }
    if (inner instanceof z.ZodEnum && typeof value === "string") {
      return choiceMeant(inner.options, value, fieldNotes.get(schema)?.spellings ?? {});
    }
    return value;
  }

  function visitTable(fields: Record<string, z.ZodType>, table: Table, path: Path, closed: boolean): Table {
    const owners = new Map<string, string>();
    for (const [name, schema] of Object.entries(fields)) {
      owners.set(name, name);
      for (const alias of fieldNotes.get(schema)?.aliases ?? []) owners.set(alias, name);
    }
    const schemaOf = (name: string): z.ZodType => {
      const by = fieldNotes.get(fields[name])?.settingsOf;
      const type = by === undefined ? undefined : visit(fields[by], table[by], []);
      return (typeof type === "string" ? settingsSchema(type) : null) ?? fields[name];
    };
    const known: Table = {};
    for (const [key, value] of Object.entries(table)) {
      const name = owners.get(key);
      if (name === undefined) {
        reportUnknown([...path, key], usableNames(fields), owners.keys(), closed);
      } else if (!Object.hasOwn(known, name)) {
        if (key !== name) spelt.set(pathKey([...path, name]), key);
        known[name] = visit(schemaOf(name), value, [...path, name]);
      } else if (!sameOutcome(fields[name], known[name], visit(fields[name], value, [...path, name]))) {
        const first = pathInFile([...path, name]).at(-1);
        const secret = isSecret([...path, name], () => null);
        const shown = (value: unknown) => secret ? "a secret value" : showFound(value);
        findings.push({
          severity: "error",
          path: [...pathInFile(path), key],
          at: "value",
          message: `found ${shown(value)}, but ${first}, which means the same, is ${
            shown(known[name])
          }: wanted only one of them`,
        });
      }
    }
    return known;
  }

  function reportUnknown(path: Path, names: string[], spellings: Iterable<string>, closed: boolean): void {
    const meant = nearest(String(path.at(-1)), spellings);
    const parent = formatPath(pathInFile(path.slice(0, -1)));
    findings.push({
      severity: closed ? "error" : "warning",
      path: pathInFile(path),
      at: "key",
      message: meant !== null
        ? `unknown key, did you mean ${meant}?`
        : `unknown key, known ${parent === "" ? "at the top" : `in ${parent}`} are ${names.join(", ")}`,
    });
  }

  return { tree: visit(schema, tree, []) as Table, findings, pathInFile };
}

function usableNames(fields: Record<string, z.ZodType>): string[] {
  return Object.keys(fields).filter((name) => !(innerSchema(fields[name]) instanceof z.ZodNever));
}

/** Two spellings of a key may both be there if they say the same: the seed's own files do that. */
function sameOutcome(schema: z.ZodType, one: unknown, other: unknown): boolean {
  const outcome = schema.safeParse(one);
  const otherOutcome = schema.safeParse(other);
  if (outcome.success && otherOutcome.success) return isDeepStrictEqual(outcome.data, otherOutcome.data);
  return isDeepStrictEqual(one, other);
}

function choiceMeant(
  options: readonly (string | number)[],
  text: string,
  spellings: Readonly<Record<string, string>>,
): string {
  const plain = (word: string) => word.toLowerCase().replace(/[_-]/g, "");
  const word = plain(text);
  if (Object.hasOwn(spellings, word)) return spellings[word];
  return options.map(String).find((option) => plain(option) === word) ?? text;
}
