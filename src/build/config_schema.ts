/** The configuration's JSON Schema for editors. It is lenient where the program is: what it refuses is wrong. */
import * as z from "zod";
import { fieldNotes } from "../config/fields.ts";
import { PLUGIN_SETTINGS } from "../config/plugins/mod.ts";
import { configSchema, innerSchema, tableFields } from "../config/schema.ts";

export type Json = Record<string, unknown>;

/** The draft that editors of TOML know best. */
const OPTIONS = { io: "input", target: "draft-7", unrepresentable: "any" } as const;

/** What zod says of a schema, without the defaults that hold for one machine only. */
export function jsonSchema(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, {
    ...OPTIONS,
    override: ({ zodSchema, jsonSchema }) => {
      if (fieldNotes.get(zodSchema as unknown as z.ZodType)?.defaultNote !== undefined) {
        delete jsonSchema.default;
      }
    },
  }) as Json;
}

export function configJsonSchema(): Json {
  const schema = lenient(configSchema, jsonSchema(configSchema));
  const plugin = at(schema, "plugins", "plugins").items as Json;
  return {
    ...schema,
    title: "Dispa configuration",
    definitions: Object.fromEntries(
      Object.entries(PLUGIN_SETTINGS).map(([type, settings]) => {
        const { $schema: _same, ...body } = lenient(settings, jsonSchema(settings));
        return [type, body];
      }),
    ),
    properties: withPluginSettings(schema.properties as Json, plugin),
  };
}

function at(schema: Json, ...keys: string[]): Json {
  return keys.reduce((inner, key) => (inner.properties as Record<string, Json>)[key], schema);
}

/** `config` of a plugin has the keys of its `type`. */
function withPluginSettings(properties: Json, plugin: Json): Json {
  const plugins = properties.plugins as Json;
  const inner = plugins.properties as Record<string, Json>;
  const allOf = Object.keys(PLUGIN_SETTINGS).map((type) => ({
    if: { properties: { type: { type: "string", pattern: anySpelling([type]) } }, required: ["type"] },
    then: { properties: { config: { $ref: `#/definitions/${type}` } } },
  }));
  return {
    ...properties,
    plugins: {
      ...plugins,
      properties: { ...inner, plugins: { ...inner.plugins, items: { ...plugin, allOf } } },
    },
  };
}

/** With the other names of keys, the other spellings of words and the short forms, and without unknown keys. */
function lenient(schema: z.ZodType, json: Json): Json {
  const inner = innerSchema(schema);
  if (inner instanceof z.ZodEnum) return choice(schema, inner, json);
  if (inner instanceof z.ZodArray) {
    return { ...json, items: lenient(inner.element as z.ZodType, json.items as Json) };
  }
  const fields = tableFields(schema);
  if (fields === null) return json;
  const properties: Record<string, Json> = {};
  const renamed = new Set<string>();
  for (const [key, field] of Object.entries(fields)) {
    const known = withShortForms(field, lenient(field, (json.properties as Record<string, Json>)[key]));
    properties[key] = known;
    for (const alias of fieldNotes.get(field)?.aliases ?? []) {
      properties[alias] = { ...known, description: `Another name of ${key}.` };
      renamed.add(key);
    }
  }
  const required = (json.required as string[] | undefined)?.filter((key) => !renamed.has(key));
  const { required: _all, ...rest } = json;
  return {
    ...rest,
    properties,
    ...(required === undefined || required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

function choice(schema: z.ZodType, inner: z.ZodEnum, json: Json): Json {
  const { enum: words, type: _type, ...rest } = json;
  const others = Object.keys(fieldNotes.get(schema)?.spellings ?? {});
  const pattern = anySpelling([...inner.options.map(String), ...others]);
  return { ...rest, anyOf: [{ enum: words }, { type: "string", pattern }] };
}

/** Words in any case, with or without _ and - between their letters. */
function anySpelling(words: string[]): string {
  const forms = words.map((word) =>
    [...word.replace(/[_-]/g, "")].map((letter) =>
      /[a-z]/.test(letter) ? `[${letter}${letter.toUpperCase()}]` : letter
    ).join("[_-]*")
  );
  return `^(${forms.join("|")})$`;
}

function withShortForms(schema: z.ZodType, json: Json): Json {
  const forms = (fieldNotes.get(schema)?.shortForms ?? []).map((form) => SHORT_FORMS[form]);
  if (forms.length === 0) return json;
  const { description, ...long } = json;
  return { description, anyOf: [long, ...forms] };
}

const SHORT_FORMS = {
  text: { type: "string" },
  texts: { type: "array", items: { type: "string" } },
  table: { type: "object" },
} as const;
