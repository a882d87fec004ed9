/** Settings of `type = "blocklist"`. */
import type * as z from "zod";
import { closedTable, field, list, parsedText } from "../fields.ts";
import { parseHostPattern } from "../host_values.ts";
import { parsePathPrefix } from "../text_values.ts";

const MAX_ENTRIES = 100_000;

export const blocklistSettings = closedTable({
  hosts: field(
    list(parsedText("a host in quotes", parseHostPattern), MAX_ENTRIES, "hosts").prefault([]),
    "Hosts whose requests are refused with 403: example.com, or *.example.com for every subdomain of it, but not " +
      "example.com itself.",
  ),
  paths: field(
    list(parsedText("a path in quotes", parsePathPrefix), MAX_ENTRIES, "paths").prefault([]),
    "Paths that are refused with 403, with all below them: /admin stands for /admin and /admin/x, not for " +
      "/administrator. Upper and lower case differ. However a client spells a path, with dots, %-codes or doubled " +
      "slashes, it is compared in its plain form.",
  ),
});

export type BlocklistSettings = z.output<typeof blocklistSettings>;
