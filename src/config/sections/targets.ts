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
});

/** Exported for the cross-checks, which look at single fields of targets that are not all right. */
export { targetSchema };

export function targetsFromFile(file: z.output<typeof targetsSchema>): TargetsConfig {
  const check = file.health_check;
  return {
    targets: file.targets.map(({ name, url, group, weight, timeout }) => ({
      name,
      ...url,
      group: group ?? null,
      weight,
      timeoutMs: timeout ?? null,
    })),
    balancing: { type: file.load_balancing.type, stickySessions: file.load_balancing.sticky_sessions },
    healthCheck: {
      enabled: check.enabled,
      intervalMs: check.interval,
      timeoutMs: check.timeout ?? Math.min(DEFAULT_HEALTH_TIMEOUT_MS, Math.floor(check.interval / 2)),
      healthyThreshold: check.healthy_threshold,
      unhealthyThreshold: check.unhealthy_threshold,
      path: check.path ?? null,
    },
  };
}

export function targetsToFile(targets: TargetsConfig): z.input<typeof targetsSchema> {
  const check = targets.healthCheck;
  return {
    load_balancing: { type: targets.balancing.type, sticky_sessions: targets.balancing.stickySessions },
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
    })),
  };
}
