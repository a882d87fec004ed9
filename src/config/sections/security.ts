/** `[security]`: closed, because a protection that is asked for and not there must end the start. */
import type * as z from "zod";
import { closedTable, field, flag, list, parsedText } from "../fields.ts";
import type { SecurityConfig } from "../model.ts";
import { parsePathPrefix } from "../text_values.ts";
import {
  accessControlFromFile,
  accessControlSchema,
  accessControlToFile,
} from "./security/access_control.ts";
import { authFromFile, authSchema, authToFile } from "./security/auth.ts";
import { jwtFromFile, jwtSchema, jwtToFile } from "./security/jwt.ts";
import { rateLimitFromFile, rateLimitSchema, rateLimitToFile } from "./security/rate_limit.ts";
import { ddosFromFile, ddosSchema, ddosToFile } from "./security/ddos.ts";

export const securitySchema = closedTable({
  enabled: field(
    flag().prefault(true),
    "Whether the protections of this section are in force. With false all of them are off.",
  ),
  access_control: field(
    accessControlSchema.prefault({}),
    "Who may come in, and whose word on that is believed.",
  ),
  exempt_paths: field(
    list(parsedText('a path in quotes, such as "/health"', parsePathPrefix), 256, "paths").prefault([]),
    "Paths that need neither a key (auth) nor a token (jwt), each with all that lies below it: /health holds " +
      "/health/live, not /healthy. Written as plain text, not percent-encoded. A path that climbs (..) or is encoded " +
      "twice is never exempt. All other protections hold there too.",
  ),
  auth: field(authSchema.prefault({}), "Authentication of clients by API key or bearer token."),
  jwt: field(
    jwtSchema.prefault({}),
    "Authentication of clients by JSON web token. Beside auth with mode apikey, both are needed.",
  ),
  rate_limit: field(rateLimitSchema.prefault({}), "Limit of requests per client."),
  ddos: field(ddosSchema.prefault({}), "Limits of connections, header and body sizes."),
});

export function securityFromFile(file: z.output<typeof securitySchema>): SecurityConfig {
  return {
    enabled: file.enabled,
    accessControl: accessControlFromFile(file.access_control),
    rateLimit: rateLimitFromFile(file.rate_limit),
    exemptPaths: file.exempt_paths,
    auth: authFromFile(file.auth),
    jwt: jwtFromFile(file.jwt),
    ddos: ddosFromFile(file.ddos),
  };
}

export function securityToFile(security: SecurityConfig): z.input<typeof securitySchema> {
  return {
    enabled: security.enabled,
    access_control: accessControlToFile(security.accessControl),
    rate_limit: rateLimitToFile(security.rateLimit),
    exempt_paths: security.exemptPaths,
    auth: authToFile(security.auth),
    jwt: jwtToFile(security.jwt),
    ddos: ddosToFile(security.ddos),
  };
}
