/** Settings of `type = "hostrewrite"`. */
import type * as z from "zod";
import { closedTable, field, parsedText } from "../fields.ts";
import { parseHostField, parseHostPattern } from "../host_values.ts";

export const hostRewriteSettings = closedTable({
  host: field(
    parsedText("a host in quotes", parseHostField),
    "Host that is sent to the target in place of the client's, which stays in x-forwarded-host; a port may follow.",
    { aliases: ["to"], example: "backend.internal" },
  ),
  from: field(
    parsedText("a host in quotes", parseHostPattern).optional(),
    "Only requests for this host are changed: example.com, or *.example.com for every subdomain of it.",
    { defaultNote: "all requests", example: "*.example.com" },
  ),
});

export type HostRewriteSettings = z.output<typeof hostRewriteSettings>;
