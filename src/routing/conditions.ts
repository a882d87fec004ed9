/** A rule's conditions, made ready to be tried on one request after the other. */
import type { NamedCondition, RouteConditions, TextCondition } from "../config/model.ts";
import { fieldValues, getField } from "../http/flat_headers.ts";
import { Matcher } from "./regex/matcher.ts";
import { IpSet } from "../security/ip_set.ts";
import type { Subject } from "./subject.ts";

export interface Condition {
  /** Its key below `conditions`, for explanations. */
  readonly key: string;
  /** What it wants, for explanations. */
  readonly wanted: string;
  holds(subject: Subject): boolean;
  /** What the request has there, for explanations. */
  found(subject: Subject): string;
}

type Test = (text: string) => boolean;

/** All conditions of a rule, those that cost least first; none for a rule that takes everything. */
export function compileConditions(conditions: RouteConditions): Condition[] {
  const { methods, host, path, clientIps, headers, queryParams } = conditions;
  return [
    ...(methods.length === 0 ? [] : [methodCondition(methods)]),
    ...textConditions("host", host, ({ request }) => request.host),
    ...textConditions("path", path, ({ request }) => request.path),
    ...(clientIps.length === 0 ? [] : [clientIpCondition(clientIps)]),
    ...headers.map(headerCondition),
    ...queryParams.map(parameterCondition),
  ];
}

function methodCondition(methods: readonly string[]): Condition {
  const allowed = new Set(methods);
  return {
    key: "method",
    wanted: anyOf(methods),
    holds: ({ request }) => allowed.has(request.method),
    found: ({ request }) => request.method,
  };
}

function textConditions(
  key: string,
  wanted: TextCondition,
  textOf: (subject: Subject) => string,
): Condition[] {
  return textTests(wanted).map(({ kind, wanted, test }) => ({
    key: `${key}.${kind}`,
    wanted,
    holds: (subject) => test(textOf(subject)),
    found: (subject) => JSON.stringify(textOf(subject)),
  }));
}

interface TextTest {
  kind: "exact" | "prefix" | "suffix" | "contains" | "regex";
  wanted: string;
  test: Test;
}

function textTests({ exact, prefix, suffix, contains, regex }: TextCondition): TextTest[] {
  const tests: TextTest[] = [];
  if (exact.length > 0) tests.push({ kind: "exact", wanted: anyOf(exact), test: isOneOf(exact) });
  if (prefix.length > 0) {
    tests.push({
      kind: "prefix",
      wanted: anyOf(prefix),
      test: some(prefix, (text, part) => text.startsWith(part)),
    });
  }
  if (suffix.length > 0) {
    tests.push({
      kind: "suffix",
      wanted: anyOf(suffix),
      test: some(suffix, (text, part) => text.endsWith(part)),
    });
  }
  if (contains.length > 0) {
    tests.push({
      kind: "contains",
      wanted: anyOf(contains),
      test: some(contains, (text, part) => text.includes(part)),
    });
  }
  if (regex !== null) {
    const matcher = new Matcher(regex);
    tests.push({ kind: "regex", wanted: regex, test: (text) => matcher.test(text) });
  }
  return tests;
}

function isOneOf(texts: readonly string[]): Test {
  if (texts.length === 1) {
    const [only] = texts;
    return (text) => text === only;
  }
  const allowed = new Set(texts);
  return (text) => allowed.has(text);
}

function some(parts: readonly string[], fits: (text: string, part: string) => boolean): Test {
  if (parts.length === 1) {
    const [only] = parts;
    return (text) => fits(text, only);
  }
  return (text) => parts.some((part) => fits(text, part));
}

function clientIpCondition(ranges: readonly string[]): Condition {
  const allowed = new IpSet(ranges);
  return {
    key: "client_ip",
    wanted: anyOf(ranges),
    holds: ({ request }) => allowed.has(request.clientIp),
    found: ({ request }) => request.clientIp,
  };
}

/** Names of fields whose values no explanation may show. */
const SECRET = /authorization|cookie|token|secret|password|api-?key/;

function headerCondition(condition: NamedCondition): Condition {
  const { name } = condition;
  return namedCondition(`headers.${name}`, condition, {
    isThere: ({ request }) => getField(request.headers, name) !== null,
    some({ request: { headers } }, test) {
      for (let i = 0; i < headers.length; i += 2) {
        if (headers[i] === name && test(headers[i + 1])) return true;
      }
      return false;
    },
    all: ({ request }) => fieldValues(request.headers, name),
  });
}

function parameterCondition(condition: NamedCondition): Condition {
  const { name } = condition;
  return namedCondition(`query_params.${name}`, condition, {
    isThere: (subject) => subject.parameters(name) !== undefined,
    some: (subject, test) => subject.parameters(name)?.some(test) ?? false,
    all: (subject) => subject.parameters(name) ?? [],
  });
}

/** The values of one name in a request. */
interface Values {
  isThere(subject: Subject): boolean;
  some(subject: Subject, test: Test): boolean;
  all(subject: Subject): readonly string[];
}

function namedCondition(key: string, { name, exists, value }: NamedCondition, values: Values): Condition {
  const tests = textTests(value);
  const isSecret = SECRET.test(name.toLowerCase());
  const found = (subject: Subject) => {
    const all = values.all(subject);
    if (all.length === 0) return "missing";
    return isSecret ? "another value, which is not shown" : anyOf(all);
  };
  if (!exists) {
    return {
      key,
      wanted: "missing",
      holds: (subject) => !values.isThere(subject),
      found: (subject) => isSecret ? "a value, which is not shown" : found(subject),
    };
  }
  if (tests.length === 0) {
    return { key, wanted: "any value", holds: (subject) => values.isThere(subject), found };
  }
  const fits: Test = tests.length === 1 ? tests[0].test : (text) => tests.every(({ test }) => test(text));
  return {
    key,
    wanted: isSecret
      ? "a value, which is not shown"
      : tests.map(({ kind, wanted }) => `${kind} ${wanted}`).join(" and "),
    holds: (subject) => values.some(subject, fits),
    found,
  };
}

function anyOf(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(" or ");
}
