/** `[routing.rules.conditions]`: what a request has to be like for a rule. */
import type * as z from "zod";
import { parseDomainPattern } from "../domain_pattern.ts";
import { closedTable, field, flag, list, type Parsed, parsedText, texts } from "../fields.ts";
import { parseHeaderName } from "../header_fields.ts";
import { parseIpRange } from "../ip_range.ts";
import type { NamedCondition, RouteConditions, TextCondition } from "../model.ts";
import { parseRegexText } from "../regex_syntax.ts";
import { hasDotSegment } from "../text_values.ts";

const MAX_TEXTS = 100;
const MAX_NAMED = 50;
const MAX_TEXT_LENGTH = 1024;

const REGEX_NOTE =
  "Regular expressions are those of JavaScript and Rust without lookaround and backreferences, matched in " +
  "time that grows with the text; . is any character, (?i) at the start ignores the case of ASCII letters. " +
  "Without ^ and $ any part may match.";

function regex() {
  return parsedText("a regular expression in quotes", parseRegexText).optional();
}

/** In the form that paths are matched in: decoded, without dot segments and empty ones. */
function parsePathText(text: string, kind: "exact" | "prefix" | "part"): Parsed<string> {
  const wanted = (rest: string) => ({ ok: false as const, wanted: `a path as it is matched, ${rest}` });
  if (text === "" || text.length > MAX_TEXT_LENGTH) return wanted(`of 1 to ${MAX_TEXT_LENGTH} characters`);
  if (kind !== "part" && !text.startsWith("/")) return wanted('which begins with "/"');
  if (/%[0-9A-Fa-f]{2}/.test(text)) return wanted("percent-decoded (write the character itself)");
  if (/[?#]/.test(text)) return wanted("without ? and #; what follows a ? is for query_params");
  // deno-lint-ignore no-control-regex -- no decoded path may be told to hold a NUL
  if (/\/\/|\\|\u0000/.test(text)) return wanted("without // and \\");
  const whole = kind === "exact" ? text : text.replace(/[^/]*$/, "");
  if (hasDotSegment(whole.replace(/^[^/]*/, ""))) return wanted('without "." and ".." segments');
  return { ok: true, value: text };
}

function parseHostText(text: string): Parsed<string> {
  const parsed = parseDomainPattern(text);
  if (!parsed.ok || !parsed.value.includes("*")) return parsed;
  return { ok: false, wanted: "a whole host name; parts of one are for contains and regex" };
}

function parseHostPart(text: string): Parsed<string> {
  const part = text.toLowerCase();
  return /^[a-z0-9._:[\]-]{1,253}$/.test(part)
    ? { ok: true, value: part }
    : { ok: false, wanted: "a part of a host name in ASCII, without a port" };
}

function parseValue(text: string): Parsed<string> {
  return text.length <= MAX_TEXT_LENGTH
    ? { ok: true, value: text }
    : { ok: false, wanted: `at most ${MAX_TEXT_LENGTH} characters` };
}

function parsePartOfValue(text: string): Parsed<string> {
  return text === "" ? { ok: false, wanted: "at least one character" } : parseValue(text);
}

function parseMethod(text: string): Parsed<string> {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(text)
    ? { ok: true, value: text.toUpperCase() }
    : { ok: false, wanted: 'a method such as "GET"' };
}

function parseParameterName(text: string): Parsed<string> {
  return text !== "" && text.length <= 256
    ? { ok: true, value: text }
    : { ok: false, wanted: "the decoded name of a query parameter, 1 to 256 characters" };
}

const pathSchema = closedTable({
  exact: field(
    texts("a path in quotes", MAX_TEXTS, (text) => parsePathText(text, "exact")).optional(),
    "The whole path, or a list of paths.",
  ),
  prefix: field(
    texts("a path in quotes", MAX_TEXTS, (text) => parsePathText(text, "prefix")).optional(),
    "How the path begins, or a list of beginnings. Plain text: /api takes /apiary too, /api/ does not.",
  ),
  suffix: field(
    texts("text in quotes", MAX_TEXTS, (text) => parsePathText(text, "part")).optional(),
    "How the path ends, or a list of endings.",
  ),
  contains: field(
    texts("text in quotes", MAX_TEXTS, (text) => parsePathText(text, "part")).optional(),
    "What stands somewhere in the path, or a list of such texts.",
  ),
  regex: field(regex(), `A regular expression that the path matches. ${REGEX_NOTE}`),
});

const hostSchema = closedTable({
  exact: field(
    texts("a host name in quotes", MAX_TEXTS, parseHostText).optional(),
    "The host without its port, or a list of hosts. Case does not matter.",
  ),
  contains: field(
    texts("text in quotes", MAX_TEXTS, parseHostPart).optional(),
    "What stands somewhere in the host, or a list of such texts.",
  ),
  regex: field(regex(), "A regular expression that the host, in lower case, matches."),
});

/** A text or a list in its place is brought to `equals` by `routing_forms.ts`. */
const valueSchema = closedTable({
  contains: field(
    texts("text in quotes", MAX_TEXTS, parsePartOfValue).optional(),
    "What stands somewhere in the value.",
  ),
  starts_with: field(
    texts("text in quotes", MAX_TEXTS, parsePartOfValue).optional(),
    "How the value begins.",
  ),
  ends_with: field(texts("text in quotes", MAX_TEXTS, parsePartOfValue).optional(), "How the value ends."),
  equals: field(texts("text in quotes", MAX_TEXTS, parseValue).optional(), "The whole value."),
});

function namedSchema(noun: string, parseNameText: (text: string) => Parsed<string>) {
  return closedTable({
    name: field(parsedText("a name in quotes", parseNameText), `Name of the ${noun}.`),
    value: field(
      valueSchema.optional(),
      `What the ${noun} has to be: a text, a list of texts, or a table with contains, starts_with or ends_with. ` +
        "Case counts. Where it is there several times, one of them has to fit.",
      { shortForms: ["text", "texts"] },
    ),
    value_regex: field(regex(), `A regular expression that the ${noun}'s value matches.`),
    exists: field(
      flag().optional(),
      `With false the ${noun} must not be there; with true, or nothing beside name, it has to be.`,
    ),
  });
}

export const conditionsSchema = closedTable({
  method: field(
    texts("a method in quotes", MAX_TEXTS, parseMethod).optional(),
    "Methods, one of which the request has.",
    { aliases: ["methods"] },
  ),
  path: field(
    pathSchema.prefault({}),
    "The path without its query, percent-decoded, . and .. resolved and empty segments merged, so that no " +
      "spelling of a path slips by a rule.",
  ),
  host: field(hostSchema.prefault({}), "The host that is asked for, without its port."),
  headers: field(
    list(namedSchema("header field", parseHeaderName), MAX_NAMED, "header conditions").prefault([]),
    "Header fields as they would be forwarded, all of which have to fit: a list of " +
      '{ name, value | value_regex | exists }, or for short { "x-version" = "v1" }.',
    { shortForms: ["table"] },
  ),
  query_params: field(
    list(namedSchema("query parameter", parseParameterName), MAX_NAMED, "query parameter conditions")
      .prefault([]),
    'Query parameters, decoded, all of which have to fit: a list like that of headers, or { "debug" = "1" }.',
    { shortForms: ["table"] },
  ),
  client_ip: field(
    texts("an IP address or network in quotes", 1000, parseIpRange).optional(),
    "Addresses and networks, one of which has the client: 10.1.2.3, 10.0.0.0/8, 10.0.0.*, 2001:db8::/32.",
  ),
});

type ConditionsFile = z.output<typeof conditionsSchema>;
type NamedFile = ConditionsFile["headers"][number];

export function conditionsFromFile(file: ConditionsFile): RouteConditions {
  return {
    methods: file.method ?? [],
    host: textCondition(file.host),
    path: textCondition(file.path),
    clientIps: file.client_ip ?? [],
    headers: file.headers.map(namedFromFile),
    queryParams: file.query_params.map(namedFromFile),
  };
}

function textCondition(file: Partial<{ [Key in keyof TextCondition]: TextCondition[Key] }>): TextCondition {
  return {
    exact: file.exact ?? [],
    prefix: file.prefix ?? [],
    suffix: file.suffix ?? [],
    contains: file.contains ?? [],
    regex: file.regex ?? null,
  };
}

function namedFromFile({ name, value, value_regex, exists }: NamedFile): NamedCondition {
  return {
    name,
    exists: exists ?? true,
    value: textCondition({
      exact: value?.equals,
      prefix: value?.starts_with,
      suffix: value?.ends_with,
      contains: value?.contains,
      regex: value_regex,
    }),
  };
}

export function conditionsToFile(conditions: RouteConditions): z.input<typeof conditionsSchema> {
  const { path, host } = conditions;
  return {
    method: some(conditions.methods),
    host: { exact: some(host.exact), contains: some(host.contains), regex: host.regex ?? undefined },
    path: {
      exact: some(path.exact),
      prefix: some(path.prefix),
      suffix: some(path.suffix),
      contains: some(path.contains),
      regex: path.regex ?? undefined,
    },
    client_ip: some(conditions.clientIps),
    headers: conditions.headers.map(namedToFile),
    query_params: conditions.queryParams.map(namedToFile),
  };
}

function namedToFile({ name, exists, value }: NamedCondition) {
  return {
    name,
    exists,
    value: {
      equals: some(value.exact),
      starts_with: some(value.prefix),
      ends_with: some(value.suffix),
      contains: some(value.contains),
    },
    value_regex: value.regex ?? undefined,
  };
}

/** An empty list means that nothing is wanted, which the file says by leaving the key out. */
function some(list: string[]): string[] | undefined {
  return list.length === 0 ? undefined : list;
}
