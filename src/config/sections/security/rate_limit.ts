/** `[security.rate_limit]`: how often a client may come. */
import type * as z from "zod";
import { closedTable, decimal, field, flag, parsedText, seconds, toSeconds } from "../../fields.ts";
import type { RateLimitConfig } from "../../model.ts";
import { parseRedisUrl } from "../../text_values.ts";

const DEFAULT_STORE_TIMEOUT_MS = 50;

export const rateLimitSchema = closedTable({
  enabled: field(
    flag().optional(),
    "Whether each client's rate of requests is limited; beyond the limit it gets 429 with Retry-After.",
    { defaultNote: "true where rate_per_sec is set" },
  ),
  rate_per_sec: field(
    decimal(0.001, 1_000_000).optional(),
    "Requests a client address may make each second in the long run; a fraction is fine. IPv6 addresses count " +
      "together by their first 64 bits. The limit holds for the whole process, whatever server.workers is.",
    { aliases: ["requests_per_second"], defaultNote: "none: it must be set for the limit to be on" },
  ),
  burst: field(
    decimal(1, 1_000_000).optional(),
    "Requests a client may make at once after it has made none for a while.",
    { aliases: ["burst_size"], defaultNote: "rate_per_sec, at least 1" },
  ),
  store: field(
    parsedText('a redis:// or rediss:// URL in quotes, such as "redis://10.0.0.9:6379/0"', parseRedisUrl)
      .optional(),
    "Redis or Valkey server that keeps the counts, so that several instances share one limit: " +
      "redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for TLS (a private CA by the variable DENO_CERT). While it is down " +
      "each instance counts by itself. " +
      "Instances with other limits need another DATABASE. Secret if it holds a password: write ${NAME} and set the " +
      "variable.",
    { defaultNote: "none, every instance counts by itself" },
  ),
  store_timeout: field(
    seconds(0.001, 5).optional(),
    "Seconds a request waits for the store at most; then the process counts by itself until the store answers again.",
    { defaultNote: `${toSeconds(DEFAULT_STORE_TIMEOUT_MS)}` },
  ),
});

/** @returns null: off */
export function rateLimitFromFile(file: z.output<typeof rateLimitSchema>): RateLimitConfig | null {
  const { rate_per_sec: ratePerSec } = file;
  // A cross-check has refused the limit that is on and has no rate.
  if (ratePerSec === undefined || file.enabled === false) return null;
  return {
    ratePerSec,
    burst: file.burst ?? Math.max(1, ratePerSec),
    store: file.store ?? null,
    storeTimeoutMs: file.store_timeout ?? DEFAULT_STORE_TIMEOUT_MS,
  };
}

export function rateLimitToFile(limit: RateLimitConfig | null): z.input<typeof rateLimitSchema> {
  if (limit === null) return { enabled: false };
  return {
    enabled: true,
    rate_per_sec: limit.ratePerSec,
    burst: limit.burst,
    store: limit.store ?? undefined,
    store_timeout: toSeconds(limit.storeTimeoutMs),
  };
}
