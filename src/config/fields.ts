/**
 * The kinds of values a configuration key can have. Every one carries the text that says what is allowed;
 * `check.ts` puts what was found before it. Durations turn from seconds into milliseconds here, and only here.
 */
import * as z from "zod";

/** What the checker needs to know of a field beyond its type. */
export interface FieldNotes {
  /** Other names the key may have in the file. */
  aliases?: readonly string[];
  /** Further spellings of a choice, in lower case without `_` and `-`, and what they stand for. */
  spellings?: Readonly<Record<string, string>>;
  /** A value that the reference shows for a key that no file in config/ shows. */
  example?: unknown;
  /** Table or list: what else may stand in its place in the file, which `normalise.ts` puts right. */
  shortForms?: readonly ("text" | "texts" | "table")[];
  /** How the default comes about, where it is not one fixed value. */
  defaultNote?: string;
  /** Table only: an unknown key is an error even without `--strict`. */
  closed?: boolean;
  /** Table only: it holds a plugin's settings; the key of this name beside it says of which type. */
  settingsOf?: string;
}

/** Filled while the modules of `sections/` load, read-only from then on. */
export const fieldNotes = z.registry<FieldNotes>();

/** Documents a key: meaning, unit, danger. The documentation is generated from it. */
export function field<Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  notes?: FieldNotes,
): Schema {
  const described = schema.describe(description);
  if (notes !== undefined) fieldNotes.add(described, notes);
  return described;
}

/** A table; keys it does not name are dropped here, and reported by `normalise.ts`. */
export function table<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.object(shape, { error: "a table" });
}

/** A table in which an unknown key must never pass: it may be a protection that somebody misspelt. */
export function closedTable<Shape extends z.ZodRawShape>(shape: Shape) {
  const schema = table(shape);
  fieldNotes.add(schema, { closed: true });
  return schema;
}

export function flag() {
  return z.boolean({ error: "true or false" });
}

/** Timers overflow at 2^31 ms (24.8 days) and then fire at once; a day is more than any of ours needs. */
const MAX_SECONDS = 86_400;

/** A duration; in the file in seconds, in the outcome in whole milliseconds. */
export function seconds(minimum = 0.001, maximum = MAX_SECONDS) {
  const error = `a number of seconds from ${minimum} to ${maximum}`;
  return z.number({ error }).min(minimum, { error }).max(maximum, { error })
    .transform((value) => Math.round(value * 1000));
}

/** The inverse of what `seconds` does. */
export function toSeconds(milliseconds: number): number {
  return milliseconds / 1000;
}

export function wholeNumber(minimum: number, maximum: number, noun = "a whole number") {
  const error = `${noun} from ${minimum} to ${maximum}`;
  return z.int({ error }).min(minimum, { error }).max(maximum, { error });
}

export function byteCount(minimum: number, maximum: number) {
  return wholeNumber(minimum, maximum, "a whole number of bytes");
}

/** A status of HTTP that tells of a failure. */
export function failureStatus() {
  return wholeNumber(400, 599, "a status");
}

/** 0 lets the system choose a free port. */
export function port() {
  return wholeNumber(0, 65_535, "a port");
}

export function decimal(minimum: number, maximum: number) {
  const error = `a number from ${minimum} to ${maximum}`;
  return z.number({ error }).min(minimum, { error }).max(maximum, { error });
}

/** One of a few words; `normalise.ts` accepts them in any case, with or without `_` and `-`. */
export function choice<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.enum(words, { error: `one of ${words.join(", ")}` });
}

/** Outcome of a parser of ours; `wanted` completes the sentence "found …, wanted". */
export type Parsed<Value> = { ok: true; value: Value } | { ok: false; wanted: string };

/** Text that `parse` understands. `wanted` is said when the value is not even a string. */
export function parsedText<Value>(wanted: string, parse: (text: string) => Parsed<Value>) {
  return z.string({ error: wanted }).transform((text, context): Value => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    context.issues.push({ code: "custom", message: parsed.wanted, input: text });
    return z.NEVER;
  });
}

/** One text or a list of them, each of which `parse` understands; the outcome is always a list. */
export function texts<Value>(noun: string, maximum: number, parse: (text: string) => Parsed<Value>) {
  const wanted = `${noun}, or a list of 1 to ${maximum} of them`;
  return z.unknown().transform((value, context): Value[] => {
    const entries: unknown[] = Array.isArray(value) ? value : [value];
    if (entries.length === 0 || entries.length > maximum) {
      context.issues.push({ code: "custom", message: wanted, input: value });
    }
    return entries.flatMap((entry, index) => {
      const parsed = typeof entry === "string" ? parse(entry) : { ok: false as const, wanted };
      if (parsed.ok) return [parsed.value];
      const path = Array.isArray(value) ? [index] : [];
      context.issues.push({ code: "custom", message: parsed.wanted, input: entry, path });
      return [];
    });
  });
}

export function list<Entry extends z.ZodType>(entry: Entry, maximum: number, noun: string) {
  return z.array(entry, { error: `a list of ${noun}` }).max(maximum, { error: `at most ${maximum} ${noun}` });
}
