/** /admin/explain: what would become of a request, and why. */
import { Hono } from "hono";
import { type ExplainQuestion, questionOf, type QuestionParts } from "../http/explanation.ts";
import { NO_FILTER } from "../traffic/filter.ts";
import type { TrafficRow } from "../traffic/record.ts";
import { recordedQuestion } from "../traffic/recorded_question.ts";
import type { Access, AdminEnv } from "./access.ts";
import { EXPLAIN_QUERY, type Explained } from "./api.ts";
import { AdminFailure } from "./failure.ts";
import { parseJson } from "./session_routes.ts";
import type { AdminSource } from "./source.ts";

export function explainRoutes(source: AdminSource, access: Access): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();
  const viewer = access.atLeast("viewer");

  app.get("/", viewer, async (c) => c.json(await answer(source, readQuery(c.req.queries()))));
  // Nothing changes: POST only for requests that are too long for a query.
  app.post("/", viewer, async (c) => c.json(await answer(source, readBody(parseJson(await c.req.text())))));
  return app;
}

interface Asked {
  parts: Partial<QuestionParts>;
  requestId: string | null;
}

async function answer(source: AdminSource, { parts, requestId }: Asked): Promise<Explained> {
  const record = requestId === null ? null : await recordOf(source, requestId);
  const question = toQuestion(record === null ? parts : { ...recordedQuestion(record), ...parts });
  const explanation = await source.explain(question);
  return { ...explanation, record };
}

function toQuestion(parts: Partial<QuestionParts>): ExplainQuestion {
  const { host } = parts;
  if (host === undefined) throw new AdminFailure("bad_request", "host is missing, or request_id");
  try {
    return questionOf({ ...parts, host });
  } catch (fault) {
    if (fault instanceof TypeError) throw new AdminFailure("bad_request", fault.message);
    throw fault;
  }
}

async function recordOf(source: AdminSource, requestId: string): Promise<TrafficRow> {
  const found = await source.askTraffic(source.config().logging, {
    kind: "records",
    filter: { ...NO_FILTER, requestId },
    source: null,
    limit: 1,
    order: "newest",
  });
  if (found.kind === "unreadable") throw new AdminFailure("conflict", found.message);
  if (found.kind === "busy") {
    throw new AdminFailure("unavailable", found.message, { headers: { "retry-after": "5" } });
  }
  const record = found.kind === "records" ? found.records[0] : undefined;
  if (record === undefined) {
    throw new AdminFailure("not_found", `no request ${JSON.stringify(requestId.slice(0, 200))} is recorded`);
  }
  return record;
}

function readQuery(query: Record<string, string[]>): Asked {
  const given = new Map<string, string[]>();
  for (const [name, values] of Object.entries(query)) {
    // A form sends its empty fields too.
    const filled = values.filter((value) => value !== "");
    if (filled.length > 0) given.set(known(name), filled);
  }
  const one = (name: string) => given.get(name)?.at(-1);
  return {
    parts: withoutUndefined({
      host: one("host"),
      path: one("path"),
      method: one("method"),
      scheme: one("scheme"),
      clientIp: one("client_ip"),
      headers: given.get("header"),
    }),
    requestId: one("request_id") ?? null,
  };
}

function readBody(body: unknown): Asked {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new AdminFailure("bad_request", "the body is no JSON object");
  }
  const given = new Map<string, string | string[]>();
  for (const [name, value] of Object.entries(body)) {
    if (name === "headers" || name === "header") given.set("header", headerLines(value));
    else if (typeof value === "string") given.set(known(name), value);
    else throw new AdminFailure("bad_request", `${known(name)} is ${JSON.stringify(value)}, wanted a string`);
  }
  return readQuery(Object.fromEntries([...given].map(([name, value]) => [name, [value].flat()])));
}

/** From `{ "name": "value" }` or `["Name: value"]`. */
function headerLines(value: unknown): string[] {
  const lines = Array.isArray(value)
    ? value
    : typeof value === "object" && value !== null
    ? Object.entries(value).map(([name, text]) => typeof text === "string" ? `${name}: ${text}` : null)
    : [null];
  if (!lines.every((line): line is string => typeof line === "string")) {
    throw new AdminFailure("bad_request", 'headers: wanted {"name": "value"} or ["Name: value"]');
  }
  return lines;
}

function known(name: string): string {
  if (EXPLAIN_QUERY.includes(name)) return name;
  throw new AdminFailure(
    "bad_request",
    `unknown parameter ${JSON.stringify(name.slice(0, 100))}, known are ${EXPLAIN_QUERY.join(", ")}`,
  );
}

function withoutUndefined(parts: { [Name in keyof QuestionParts]: QuestionParts[Name] | undefined }) {
  return Object.fromEntries(
    Object.entries(parts).filter(([, value]) => value !== undefined),
  ) as Partial<QuestionParts>;
}
