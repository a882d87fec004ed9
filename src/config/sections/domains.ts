/** `[domains]`: which hosts are intercepted. */
import type * as z from "zod";
import { parseDomainPattern } from "../domain_pattern.ts";
import { field, flag, list, parsedText, table } from "../fields.ts";
import type { DomainsConfig } from "../model.ts";

const MAX_PATTERNS = 100_000;
const patterns = () => list(parsedText("a domain in quotes", parseDomainPattern), MAX_PATTERNS, "domains");

export const domainsSchema = table({
  intercept_domains: field(
    patterns().prefault(["*"]),
    "Domains whose requests are forwarded: example.com, *.example.com (any subdomain, not example.com itself), " +
      "example.*, or * for all. An empty list intercepts nothing. Other hosts are answered with 404.",
  ),
  exclude_domains: field(
    patterns().prefault([]),
    "Domains that are not intercepted although intercept_domains names them; the same forms.",
  ),
  enable_wildcard: field(
    flag().prefault(true),
    "Whether patterns with * are allowed; with false they are refused, so that only exact names match.",
    { aliases: ["wildcard_support"] },
  ),
});

export function domainsFromFile(file: z.output<typeof domainsSchema>): DomainsConfig {
  return { intercept: file.intercept_domains, exclude: file.exclude_domains };
}

/** `enable_wildcard` need not be told: a checked configuration has patterns with `*` only if it may. */
export function domainsToFile(domains: DomainsConfig): z.input<typeof domainsSchema> {
  return { intercept_domains: domains.intercept, exclude_domains: domains.exclude };
}
