/** `[security]`: closed, because a protection that is asked for and not there must end the start. */
import type * as z from "zod";
import { closedTable, field, flag, unavailable } from "../fields.ts";
import type { SecurityConfig } from "../model.ts";
import {
  accessControlFromFile,
  accessControlSchema,
  accessControlToFile,
} from "./security/access_control.ts";
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
  auth: unavailable("Authentication by API key or bearer token."),
  jwt: unavailable("Authentication by JSON web token."),
  rate_limit: field(rateLimitSchema.prefault({}), "Limit of requests per client."),
  ddos: field(ddosSchema.prefault({}), "Limits of connections, header and body sizes."),
});

export function securityFromFile(file: z.output<typeof securitySchema>): SecurityConfig {
  return {
    enabled: file.enabled,
    accessControl: accessControlFromFile(file.access_control),
    rateLimit: rateLimitFromFile(file.rate_limit),
    ddos: ddosFromFile(file.ddos),
  };
}

export function securityToFile(security: SecurityConfig): z.input<typeof securitySchema> {
  return {
    enabled: security.enabled,
    access_control: accessControlToFile(security.accessControl),
    rate_limit: rateLimitToFile(security.rateLimit),
    ddos: ddosToFile(security.ddos),
  };
}
