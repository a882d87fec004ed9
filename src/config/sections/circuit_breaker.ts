/** `[targets.circuit_breaker]`: which targets are taken out of use by how the requests to them end. */
import type * as z from "zod";
import {
  decimal,
  failureStatus,
  field,
  flag,
  list,
  seconds,
  table,
  toSeconds,
  wholeNumber,
} from "../fields.ts";
import type { CircuitBreakerConfig } from "../model.ts";

export const circuitBreakerSchema = table({
  enabled: field(flag().prefault(false), "Whether circuits open."),
  consecutive_failures: field(
    wholeNumber(0, 10_000).prefault(5),
    "Failed requests in a row that open a target's circuit, so that it gets no more requests; 0: no number does. " +
      "A request has failed if the target could not be reached, broke off, gave no answer in time or one that is " +
      "not valid HTTP, or answered with one of failure_statuses.",
  ),
  failure_ratio: field(
    decimal(0, 1).prefault(0.5),
    "Share of failed requests in the window that opens a target's circuit, e.g. 0.5 for half of them; 0: no share " +
      "does.",
  ),
  slow_call_secs: field(
    seconds().optional(),
    "Seconds until the response header from which on a request counts as slow.",
    { defaultNote: "no request counts as slow" },
  ),
  slow_call_ratio: field(
    decimal(0.01, 1).prefault(0.5),
    "Share of slow requests in the window that opens a target's circuit; needs slow_call_secs.",
  ),
  window_secs: field(seconds(1, 3600).prefault(10), "Seconds that the two shares look back."),
  min_requests: field(
    wholeNumber(1, 1_000_000).prefault(20),
    "Requests that a target must have had within the window before the two shares count.",
  ),
  failure_statuses: field(
    list(failureStatus(), 200, "statuses from 400 to 599").prefault([502, 503, 504]),
    "Statuses of a target's answers that are failures. The answers themselves still go to the client. With " +
      "statuses that clients can provoke, such as 400 or 404, clients can take targets out.",
  ),
  open_secs: field(
    seconds(0.1, 3600).prefault(10),
    "Seconds a circuit stays open at first, after which the target gets half_open_requests to show itself; doubled " +
      "each time it opens again without having stayed closed for longer than it was open.",
  ),
  max_open_secs: field(seconds(0.1, 86_400).prefault(120), "Seconds a circuit stays open at the most."),
  half_open_requests: field(
    wholeNumber(1, 1000).prefault(3),
    "Requests that a target gets after its circuit was open. If all go well the circuit closes, if one fails or is " +
      "slow it opens again. They are real requests of clients.",
  ),
  max_ejected_percent: field(
    wholeNumber(0, 100).prefault(50),
    "Share of the targets, in percent, that open circuits may take out at the same time; rounded down, so that " +
      "with 50 a single target always stays in use. Of more than that, the ones opened last go on being used. " +
      "With 100 all can be out, and requests are then answered with 503 at once. Backup targets, while one is " +
      "usable, stand in when all others are out whatever this share is.",
  ),
});

export function circuitBreakerFromFile(
  file: z.output<typeof circuitBreakerSchema>,
): CircuitBreakerConfig {
  return {
    enabled: file.enabled,
    consecutiveFailures: file.consecutive_failures,
    failureRatio: file.failure_ratio,
    slowCallMs: file.slow_call_secs ?? null,
    slowCallRatio: file.slow_call_ratio,
    windowMs: file.window_secs,
    minRequests: file.min_requests,
    failureStatuses: file.failure_statuses,
    openMs: file.open_secs,
    maxOpenMs: file.max_open_secs,
    halfOpenRequests: file.half_open_requests,
    maxEjectedPercent: file.max_ejected_percent,
  };
}

export function circuitBreakerToFile(breaker: CircuitBreakerConfig): z.input<typeof circuitBreakerSchema> {
  return {
    enabled: breaker.enabled,
    consecutive_failures: breaker.consecutiveFailures,
    failure_ratio: breaker.failureRatio,
    slow_call_secs: breaker.slowCallMs === null ? undefined : toSeconds(breaker.slowCallMs),
    slow_call_ratio: breaker.slowCallRatio,
    window_secs: toSeconds(breaker.windowMs),
    min_requests: breaker.minRequests,
    failure_statuses: breaker.failureStatuses,
    open_secs: toSeconds(breaker.openMs),
    max_open_secs: toSeconds(breaker.maxOpenMs),
    half_open_requests: breaker.halfOpenRequests,
    max_ejected_percent: breaker.maxEjectedPercent,
  };
}
