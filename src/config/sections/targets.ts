/** `[targets]`: the upstream servers, how requests are spread over them, and how their health is checked. */
import type * as z from "zod";
import { parseTargetUrl } from "../address.ts";
import {
  choice,
  decimal,
  field,
  flag,
  list,
  parsedText,
  seconds,
  table,
  toSeconds,
  wholeNumber,
} from "../fields.ts";
import type { TargetsConfig } from "../model.ts";
import { circuitBreakerFromFile, circuitBreakerSchema, circuitBreakerToFile } from "./circuit_breaker.ts";
import { parseName, parseRequestPath } from "../text_values.ts";

/** As many as the shared table of targets has room for. */
export const MAX_TARGETS = 4096;
/** Shares are kept to a thousandth. */
const MIN_WEIGHT = 0.001;
const MAX_WEIGHT = 1_000_000;
const DEFAULT_HEALTH_TIMEOUT_MS = 5000;

const targetSchema = table({
  name: field(
    parsedText("a name in quotes", parseName),
    "Name of the target in logs and metrics; unique.",
  ),
  url: field(
    parsedText("an http:// or https:// URL in quotes", parseTargetUrl),
    "Where requests go: http:// or https://, host, port (80 or 443 if left out) and perhaps a base path that is put " +
      "before the request's path.",
    { aliases: ["address"] },
  ),
  group: field(
    parsedText("a name in quotes", parseName).optional(),
    "Name that routing rules call this target by, together with all others of the same group.",
    { defaultNote: "no group" },
  ),
  weight: field(
    decimal(MIN_WEIGHT, MAX_WEIGHT).prefault(1),
    "Share of the traffic relative to the other targets, for load_balancing.type weighted; fractions are allowed.",
  ),
  timeout: field(
    seconds().optional(),
    "Seconds; takes the place of server.request_timeout for this target.",
    { defaultNote: "server.request_timeout" },
  ),
  max_connections: field(
    wholeNumber(1, 1_000_000).optional(),
    "Most requests in flight to this target at once, of all proxy threads. When every usable target is full, " +
      "requests wait: see load_balancing.max_queue.",
    { defaultNote: "no limit" },
  ),
  backup: field(
    flag().prefault(false),
    "Whether this target is used only when no other one is: all are unhealthy, drained, or taken out by their " +
      "circuit breakers. One that is full or slow is not out.",
  ),
});

export const loadBalancingSchema = table({
  type: field(
    choice("roundrobin", "weighted", "random", "leastconnections").prefault("roundrobin"),
    "How the next target is chosen: roundrobin in turn, weighted in turn by weight, random, or leastconnections.",
    { aliases: ["algorithm", "lb_type"], spellings: { weightedroundrobin: "weighted" } },
  ),
  sticky_sessions: field(
    flag().prefault(false),
    "Whether a client IP stays with its target while that is healthy.",
  ),
  max_queue: field(
    wholeNumber(0, 65_535).prefault(1000),
    "Requests that may wait, in all proxy threads together, while every usable target is at its " +
      "max_connections; further ones are answered with 503 at once. 0: none waits.",
  ),
  queue_timeout: field(
    seconds().prefault(5),
    "Seconds a request waits at the most for a target that is full; then it is answered with 503.",
  ),
});

export const healthCheckSchema = table({
  enabled: field(flag().prefault(true), "Whether targets are checked; without checks all count as healthy."),
  interval: field(seconds(0.05).prefault(30), "Seconds between two checks of a target."),
  timeout: field(
    seconds().optional(),
    "Seconds a check may take; must be shorter than interval.",
    { defaultNote: "5, or half the interval where that is shorter" },
  ),
  healthy_threshold: field(
    wholeNumber(1, 1000).prefault(2),
    "Successful checks in a row that make an unhealthy target healthy.",
  ),
  unhealthy_threshold: field(
    wholeNumber(1, 1000).prefault(3),
    "Failed checks in a row that make a healthy target unhealthy.",
  ),
  path: field(
    parsedText('a path such as "/health"', parseRequestPath).optional(),
    "Path a check asks for; 2xx and 3xx are healthy.",
    { defaultNote: "/health, /healthz, /ping and / in turn, 404 meaning try the next" },
  ),
});

const atLeastOne = "at least one [[targets.targets]] with a name and a url";

export const targetsSchema = table({
  targets: field(
    list(targetSchema, MAX_TARGETS, "targets").min(1, { error: atLeastOne }).prefault([]),
    "The upstream servers; at least one.",
  ),
  load_balancing: field(loadBalancingSchema.prefault({}), "How requests are spread over the targets."),
  health_check: field(healthCheckSchema.prefault({}), "How the health of targets is checked."),
  circuit_breaker: field(
    circuitBreakerSchema.prefault({}),
    "Which targets are taken out of use by how the requests to them end, besides what the health checks find.",
  ),
  slow_start: field(
    seconds(0).prefault(0),
    "Seconds over which a target that returns (it was unhealthy, drained, or taken out by its circuit breaker) " +
      "takes up its share of the traffic, in ten steps. 0: at once. In round robin too, in which other weights " +
      "play no part.",
  ),
});

/** Exported for the cross-checks, which look at single fields of targets that are not all right. */
export { targetSchema };

export function targetsFromFile(file: z.output<typeof targetsSchema>): TargetsConfig {
  const { health_check: check, load_balancing: balancing } = file;
  return {
    targets: file.targets.map(({ name, url, group, weight, timeout, max_connections, backup }) => ({
      name,
      ...url,
      group: group ?? null,
      weight,
      timeoutMs: timeout ?? null,
      maxConnections: max_connections ?? null,
      backup,
    })),
    balancing: {
      type: balancing.type,
      stickySessions: balancing.sticky_sessions,
      maxQueue: balancing.max_queue,
      queueTimeoutMs: balancing.queue_timeout,
    },
    healthCheck: {
      enabled: check.enabled,
      intervalMs: check.interval,
      timeoutMs: check.timeout ?? Math.min(DEFAULT_HEALTH_TIMEOUT_MS, Math.floor(check.interval / 2)),
      healthyThreshold: check.healthy_threshold,
      unhealthyThreshold: check.unhealthy_threshold,
      path: check.path ?? null,
    },
    circuitBreaker: circuitBreakerFromFile(file.circuit_breaker),
    slowStartMs: file.slow_start,
  };
}

export function targetsToFile(targets: TargetsConfig): z.input<typeof targetsSchema> {
  const { healthCheck: check, balancing } = targets;
  return {
    slow_start: toSeconds(targets.slowStartMs),
    load_balancing: {
      type: balancing.type,
      sticky_sessions: balancing.stickySessions,
      max_queue: balancing.maxQueue,
      queue_timeout: toSeconds(balancing.queueTimeoutMs),
    },
    circuit_breaker: circuitBreakerToFile(targets.circuitBreaker),
    health_check: {
      enabled: check.enabled,
      interval: toSeconds(check.intervalMs),
      timeout: toSeconds(check.timeoutMs),
      healthy_threshold: check.healthyThreshold,
      unhealthy_threshold: check.unhealthyThreshold,
      path: check.path ?? undefined,
    },
    targets: targets.targets.map((target) => ({
      name: target.name,
      url: target.url,
      group: target.group ?? undefined,
      weight: target.weight,
      timeout: target.timeoutMs === null ? undefined : toSeconds(target.timeoutMs),
      max_connections: target.maxConnections ?? undefined,
      backup: target.backup,
    })),
  };
}
