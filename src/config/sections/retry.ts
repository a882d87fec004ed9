/** `[retry]`: which failed requests are sent again, how often, and at what pace. */
import * as z from "zod";
import {
  byteCount,
  choice,
  decimal,
  failureStatus,
  field,
  flag,
  list,
  parsedText,
  seconds,
  table,
  toSeconds,
  wholeNumber,
} from "../fields.ts";
import type { RetryCause, RetryConfig } from "../model.ts";
import { parseMethod } from "../text_values.ts";

const CAUSES = ["connect", "reset", "timeout", "bad_response"] as const satisfies readonly RetryCause[];

const causeOrStatus = z.union([choice(...CAUSES), failureStatus()], {
  error: `one of ${CAUSES.join(", ")} in quotes, or a status from 400 to 599`,
});

export const retrySchema = table({
  enabled: field(
    flag().prefault(false),
    "Whether requests are sent again as this section says. Otherwise only those are that no target can have " +
      "seen, because no connection could be made, to up to three targets.",
  ),
  attempts: field(
    wholeNumber(1, 10).prefault(3),
    "Most attempts for one request, the first one included; each goes to another target as long as there is one.",
  ),
  on: field(
    list(causeOrStatus, 200, "causes and statuses").prefault(["connect", "reset", "timeout", 502, 503, 504]),
    "What is tried again: connect (no connection, or no TLS session, could be made), reset (the connection broke " +
      "before the response header), timeout (no response header in time), bad_response (an answer that is not " +
      "valid HTTP), and statuses of answers. If there are no more attempts, the last answer goes to the client.",
  ),
  methods: field(
    list(
      parsedText('a method such as "GET"', parseMethod),
      50,
      "methods",
    ).prefault(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]),
    "Methods of requests that are sent again even if the target may have acted on them. A request that no target " +
      "can have seen is tried again whatever its method. Danger: with POST or PATCH in the list one request can be " +
      "carried out twice.",
  ),
  per_try_timeout: field(
    seconds().optional(),
    "Seconds that one attempt may take until the response header; then it counts as a timeout. Shorter than " +
      "server.request_timeout, or there is no time left for another attempt.",
    { defaultNote: "server.request_timeout, or the target's timeout" },
  ),
  total_timeout: field(
    seconds().optional(),
    "Seconds since the request came after which no further attempt begins.",
    { defaultNote: "server.request_timeout" },
  ),
  max_body_bytes: field(
    byteCount(0, 16_777_216).prefault(65_536),
    "Longest request body that is kept in memory so that it can be sent again; a request with a longer one is sent " +
      "once. Each request in flight may take that much, up to 32 MiB in each proxy thread.",
  ),
  backoff: field(
    table({
      base: field(
        seconds(0, 60).prefault(0.025),
        "Seconds before the second attempt at the most; doubled for each further one.",
      ),
      max: field(seconds(0, 60).prefault(0.25), "Seconds before any attempt at the most."),
    }).prefault({}),
    "The pause before an attempt: a random part of these times, so that many clients' retries don't come at the " +
      "same moment. After an attempt that no target can have seen there is none.",
  ),
  budget: field(
    table({
      percent: field(
        decimal(0, 1000).prefault(20),
        "Retries of the last ten seconds as a share, in percent, of the requests of that time.",
      ),
      min_per_sec: field(
        decimal(0, 1_000_000).prefault(3),
        "Retries per second that are allowed besides, whatever the share.",
      ),
    }).prefault({}),
    "How many retries there may be in all proxy threads together, so that they don't make an outage worse. Beyond " +
      "it a request fails with its first error.",
  ),
});

/** @param requestTimeoutMs of `[server]` */
export function retryFromFile(
  file: z.output<typeof retrySchema>,
  requestTimeoutMs: number,
): RetryConfig {
  return {
    enabled: file.enabled,
    attempts: file.attempts,
    onCauses: file.on.filter((entry) => typeof entry === "string"),
    onStatuses: file.on.filter((entry) => typeof entry === "number"),
    methods: file.methods,
    perTryTimeoutMs: file.per_try_timeout ?? null,
    totalTimeoutMs: file.total_timeout ?? requestTimeoutMs,
    maxBodyBytes: file.max_body_bytes,
    backoff: { baseMs: file.backoff.base, maxMs: file.backoff.max },
    budget: { percent: file.budget.percent, minPerSecond: file.budget.min_per_sec },
  };
}

export function retryToFile(retry: RetryConfig): z.input<typeof retrySchema> {
  return {
    enabled: retry.enabled,
    attempts: retry.attempts,
    on: [...retry.onCauses, ...retry.onStatuses],
    methods: retry.methods,
    per_try_timeout: retry.perTryTimeoutMs === null ? undefined : toSeconds(retry.perTryTimeoutMs),
    total_timeout: toSeconds(retry.totalTimeoutMs),
    max_body_bytes: retry.maxBodyBytes,
    backoff: { base: toSeconds(retry.backoff.baseMs), max: toSeconds(retry.backoff.maxMs) },
    budget: { percent: retry.budget.percent, min_per_sec: retry.budget.minPerSecond },
  };
}
