/** Settings of `type = "ratelimiter"`. */
import type * as z from "zod";
import { closedTable, decimal, field, type Parsed, parsedText } from "../fields.ts";

/** By what a rate limiter tells requests apart. */
export type RateLimiterKey = { by: "global" | "ip" | "host" | "path" } | { by: "header"; name: string };

const KEY_FORM = '"global", "ip", "host", "path" or "header:NAME"';

function parseKey(text: string): Parsed<RateLimiterKey> {
  const plain = text.toLowerCase();
  if (plain === "global" || plain === "ip" || plain === "host" || plain === "path") {
    return { ok: true, value: { by: plain } };
  }
  // RFC 9110 section 5.6.2: the name is a token.
  const name = /^header:([!#$%&'*+.^_`|~0-9a-z-]{1,128})$/.exec(plain)?.[1];
  return name === undefined ? { ok: false, wanted: KEY_FORM } : { ok: true, value: { by: "header", name } };
}

export const rateLimiterSettings = closedTable({
  rate_per_sec: field(
    decimal(0.001, 1_000_000),
    "Requests that are let through each second in the long run, for each key; a fraction is fine. The limit holds " +
      "for the whole process, whatever server.workers is. Others get 429 with Retry-After.",
    { aliases: ["requests_per_second"], example: 100 },
  ),
  burst: field(
    decimal(1, 1_000_000).optional(),
    "Requests that are let through at once after there were none for a while.",
    { aliases: ["burst_size"], defaultNote: "rate_per_sec, at least 1", example: 200 },
  ),
  key: field(
    parsedText(KEY_FORM, parseKey).prefault("global"),
    "What is counted together: global all requests, ip those of a client address (IPv6: of its first 64 bits), host " +
      "those for a host, path those for a path, header:NAME those with the same value of that header; all without it " +
      "count together. Clients choose paths and headers as they like: a limit by them does not stop who changes them.",
    { example: "header:x-api-key" },
  ),
});

export type RateLimiterSettings = z.output<typeof rateLimiterSettings>;
