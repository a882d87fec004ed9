/** How the parts of the program are, in a word each, for /health and the console. */
import type { Component, Components, Role } from "../admin/api.ts";

export interface ComponentFacts {
  serving: boolean;
  threads: { wanted: number; running: number };
  log: { enabled: boolean; running: boolean; full: boolean };
  lastReloadError: string | null;
  adminRoles: readonly Role[];
}

export function components(
  { serving, threads, log, lastReloadError, adminRoles }: ComponentFacts,
): Components {
  return {
    proxy: proxy(serving, threads),
    traffic_log: trafficLog(log),
    config: lastReloadError === null
      ? OK
      : { state: "degraded", message: `the last reload was refused: ${lastReloadError}` },
    admin: adminRoles.length > 0
      ? OK
      : { state: "ok", message: "read-only and for clients on this machine: no token is configured" },
  };
}

const OK: Component = { state: "ok", message: null };

function proxy(serving: boolean, { wanted, running }: ComponentFacts["threads"]): Component {
  if (!serving) return { state: "failed", message: "not serving" };
  if (running === 0) return { state: "failed", message: "no proxy thread runs" };
  if (running < wanted) {
    return { state: "degraded", message: `${running} of ${wanted} proxy threads run` };
  }
  return OK;
}

function trafficLog({ enabled, running, full }: ComponentFacts["log"]): Component {
  if (!enabled) return { state: "off", message: "logging.enabled is false" };
  if (!running) return { state: "failed", message: "the writer thread does not run" };
  return full ? { state: "degraded", message: "the queue to the log is full" } : OK;
}
