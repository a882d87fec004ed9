/** What a rule does to requests and answers, and the answers it gives itself. */
import * as z from "zod";
import { field, parsedText, table, wholeNumber } from "../fields.ts";
import type { Parsed } from "../fields.ts";
import { parseHeaderName, parseHeaderValue, parseHostField } from "../header_fields.ts";
import type {
  CustomResponse,
  FieldText,
  HeaderActions,
  PathActions,
  RedirectConfig,
  TextReplacement,
} from "../model.ts";
import { parseRegexText } from "../regex_syntax.ts";
import { hasDotSegment } from "../text_values.ts";

const MAX_FIELDS = 100;
const MAX_PATH_LENGTH = 1024;
const MAX_BODY_LENGTH = 1_048_576;
const DEFAULT_CONTENT_TYPE = "text/plain; charset=utf-8";
/** RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: answers without content. */
const WITHOUT_BODY: readonly number[] = [204, 205, 304];

/** Fields as a table of names and values; `parse` may have more to say of a value. */
function fieldTexts(parse: (name: string, value: string) => Parsed<string>) {
  const texts = z.record(z.string(), z.string({ error: "the value of a header field in quotes" }), {
    error: "a table of header fields",
  });
  return texts.transform((record, context): FieldText[] => {
    const entries = Object.entries(record);
    if (entries.length > MAX_FIELDS) {
      context.issues.push({ code: "custom", message: `at most ${MAX_FIELDS} header fields`, input: record });
    }
    return entries.flatMap(([key, text]) => {
      const name = parseHeaderName(key);
      const value = name.ok ? parse(name.value, text) : name;
      if (name.ok && value.ok) return [{ name: name.value, value: value.value }];
      context.issues.push({
        code: "custom",
        message: value.ok ? "" : value.wanted,
        input: text,
        path: [key],
      });
      return [];
    });
  }).prefault({});
}

function parseNewRequestField(name: string, value: string): Parsed<string> {
  return name === "host" ? parseHostField(value) : parseHeaderValue(value);
}

function parseFurtherField(name: string, value: string): Parsed<string> {
  if (name === "host") return { ok: false, wanted: "host in set: a request has only one" };
  return parseHeaderValue(value);
}

function parseRemovedField(text: string): Parsed<string> {
  const name = parseHeaderName(text);
  if (name.ok && name.value === "host") {
    return { ok: false, wanted: "another header field: requests need a host" };
  }
  return name;
}

function removedFields() {
  return z.array(parsedText("the name of a header field in quotes", parseRemovedField), {
    error: "a list of names of header fields",
  }).max(MAX_FIELDS, { error: `at most ${MAX_FIELDS} names` }).prefault([]);
}

function headerSchema(message: string) {
  return table({
    remove: field(removedFields(), `Names of fields that are taken out of the ${message}; this comes first.`),
    set: field(
      fieldTexts(parseNewRequestField),
      `Fields of the ${message} that get one value in place of all they had.`,
    ),
    add: field(
      fieldTexts(parseFurtherField),
      `Fields that are added to the ${message} beside those there are.`,
    ),
  });
}

function parsePathPart(text: string): Parsed<string> {
  if (text.length > MAX_PATH_LENGTH || /[?#\\]|%[0-9A-Fa-f]{2}|\p{Cc}/u.test(text)) {
    return {
      ok: false,
      wanted:
        `up to ${MAX_PATH_LENGTH} characters of a path, not percent-encoded, without ?, # and \\: it is encoded later`,
    };
  }
  if (hasDotSegment(text)) return { ok: false, wanted: 'a part of a path without "." and ".." segments' };
  return { ok: true, value: text };
}

function parseNonEmptyPathPart(text: string): Parsed<string> {
  return text === "" ? { ok: false, wanted: "at least one character" } : parsePathPart(text);
}

function replacementSchema(pattern: z.ZodType<string, string>, place: string) {
  return table({
    pattern: field(pattern, `What is replaced: ${place}.`, { aliases: ["from"] }),
    replacement: field(
      parsedText("text in quotes", parsePathPart),
      "What takes its place.",
      { aliases: ["to"] },
    ),
  });
}

const plainPattern = () => parsedText("text in quotes", parseNonEmptyPathPart);

const pathActionsSchema = table({
  replace_prefix: field(
    replacementSchema(plainPattern(), "plain text that the path begins with").optional(),
    "Replaces the beginning of the path where it is pattern.",
  ),
  replace_suffix: field(
    replacementSchema(plainPattern(), "plain text that the path ends with").optional(),
    "Replaces the end of the path where it is pattern.",
  ),
  regex_replace: field(
    replacementSchema(
      parsedText("a regular expression in quotes", parseRegexText),
      "a regular expression like that of conditions.path.regex, every match of which is replaced",
    ).optional(),
    "Replaces every match of pattern. In replacement $1 is what the first group matched, $<name> that of a named " +
      "group, $0 the whole match and $$ a dollar.",
  ),
  add_prefix: field(
    parsedText('a path such as "/v1"', parsePathPart).prefault(""),
    "What is put before the path.",
  ),
  add_suffix: field(parsedText("text in quotes", parsePathPart).prefault(""), "What is put behind the path."),
});

export const requestActionsSchema = table({
  headers: field(headerSchema("request").prefault({}), "Header fields: remove, then set, then add."),
  path: field(
    pathActionsSchema.prefault({}),
    "The path, in the form it is matched in and in the order replace_prefix, replace_suffix, regex_replace, " +
      "add_prefix, add_suffix. The query stays. The outcome is percent-encoded; . and .. in it are resolved.",
  ),
});

export const responseActionsSchema = table({
  headers: field(headerSchema("answer").prefault({}), "Header fields: remove, then set, then add."),
});

export const customResponseSchema = table({
  status_code: field(wholeNumber(200, 599, "a status").prefault(200), "Status of the answer."),
  headers: field(fieldTexts((_name, value) => parseHeaderValue(value)), "Header fields of the answer."),
  body: field(
    z.string({ error: "text in quotes" })
      .max(MAX_BODY_LENGTH, { error: `at most ${MAX_BODY_LENGTH} characters` }).prefault(""),
    "Body of the answer, sent as UTF-8; not for status 204, 205 and 304.",
  ),
  content_type: field(
    parsedText("a media type in quotes", parseHeaderValue).prefault(DEFAULT_CONTENT_TYPE),
    "Its content-type, where headers has none.",
  ),
});

/** Whether an answer with that status may have a body. */
export function mayHaveBody(status: number): boolean {
  return !WITHOUT_BODY.includes(status);
}

const PLACEHOLDERS = ["scheme", "host", "path", "query"];
const REDIRECTS = [301, 302, 303, 307, 308];

function parseRedirectTarget(text: string): Parsed<string> {
  for (const [, name] of text.matchAll(/\{([^}]*)\}?/g)) {
    if (!PLACEHOLDERS.includes(name)) {
      return { ok: false, wanted: `of the placeholders only {${PLACEHOLDERS.join("}, {")}}` };
    }
  }
  if (
    !/^(?:https?:\/\/|\{scheme\}:\/\/|\/(?!\/|\{path\})|\{path\})[\x21-\x7e]*$/.test(text) ||
    text.length > 2048
  ) {
    return {
      ok: false,
      wanted: 'where to, such as "https://{host}{path}{query}" or "/new{query}", percent-encoded',
    };
  }
  return { ok: true, value: text };
}

export const redirectSchema = table({
  to: field(
    parsedText("where to, in quotes", parseRedirectTarget),
    "Where the client is sent, e.g. https://{host}{path}{query}. {scheme} is how the client asked, {host} its host " +
      "without the port, {path} the path after request_actions.path, {query} the query with its ?, or nothing.",
    { aliases: ["location"] },
  ),
  status_code: field(
    z.int({ error: `one of ${REDIRECTS.join(", ")}` })
      .refine((status) => REDIRECTS.includes(status), { error: `one of ${REDIRECTS.join(", ")}` })
      .prefault(302),
    "Status of the answer: 301 and 308 are for ever, and browsers remember them; 307 and 308 keep method and body.",
  ),
});

export function headersFromFile(file: z.output<ReturnType<typeof headerSchema>>): HeaderActions {
  return { remove: file.remove, set: file.set, add: file.add };
}

export function headersToFile(headers: HeaderActions) {
  return { remove: headers.remove, set: recordOf(headers.set), add: recordOf(headers.add) };
}

function recordOf(fields: FieldText[]): Record<string, string> {
  return Object.fromEntries(fields.map(({ name, value }) => [name, value]));
}

export function pathFromFile(file: z.output<typeof pathActionsSchema>): PathActions {
  return {
    replacePrefix: file.replace_prefix ?? null,
    replaceSuffix: file.replace_suffix ?? null,
    regexReplace: file.regex_replace ?? null,
    addPrefix: file.add_prefix,
    addSuffix: file.add_suffix,
  };
}

export function pathToFile(path: PathActions) {
  const given = (replacement: TextReplacement | null) => replacement ?? undefined;
  return {
    replace_prefix: given(path.replacePrefix),
    replace_suffix: given(path.replaceSuffix),
    regex_replace: given(path.regexReplace),
    add_prefix: path.addPrefix,
    add_suffix: path.addSuffix,
  };
}

export function customResponseFromFile(file: z.output<typeof customResponseSchema>): CustomResponse {
  return {
    status: file.status_code,
    headers: file.headers,
    body: file.body,
    contentType: file.content_type,
  };
}

export function customResponseToFile(answer: CustomResponse) {
  return {
    status_code: answer.status,
    headers: recordOf(answer.headers),
    body: answer.body,
    content_type: answer.contentType,
  };
}

export function redirectFromFile(file: z.output<typeof redirectSchema>): RedirectConfig {
  return { to: file.to, status: file.status_code };
}

export function redirectToFile(redirect: RedirectConfig) {
  return { to: redirect.to, status_code: redirect.status };
}
