/** docs/CONFIG.md: every key of the configuration, from the schema that checks the file. */
import { parse, stringify } from "smol-toml";
import * as z from "zod";
import { fieldNotes } from "../config/fields.ts";
import { PLUGIN_SETTINGS } from "../config/plugins/mod.ts";
import { configSchema, innerSchema, tableFields } from "../config/schema.ts";
import { type Json, jsonSchema } from "./config_schema.ts";

/** One key of the reference. */
interface Row {
  key: string;
  type: string;
  default: string;
  example: string;
  meaning: string;
}

interface Section {
  /** As it stands in a file: `[server]`, `[[targets.targets]]`. */
  heading: string;
  meaning: string;
  rows: Row[];
}

/** Values of the example files by path, list positions left out. */
type Examples = Map<string, unknown>;

/** @param files of which the first that has a key counts */
function examplesOf(files: string[]): Examples {
  const examples: Examples = new Map();
  for (const text of files) collect(parse(uncommented(text)), [], examples);
  return examples;
}

/** Also what an example shows commented out: keys and headings of lists. */
function uncommented(text: string): string {
  return text.replace(/^# (?=\[\[|[a-z0-9_.]+ = )/gm, "");
}

function collect(value: unknown, path: string[], into: Examples): void {
  const key = path.join(".");
  if (!into.has(key)) into.set(key, value);
  if (Array.isArray(value)) {
    for (const entry of value.filter(isTable)) collect(entry, path, into);
  } else if (isTable(value)) {
    for (const [name, entry] of Object.entries(value)) collect(entry, [...path, name], into);
  }
}

function isTable(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A value as it is written in a file, on one line. */
function toml(value: unknown): string {
  return stringify({ x: value }).replace(/^x = /, "").trim();
}

/** What the checker says is wanted, which names type, unit and range. */
function typeText(schema: z.ZodType): string {
  const inner = innerSchema(schema);
  if (inner instanceof z.ZodArray) {
    const element = inner.element as z.ZodType;
    return tableFields(element) === null ? `list: each ${typeText(element)}` : "list of tables";
  }
  const outcome = schema.safeParse(Symbol("impossible"));
  return outcome.success ? "any value" : outcome.error.issues[0].message;
}

function descriptionOf(schema: z.ZodType): string {
  return schema.description ?? innerSchema(schema).description ?? "";
}

function defaultText(schema: z.ZodType, json: Json): string {
  const note = fieldNotes.get(schema)?.defaultNote;
  if (note !== undefined) return note;
  return json.default === undefined ? "none" : `\`${toml(json.default)}\``;
}

function aliasesOf(schema: z.ZodType): readonly string[] {
  return fieldNotes.get(schema)?.aliases ?? [];
}

function sections(
  schema: z.ZodType,
  json: Json,
  path: string[],
  isList: boolean,
  meaning: string,
  examples: Examples,
): Section[] {
  const name = path.join(".");
  const own: Section = { heading: isList ? `[[${name}]]` : `[${name}]`, meaning, rows: [] };
  const below: Section[] = [];
  const properties = json.properties as Record<string, Json>;
  for (const [key, field] of Object.entries(tableFields(schema) ?? {})) {
    const here = [...path, key];
    const inner = innerSchema(field);
    const fieldJson = properties[key];
    // A key that this version refuses, to say so in words.
    if (inner instanceof z.ZodNever) continue;
    const element = inner instanceof z.ZodArray ? inner.element as z.ZodType : null;
    if (tableFields(field) !== null) {
      below.push(...sections(field, fieldJson, here, false, descriptionOf(field), examples));
    } else if (element !== null && tableFields(element) !== null) {
      below.push(...sections(element, fieldJson.items as Json, here, true, descriptionOf(field), examples));
    } else {
      own.rows.push(row(field, key, here, fieldJson, examples));
    }
  }
  return [...(path.length === 0 ? [] : [own]), ...below];
}

function row(schema: z.ZodType, key: string, path: string[], json: Json, examples: Examples): Row {
  const aliases = aliasesOf(schema);
  const example = [key, ...aliases].map((name) => examples.get([...path.slice(0, -1), name].join(".")))
    .find((value) => value !== undefined) ?? fieldNotes.get(schema)?.example ?? json.default;
  if (example === undefined) {
    throw new Error(`${path.join(".")} has no example: give its field one, or show it in a file of config/`);
  }
  const also = aliases.length === 0
    ? ""
    : ` Also written ${aliases.map((name) => `\`${name}\``).join(", ")}.`;
  return {
    key,
    type: typeText(schema),
    default: defaultText(schema, json),
    example: `\`${key} = ${toml(example)}\``,
    meaning: descriptionOf(schema) + also,
  };
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

function markdown(all: Section[]): string {
  const parts = [
    "# Configuration reference",
    "",
    "Every key of the configuration file. This page is generated from the schema that checks the file",
    "(`deno task docs`); `dispa validate --print` shows the values in use. Durations are numbers of seconds.",
    "A key that is left out has its default. An unknown key is a warning, or an error with",
    "`dispa validate --strict`; below `[security]` it is always an error. `${NAME}` in a value stands for an",
    "environment variable.",
    "",
    ...all.filter(({ rows }) => rows.length > 0).map(({ heading }) =>
      `- [\`${heading}\`](#${anchor(heading)})`
    ),
    "",
  ];
  for (const { heading, meaning, rows } of all) {
    if (rows.length === 0) continue;
    parts.push(`## \`${heading}\``, "", meaning, "");
    parts.push("| Key | Type | Default | Meaning | Example |", "|---|---|---|---|---|");
    for (const entry of rows) {
      const cells = [`\`${entry.key}\``, entry.type, entry.default, entry.meaning, entry.example];
      parts.push(`| ${cells.map(cell).join(" | ")} |`);
    }
    parts.push("");
  }
  return parts.join("\n");
}

/** As GitHub makes them. */
function anchor(heading: string): string {
  return heading.toLowerCase().replace(/[^a-z0-9_ -]/g, "").replaceAll(" ", "-");
}

/**
 * The page.
 * @param files of configuration, whose values are the examples
 */
export function configReference(files: string[]): string {
  const own = sections(configSchema, jsonSchema(configSchema), [], false, "", examplesOf(files));
  const plugins = Object.entries(PLUGIN_SETTINGS).flatMap(([type, settings]) => {
    const meaning = `Settings of a plugin of type \`${type}\`.`;
    return sections(settings, jsonSchema(settings), ["config"], false, meaning, new Map())
      .map((section) => ({ ...section, heading: `${section.heading} of ${type}` }));
  });
  return markdown([...own, ...plugins]);
}
