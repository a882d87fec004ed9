/** What no single key can tell: names that are used twice, times and ports that do not go together. */
import type * as z from "zod";
import { accessChecks } from "./access_checks.ts";
import { authChecks } from "./auth_checks.ts";
import { nearest } from "./nearest.ts";
import { REQUEST_ONLY } from "./plugins/mod.ts";
import { formatPath, type Path, quote, showFound } from "./problem.ts";
import { circuitBreakerSchema } from "./sections/circuit_breaker.ts";
import { checkRouting } from "./routing_checks.ts";
import { domainsSchema } from "./sections/domains.ts";
import { errorPageSchema } from "./sections/error_pages.ts";
import { HISTOGRAMS, histogramSchema, monitoringSchema } from "./sections/monitoring.ts";
import { pluginSchema } from "./sections/plugins.ts";
import { retrySchema } from "./sections/retry.ts";
import { serverSchema } from "./sections/server.ts";
import { healthCheckSchema, loadBalancingSchema, targetSchema } from "./sections/targets.ts";
import { certificateSchema, isTlsEnabled, tlsSchema } from "./sections/tls.ts";
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
    ...openTimes(tree),
    ...ports(tree),
    ...wildcards(tree),
    ...idleDomains(tree),
    ...idleWeights(tree),
    ...idleBackups(tree),
    ...idleBreaker(tree),
    ...idleAttempts(tree),
    ...unknownHistograms(tree),
    ...pluginStages(tree),
    ...repeatedNames(tree, ["tls", "certificates"], "domain", certificateSchema.shape.domain),
    ...certificatePairs(tree),
    ...tlsWithoutEffect(tree),
    ...accessChecks(tree),
    ...authChecks(tree),
    ...checkRouting(tree),
    ...deadWebSockets(tree),
    ...errorPages(tree),
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

function openTimes(tree: Table): Finding[] {
  const path = ["targets", "circuit_breaker"];
  const { open_secs, max_open_secs } = circuitBreakerSchema.shape;
  const openMs = read(tree, open_secs, ...path, "open_secs");
  const maxMs = read(tree, max_open_secs, ...path, "max_open_secs");
  if (openMs === undefined || maxMs === undefined || maxMs >= openMs) return [];
  // The one to point at is the one that somebody wrote.
  const wroteMax = valueAt(tree, [...path, "max_open_secs"]) !== undefined;
  return [
    wroteMax
      ? error(
        [...path, "max_open_secs"],
        `found ${maxMs / 1000}, wanted no less than open_secs, which is ${openMs / 1000}`,
      )
      : error(
        [...path, "open_secs"],
        `found ${openMs / 1000}, wanted no more than max_open_secs, which is ${maxMs / 1000} by default`,
      ),
  ];
}

interface UsedPort {
  path: Path;
  port: number | undefined;
}

function clientPorts(tree: Table): UsedPort[] {
  const bind = read(tree, serverSchema.shape.bind_address, "server", "bind_address");
  const plain = { path: ["server", "bind_address"], port: bind?.port };
  const tls = tlsSchema.safeParse(valueAt(tree, ["tls"]) ?? {});
  if (!tls.success || !isTlsEnabled(tls.data)) return [plain];
  const secure = { path: ["tls", "port"], port: tls.data.port };
  return tls.data.plain_http ? [plain, secure] : [secure];
}

function monitoringPorts(tree: Table): UsedPort[] {
  const { enabled, health_check_port, metrics_port } = monitoringSchema.shape;
  if (read(tree, enabled, "monitoring", "enabled") === false) return [];
  return [
    {
      path: ["monitoring", "health_check_port"],
      port: read(tree, health_check_port, "monitoring", "health_check_port"),
    },
    { path: ["monitoring", "metrics_port"], port: read(tree, metrics_port, "monitoring", "metrics_port") },
  ];
}

function ports(tree: Table): Finding[] {
  const used = [...clientPorts(tree), ...monitoringPorts(tree)];
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

function idleBackups(tree: Table): Finding[] {
  const path = ["targets", "targets"];
  const targets = entries(tree, path);
  const isBackup = (target: unknown) =>
    isTable(target) && read(target, targetSchema.shape.backup, "backup") === true;
  if (targets.length === 0 || !targets.every(isBackup)) return [];
  return [
    warning([...path, 0, "backup"], "every target is a backup, so that all of them are used at any time"),
  ];
}

function idleBreaker(tree: Table): Finding[] {
  const path = ["targets", "circuit_breaker"];
  const { shape } = circuitBreakerSchema;
  if (read(tree, shape.enabled, ...path, "enabled") === false) return forgottenSwitch(tree, path);
  const slowCall = valueAt(tree, [...path, "slow_call_secs"]);
  if (slowCall === undefined && valueAt(tree, [...path, "slow_call_ratio"]) !== undefined) {
    return [warning([...path, "slow_call_ratio"], "plays no part without slow_call_secs")];
  }
  const isOff = slowCall === undefined &&
    read(tree, shape.consecutive_failures, ...path, "consecutive_failures") === 0 &&
    read(tree, shape.failure_ratio, ...path, "failure_ratio") === 0;
  return isOff
    ? [warning(
      [...path, "consecutive_failures"],
      "no circuit ever opens: consecutive_failures and failure_ratio are 0, and slow_call_secs is not set",
    )]
    : [];
}

function idleAttempts(tree: Table): Finding[] {
  const { shape } = retrySchema;
  if (read(tree, shape.enabled, "retry", "enabled") === false) return forgottenSwitch(tree, ["retry"]);
  const perTryMs = read(tree, shape.per_try_timeout, "retry", "per_try_timeout");
  const totalMs = read(tree, shape.total_timeout, "retry", "total_timeout") ??
    read(tree, serverSchema.shape.request_timeout, "server", "request_timeout");
  if (perTryMs === undefined || totalMs === undefined || perTryMs < totalMs) return [];
  return [
    warning(
      ["retry", "per_try_timeout"],
      `leaves no time for another attempt after a timeout: total_timeout is ${totalMs / 1000}`,
    ),
  ];
}

/** A section that is off by default, with keys in it that say somebody wants it on. */
function forgottenSwitch(tree: Table, path: Path): Finding[] {
  const section = valueAt(tree, path);
  if (!isTable(section) || "enabled" in section || Object.keys(section).length === 0) return [];
  return [{
    severity: "warning",
    path,
    at: "key",
    message: "plays no part: add enabled = true to it, or enabled = false to keep it for later",
  }];
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

/** A plugin at a stage where it does nothing may be a protection that somebody believes to have. */
function pluginStages(tree: Table): Finding[] {
  return entries(tree, ["plugins", "plugins"]).flatMap((plugin, index) => {
    const here = ["plugins", "plugins", index];
    const type = read(tree, pluginSchema.shape.type, ...here, "type");
    const stage = read(tree, pluginSchema.shape.stage, ...here, "stage");
    if (type === undefined || stage === undefined) return [];
    if (stage === "response" && REQUEST_ONLY.has(type)) {
      return [
        error([...here, "stage"], `found "response", wanted "request": ${type} does nothing on responses`),
      ];
    }
    if (stage === "both") return [];
    const other = stage === "request" ? "response" : "request";
    const config = valueAt(plugin, ["config"]);
    return Object.keys(isTable(config) ? config : {})
      .filter((key) => key.split("_").includes("headers") && key.split("_").includes(other))
      .map((key): Finding => ({
        severity: "warning",
        path: [...here, "config", key],
        at: "key",
        message: `not used at the stage ${stage}, wanted stage = "both"`,
      }));
  });
}

/** Keys of a certificate and of its private key, of which none is any use without the other. */
const PAIRS: readonly (readonly [section: string, certificate: string, key: string])[] = [
  ["tls", "cert_file", "key_file"],
  ["http_client", "client_cert_file", "client_key_file"],
];

function certificatePairs(tree: Table): Finding[] {
  return PAIRS.flatMap(([section, certificate, key]) => {
    const has = (name: string) => valueAt(tree, [section, name]) !== undefined;
    if (has(certificate) === has(key)) return [];
    const [there, missing] = has(certificate) ? [certificate, key] : [key, certificate];
    return [error([section, there], `found without ${missing}, wanted both`)];
  });
}

function tlsWithoutEffect(tree: Table): Finding[] {
  const outcome = tlsSchema.safeParse(valueAt(tree, ["tls"]) ?? {});
  if (!outcome.success) return [];
  const { data: tls } = outcome;
  const named = tls.cert_file !== undefined || tls.certificates.length > 0;
  if (!isTlsEnabled(tls)) {
    return tls.plain_http ? [] : [error(["tls", "plain_http"], "found false, wanted tls.enabled beside it")];
  }
  if (!named) return [error(["tls", "enabled"], "found true, wanted cert_file and key_file beside it")];
  if (tls.redirect_http && !tls.plain_http) {
    return [warning(["tls", "redirect_http"], "has no effect where plain_http is false")];
  }
  return [];
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

function errorPages(tree: Table): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<number | string, Path>();
  entries(tree, ["error_pages", "pages"]).forEach((page, index) => {
    const here = ["error_pages", "pages", index];
    if (!isTable(page)) return;
    const hasFile = "file" in page, hasText = "text" in page;
    if (hasFile === hasText) {
      findings.push({
        severity: "error",
        path: here,
        at: "key",
        message: hasFile ? "found file and text, wanted one of them" : "missing, wanted file or text",
      });
    }
    const statuses = read(tree, errorPageSchema.shape.status, ...here, "status") ?? [];
    statuses.forEach((status, at) => {
      const path = [...here, "status", at];
      const first = seen.get(status);
      if (first === undefined) seen.set(status, path);
      else {findings.push(
          error(path, `found ${showFound(status)} again after ${formatPath(first)}, wanted one page for it`),
        );}
    });
  });
  return findings;
}
