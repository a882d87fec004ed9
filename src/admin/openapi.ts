/** The OpenAPI 3.1 document of the admin API, made of `endpoints.ts` and `schemas.ts`. */
import * as z from "zod";
import { VERSION } from "../version.ts";
import { type Endpoint, ENDPOINTS } from "./endpoints.ts";
import { SCHEMAS } from "./schemas.ts";

type Json = Record<string, unknown>;

const FAILURES: Record<string, string> = {
  400: "Malformed request",
  401: "No token, or a wrong one",
  403: "The role is too low, or another site is behind the request",
  404: "There is no such thing",
  409: "Not possible now",
  412: "The configuration file has changed since its ETag was read",
  413: "The body is too large",
  422: "The configuration does not validate",
  429: "Too many attempts or listeners, see retry-after",
  503: "Cannot be answered in time",
};

export function openApi(): Json {
  const paths: Record<string, Json> = {};
  for (const endpoint of ENDPOINTS) {
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Dispa admin API", version: VERSION },
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(SCHEMAS).map(([name, schema]) => [name, jsonSchema(schema)]),
      ),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        header: { type: "apiKey", in: "header", name: "x-admin-token" },
        cookie: { type: "apiKey", in: "cookie", name: "dispa_session" },
      },
    },
  };
}

function operation({ method, path, role, summary, request, answer, query = {} }: Endpoint): Json {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = Object.entries(query).map(([name, description]) => ({
    name,
    in: "query",
    description,
    schema: { type: "string" },
  }));
  const failures = Object.entries(FAILURES).map(([status, description]) => [
    status,
    { description, content: content("Failure") },
  ]);
  return {
    summary: role === null ? summary : `${summary} (${role})`,
    operationId: operationId(method, path),
    ...(role === null ? {} : { security: [{ bearer: [] }, { header: [] }, { cookie: [] }] }),
    parameters: [...inPath, ...inQuery],
    ...(request === undefined ? {} : { requestBody: { required: true, content: content(request) } }),
    responses: { 200: { description: summary, content: content(answer) }, ...Object.fromEntries(failures) },
  };
}

/** @param kind name of a schema, or a media type */
function content(kind: string): Json {
  return kind.includes("/")
    ? { [kind]: { schema: { type: "string" } } }
    : { "application/json": { schema: { $ref: `#/components/schemas/${kind}` } } };
}

function operationId(method: string, path: string): string {
  const words = path.split(/[/{}.]+/).filter((word) => word !== "");
  return method + words.map((word) => word[0].toUpperCase() + word.slice(1)).join("");
}

function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _version, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}
