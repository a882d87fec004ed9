/** What no single key can tell: names that are used twice, times and ports that do not go together. */
import type * as z from "zod";
import { nearest } from "./nearest.ts";
import { formatPath, type Path, quote, showFound } from "./problem.ts";
import { domainsSchema } from "./sections/domains.ts";
import { HISTOGRAMS, histogramSchema, monitoringSchema } from "./sections/monitoring.ts";
import { pluginSchema, pluginsSchema } from "./sections/plugins.ts";
import { serverSchema } from "./sections/server.ts";
import { healthCheckSchema, loadBalancingSchema, targetSchema } from "./sections/targets.ts";
import { websocketSchema } from "./sections/websocket.ts";
import { type Finding, isTable, type Table, valueAt } from "./tree.ts";

/**
 * Looks at the tree rather than at the outcome of the schema, so that what is wrong elsewhere does not hide
 * what is wrong here. A value that the schema refuses is left out of the comparison.
 */
export function crossCheck(tree: Table): Finding[] {
  return [
    ...repeatedNames(tree, ["targets", "targets"], "name", targetSchema.shape.name),
    ...repeatedNames(tree, ["plugins", "plugins"], "name", pluginSchema.shape.name),
    ...repeatedNames(tree, ["monitoring", "histogram_buckets"], "metric", histogramSchema.shape.metric),
    ...healthTimes(tree),
    ...ports(tree),
    ...wildcards(tree),
    ...idleDomains(tree),
    ...idleWeights(tree),
    ...unknownHistograms(tree),
    ...idlePlugins(tree),
    ...idleClientTimeouts(tree),
    ...deadWebSockets(tree),
  ];
}

/** The checked value at `path`, a default included; undefined if the schema refuses it. */
function read<Schema extends z.ZodType>(
  tree: Table,
  schema: Schema,
  ...path: Path
): z.output<Schema> | undefined {
  const outcome = schema.safeParse(valueAt(tree, path));
  return outcome.success ? outcome.data : undefined;
}

function entries(tree: Table, path: Path): unknown[] {
  const list = valueAt(tree, path);
  return Array.isArray(list) ? list : [];
}

const error = (path: Path, message: string): Finding => ({ severity: "error", path, at: "value", message });
const warning = (path: Path, message: string): Finding => ({
  severity: "warning",
  path,
  at: "value",
  message,
});

function repeatedNames(tree: Table, path: Path, key: string, schema: z.ZodType): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<unknown, Path>();
  entries(tree, path).forEach((_entry, index) => {
    const here = [...path, index, key];
    const name = read(tree, schema, ...here);
    if (name === undefined) return;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, here);
    else {findings.push(
        error(here, `found ${showFound(name)} again after ${formatPath(first)}, wanted unique names`),
      );}
  });
  return findings;
}

function healthTimes(tree: Table): Finding[] {
  const path = ["targets", "health_check"];
  const { enabled, interval, timeout } = healthCheckSchema.shape;
  if (read(tree, enabled, ...path, "enabled") === false) return [];
  const intervalMs = read(tree, interval, ...path, "interval");
  const timeoutMs = read(tree, timeout, ...path, "timeout");
  if (intervalMs === undefined || timeoutMs === undefined || timeoutMs < intervalMs) return [];
  return [
    error(
      [...path, "timeout"],
      `found ${timeoutMs / 1000}, wanted less than interval, which is ${intervalMs / 1000}`,
    ),
  ];
}

function ports(tree: Table): Finding[] {
  const { enabled, health_check_port, metrics_port } = monitoringSchema.shape;
  if (read(tree, enabled, "monitoring", "enabled") === false) return [];
  const bind = read(tree, serverSchema.shape.bind_address, "server", "bind_address");
  const used: { path: Path; port: number | undefined }[] = [
    { path: ["server", "bind_address"], port: bind?.port },
    {
      path: ["monitoring", "health_check_port"],
      port: read(tree, health_check_port, "monitoring", "health_check_port"),
    },
    { path: ["monitoring", "metrics_port"], port: read(tree, metrics_port, "monitoring", "metrics_port") },
  ];
  return used.flatMap((later, index) => {
    const earlier = used.slice(0, index).find(({ port }) =>
      port !== undefined && port !== 0 && port === later.port
    );
    if (earlier === undefined) return [];
    // The one to point at is the one that somebody wrote, not the one left at its default.
    const [here, other] = valueAt(tree, later.path) === undefined ? [earlier, later] : [later, earlier];
    const byDefault = valueAt(tree, other.path) === undefined ? " by default" : "";
    return [
      error(
        here.path,
        `found port ${here.port}, which ${formatPath(other.path)} has too${byDefault}, wanted another`,
      ),
    ];
  });
}

function wildcards(tree: Table): Finding[] {
  const { enable_wildcard } = domainsSchema.shape;
  if (read(tree, enable_wildcard, "domains", "enable_wildcard") !== false) return [];
  const findings: Finding[] = [];
  for (const key of ["intercept_domains", "exclude_domains"]) {
    entries(tree, ["domains", key]).forEach((pattern, index) => {
      if (typeof pattern !== "string" || !pattern.includes("*")) return;
      findings.push(
        error(
          ["domains", key, index],
          `found ${quote(pattern)}, wanted a name without *, because domains.enable_wildcard is false`,
        ),
      );
    });
  }
  if (valueAt(tree, ["domains", "intercept_domains"]) === undefined) {
    findings.push(
      error(
        ["domains", "enable_wildcard"],
        'found false, wanted intercept_domains beside it, whose default is ["*"]',
      ),
    );
  }
  return findings;
}

function idleDomains(tree: Table): Finding[] {
  const { intercept_domains, exclude_domains } = domainsSchema.shape;
  if (read(tree, intercept_domains, "domains", "intercept_domains")?.length === 0) {
    return [
      warning(
        ["domains", "intercept_domains"],
        'the list is empty, so that no request is forwarded; all is ["*"]',
      ),
    ];
  }
  if (read(tree, exclude_domains, "domains", "exclude_domains")?.includes("*")) {
    return [warning(["domains", "exclude_domains"], 'excludes "*", so that no request is forwarded')];
  }
  return [];
}

function idleWeights(tree: Table): Finding[] {
  const path = ["targets", "load_balancing", "type"];
  if (read(tree, loadBalancingSchema.shape.type, ...path) !== "roundrobin") return [];
  const weights = entries(tree, ["targets", "targets"]).map((target) =>
    isTable(target) ? read(target, targetSchema.shape.weight, "weight") : undefined
  ).filter((weight) => weight !== undefined);
  if (new Set(weights).size < 2) return [];
  return [
    warning(
      path,
      "roundrobin gives every target the same share, their different weights play no part: use weighted",
    ),
  ];
}

function unknownHistograms(tree: Table): Finding[] {
  const path = ["monitoring", "histogram_buckets"];
  return entries(tree, path).flatMap((_entry, index) => {
    const here = [...path, index, "metric"];
    const metric = read(tree, histogramSchema.shape.metric, ...here);
    if (metric === undefined || HISTOGRAMS.includes(metric)) return [];
    const meant = nearest(metric, HISTOGRAMS);
    const hint = meant === null ? `known are ${HISTOGRAMS.join(", ")}` : `did you mean ${meant}?`;
    return [warning(here, `no histogram is called ${quote(metric)}, ${hint}`)];
  });
}

function idlePlugins(tree: Table): Finding[] {
  const path = ["plugins", "plugins"];
  const isOn = read(tree, pluginsSchema.shape.enabled, "plugins", "enabled") === true;
  if (!isOn || entries(tree, path).length === 0) return [];
  return [{
    severity: "warning",
    path: ["plugins"],
    at: "key",
    message: "plugins are not run by this version",
  }];
}

/** The listener has no time-outs for clients yet; who sets one should know. */
function idleClientTimeouts(tree: Table): Finding[] {
  return (["keep_alive_timeout", "header_timeout"] as const).flatMap((key) => {
    const byDefault = serverSchema.shape[key].parse(undefined);
    const found = read(tree, serverSchema.shape[key], "server", key);
    if (found === undefined || found === byDefault) return [];
    return [warning(["server", key], "not enforced by this version: idle and slow clients are not closed")];
  });
}

function deadWebSockets(tree: Table): Finding[] {
  const { idle_timeout, ping_interval } = websocketSchema.shape;
  const idleTimeoutMs = read(tree, idle_timeout, "websocket", "idle_timeout");
  const pingIntervalMs = read(tree, ping_interval, "websocket", "ping_interval");
  if (idleTimeoutMs !== 0 || pingIntervalMs !== 0) return [];
  return [
    warning(
      ["websocket", "ping_interval"],
      "found 0 and no idle_timeout: WebSockets of peers that have vanished stay open for ever",
    ),
  ];
}
