/** Every endpoint of the admin API: what the OpenAPI document and the plain page are made of. */
import type { Role } from "./api.ts";

export interface Endpoint {
  method: "get" | "put" | "post";
  path: string;
  /** Null: anybody who may see the listener at all. */
  role: Role | null;
  summary: string;
  /** Name of a type of `api.ts`, or the media type of what is no JSON. */
  request?: string;
  answer: string;
  /** Names of query parameters and what they mean; `?` after the name of one that is a flag. */
  query?: Record<string, string>;
}

const FILTERS: Record<string, string> = {
  host: "this host exactly",
  path: "paths that begin so",
  status: "404, 5xx or 500-599",
  target: "this target",
  client_ip: "this client",
  min_duration: "requests that took at least so many milliseconds",
  request_id: "this X-Request-Id",
};
const RANGE: Record<string, string> = {
  since: "from 90s, 30m, 1h, 2d or 1w ago, or from a time of ISO 8601",
  until: "up to a time of the same forms",
  from: "file or database, where the configuration has both",
};

export const ENDPOINTS: readonly Endpoint[] = [
  { method: "get", path: "/admin", role: null, summary: "The console", answer: "text/html" },
  {
    method: "get",
    path: "/admin/assets/{name}",
    role: null,
    summary: "A file of the console",
    answer: "*/*",
  },
  {
    method: "get",
    path: "/admin/openapi.json",
    role: null,
    summary: "This document",
    answer: "application/json",
  },
  { method: "get", path: "/admin/session", role: null, summary: "Who the caller is", answer: "Session" },
  {
    method: "post",
    path: "/admin/login",
    role: null,
    summary: "Exchange a token for a login cookie",
    request: "LoginRequest",
    answer: "Session",
  },
  { method: "post", path: "/admin/logout", role: null, summary: "End the login", answer: "Session" },
  {
    method: "get",
    path: "/admin/status",
    role: "viewer",
    summary: "State of the whole program",
    answer: "Status",
  },
  {
    method: "get",
    path: "/admin/targets",
    role: "viewer",
    summary: "Targets and how they do",
    answer: "Targets",
  },
  {
    method: "post",
    path: "/admin/targets",
    role: "editor",
    summary: "Drain, resume, weigh or force a target",
    request: "TargetAction",
    answer: "TargetChanged",
  },
  {
    method: "get",
    path: "/admin/config",
    role: "viewer",
    summary: "The configuration file, secrets masked, with an ETag",
    answer: "application/toml",
  },
  ...(["put", "post"] as const).map((method): Endpoint => ({
    method,
    path: "/admin/config",
    role: "editor",
    summary: "Check a configuration, write it and take it into use; If-Match guards against lost changes",
    request: "application/toml",
    answer: "ConfigApplied",
    query: { dry_run: "true: only check it, answered by ConfigChecked" },
  })),
  {
    method: "get",
    path: "/admin/config/json",
    role: "viewer",
    summary: "The configuration in use with its defaults, secrets masked",
    answer: "ConfigJson",
  },
  {
    method: "get",
    path: "/admin/config/history",
    role: "viewer",
    summary: "Versions that have been replaced, newest first",
    answer: "ConfigHistory",
  },
  {
    method: "get",
    path: "/admin/config/history/{id}",
    role: "viewer",
    summary: "One version, secrets masked",
    answer: "application/toml",
  },
  {
    method: "get",
    path: "/admin/config/history/{id}/diff",
    role: "viewer",
    summary: "What has changed from a version to the file as it is",
    answer: "ConfigDiff",
  },
  {
    method: "post",
    path: "/admin/config/rollback",
    role: "editor",
    summary: "Bring a version back into use",
    request: "RollbackRequest",
    answer: "ConfigApplied",
  },
  {
    method: "get",
    path: "/admin/traffic",
    role: "viewer",
    summary: "Records of the traffic log that match",
    answer: "TrafficRecords",
    query: { ...RANGE, ...FILTERS, limit: "1 to 1000, default 100", order: "newest or slowest" },
  },
  {
    method: "get",
    path: "/admin/traffic/stats",
    role: "viewer",
    summary: "Requests, errors, bytes and percentiles of what matches",
    answer: "TrafficStats",
    query: { ...RANGE, ...FILTERS, by: "host, target, status or minute" },
  },
  {
    method: "get",
    path: "/admin/traffic/live",
    role: "viewer",
    summary: "Records as they are written",
    answer: "text/event-stream",
    query: FILTERS,
  },
  {
    method: "get",
    path: "/admin/explain",
    role: "viewer",
    summary: "What would become of a request, step by step, without sending it",
    answer: "Explained",
    query: {
      host: "the host asked for, with an optional port",
      path: "path and query, default /",
      method: "default GET",
      scheme: "http (default) or https",
      client_ip: "address the connection comes from, default 127.0.0.1",
      header: "Name: value; may be given several times",
      request_id: "X-Request-Id of a recorded request: its host, path, method and client",
    },
  },
  {
    method: "post",
    path: "/admin/explain",
    role: "viewer",
    summary: "The same, asked by an object with the same names, and headers as an object",
    request: "application/json",
    answer: "Explained",
  },
  {
    method: "get",
    path: "/admin/events",
    role: "viewer",
    summary: "A sample a second, and changes of targets and configuration",
    answer: "text/event-stream",
  },
  {
    method: "get",
    path: "/admin/audit",
    role: "admin",
    summary: "Who changed what, newest first",
    answer: "AuditEntries",
    query: { limit: "1 to 1000, default 100" },
  },
];
