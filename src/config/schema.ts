/**
 * The whole configuration file: one module per section, put together here. A field's description is its
 * manual; `.prefault` holds its default, in the file's units.
 */
import * as z from "zod";
import { field, table } from "./fields.ts";
import type { Config } from "./model.ts";
import { domainsFromFile, domainsSchema, domainsToFile } from "./sections/domains.ts";
import { errorPagesFromFile, errorPagesSchema, errorPagesToFile } from "./sections/error_pages.ts";
import { httpClientFromFile, httpClientSchema, httpClientToFile } from "./sections/http_client.ts";
import { loggingFromFile, loggingSchema, loggingToFile } from "./sections/logging.ts";
import { monitoringFromFile, monitoringSchema, monitoringToFile } from "./sections/monitoring.ts";
import { pluginsFromFile, pluginsSchema, pluginsToFile } from "./sections/plugins.ts";
import { retryFromFile, retrySchema, retryToFile } from "./sections/retry.ts";
import { routingFromFile, routingSchema, routingToFile } from "./sections/routing.ts";
import { securityFromFile, securitySchema, securityToFile } from "./sections/security.ts";
import { serverFromFile, serverSchema, serverToFile } from "./sections/server.ts";
import { targetsFromFile, targetsSchema, targetsToFile } from "./sections/targets.ts";
import { tlsFromFile, tlsSchema, tlsToFile } from "./sections/tls.ts";
import { websocketFromFile, websocketSchema, websocketToFile } from "./sections/websocket.ts";
import type { Path } from "./problem.ts";

export const configSchema = table({
  server: field(serverSchema.prefault({}), "The listener for clients, its threads and time-outs."),
  domains: field(domainsSchema.prefault({}), "Which hosts are intercepted."),
  targets: field(targetsSchema.prefault({}), "The upstream servers."),
  logging: field(loggingSchema.prefault({}), "The record of traffic."),
  monitoring: field(monitoringSchema.prefault({}), "The health, metrics and admin listeners."),
  http_client: field(httpClientSchema.prefault({}), "Connections to targets."),
  retry: field(
    retrySchema.prefault({}),
    "Which failed requests are sent again, how often, and at what pace.",
  ),
  websocket: field(websocketSchema.prefault({}), "WebSockets between clients and targets."),
  plugins: field(pluginsSchema.prefault({}), "Plugins that see and change requests and responses."),
  security: field(securitySchema.prefault({}), "Who may connect."),
  routing: field(
    routingSchema.prefault({}),
    "Rules that choose targets, change requests and answers, or answer themselves, by what is asked.",
  ),
  tls: field(tlsSchema.prefault({}), "HTTPS for clients."),
  error_pages: field(errorPagesSchema.prefault({}), "What the answers look like that Dispa makes itself."),
});

/**
 * The configuration as the rest of the program reads it, from a file that has passed the schema.
 * @param errorPages the texts of the error pages' files, all of which have been read
 */
export function configFromFile(
  file: z.output<typeof configSchema>,
  errorPages: ReadonlyMap<string, string>,
): Config {
  return {
    server: serverFromFile(file.server),
    domains: domainsFromFile(file.domains),
    targets: targetsFromFile(file.targets),
    logging: loggingFromFile(file.logging),
    monitoring: monitoringFromFile(file.monitoring),
    httpClient: httpClientFromFile(file.http_client),
    retry: retryFromFile(file.retry, file.server.request_timeout),
    websocket: websocketFromFile(file.websocket),
    plugins: pluginsFromFile(file.plugins),
    security: securityFromFile(file.security),
    routing: routingFromFile(file.routing),
    tls: tlsFromFile(file.tls),
    errorPages: errorPagesFromFile(file.error_pages, (path) => errorPages.get(path)!),
  };
}

/** The inverse of `configFromFile`: every key told, in the file's names and units. */
export function configToFile(config: Config): Record<string, unknown> {
  return {
    server: serverToFile(config.server),
    domains: domainsToFile(config.domains),
    targets: targetsToFile(config.targets),
    logging: loggingToFile(config.logging),
    monitoring: monitoringToFile(config.monitoring),
    http_client: httpClientToFile(config.httpClient),
    retry: retryToFile(config.retry),
    websocket: websocketToFile(config.websocket),
    plugins: pluginsToFile(config.plugins),
    security: securityToFile(config.security),
    routing: routingToFile(config.routing),
    tls: tlsToFile(config.tls),
    error_pages: errorPagesToFile(config.errorPages),
  };
}

/** A schema without what makes it optional or gives it a default. */
export function innerSchema(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

/** The keys of a table's schema; null for what is no table with known keys. */
export function tableFields(schema: z.ZodType): Record<string, z.ZodType> | null {
  const inner = innerSchema(schema);
  return inner instanceof z.ZodObject ? inner.shape : null;
}

/** The schema of the key at `path`, which must be one of ours. */
export function fieldAt(path: Path): z.ZodType {
  let schema: z.ZodType = configSchema;
  for (const segment of path) {
    const next = tableFields(schema)?.[segment];
    if (next === undefined) throw new TypeError(`no configuration key ${path.join(".")}`);
    schema = next;
  }
  return schema;
}
