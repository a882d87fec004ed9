import { deepEqual, equal } from "node:assert/strict";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { metricsJson, quantile, type RuntimeStatus } from "../../../src/metrics/json.ts";
import { RequestMetrics } from "../../../src/metrics/request_metrics.ts";
import { Metrics } from "./support.ts";

const status: RuntimeStatus = {
  uptimeSeconds: 12.5,
  targets: [
    {
      name: "b1",
      url: "http://a",
      healthy: true,
      draining: false,
      circuit: "closed",
      weight: 3,
      activeConnections: 2,
    },
    {
      name: "b2",
      url: "http://b",
      healthy: false,
      draining: true,
      circuit: "closed",
      weight: 0.5,
      activeConnections: 0,
    },
  ],
  loadBalancer: { type: "weighted", stickySessions: true },
  workers: { configured: 2, running: 1 },
};

Deno.test("metricsJson gives sums by label and joins what is known of the targets", () => {
  const metrics = new Metrics();
  const [cells, control] = [metrics.thread(1), metrics.thread(0)];
  const requests = new RequestMetrics(cells);
  requests.begin();
  for (const code of [200, 200, 404, 500, 502]) requests.requestFinished("a", "GET", code, 7.5);
  requests.requestFinished("b", "POST", 200, 7.5);
  requests.requestFinished("b", "GET", 999, 7.5);
  requests.target("b1").finished(200);
  requests.target("b1").finished(500);
  requests.target("b2").error("reset");
  requests.target("gone").finished(200);
  control.add(control.counter(FAMILIES.workerRestarts, []), 4);
  control.add(control.counter(FAMILIES.logWrites, ["file"]), 9);
  control.add(control.counter(FAMILIES.logDropped, []), 1);

  deepEqual(metricsJson(metrics.registry.gather(), status), {
    requests: {
      total: 7,
      active: 1,
      by_status: { 200: 3, 404: 1, 500: 1, 502: 1, other: 1 },
      by_method: { GET: 6, POST: 1 },
      by_domain: { a: 5, b: 2 },
      errors: 2,
      duration: { unit: "seconds", count: 7, sum: 0.0525, p50: 0.0075, p95: 0.00975, p99: 0.00995 },
    },
    targets: [
      {
        name: "b1",
        url: "http://a",
        healthy: true,
        draining: false,
        circuit: "closed",
        weight: 3,
        active_connections: 2,
        requests: 2,
        requests_by_status: { 200: 1, 500: 1 },
        errors: 0,
        errors_by_kind: {},
      },
      {
        name: "b2",
        url: "http://b",
        healthy: false,
        draining: true,
        circuit: "closed",
        weight: 0.5,
        active_connections: 0,
        requests: 0,
        requests_by_status: {},
        errors: 1,
        errors_by_kind: { reset: 1 },
      },
    ],
    load_balancer: { type: "weighted", sticky_sessions: true },
    workers: { configured: 2, running: 1, restarts: 4 },
    log: { writes: { file: 9 }, write_errors: {}, dropped: 1 },
    uptime_seconds: 12.5,
  });
});

Deno.test("metricsJson before the first request has zeros, and null for what cannot be known", () => {
  const { requests } = metricsJson(new Metrics().registry.gather(), status);
  deepEqual(requests, {
    total: 0,
    active: 0,
    by_status: {},
    by_method: {},
    by_domain: {},
    errors: 0,
    duration: { unit: "seconds", count: 0, sum: 0, p50: null, p95: null, p99: null },
  });
});

Deno.test("quantile spreads evenly within a bucket and stops at the highest bound", () => {
  const series = { labels: [], bounds: [1, 2, 4], counts: [0, 10, 10, 0], count: 20, sum: 0 };
  equal(quantile(series, 0), 1);
  equal(quantile(series, 0.25), 1.5);
  equal(quantile(series, 0.5), 2);
  equal(quantile(series, 0.75), 3);
  equal(quantile(series, 1), 4);
  equal(quantile({ ...series, counts: [0, 0, 0, 5], count: 5 }, 0.5), 4);
  equal(quantile({ ...series, counts: [0, 0, 0, 0], count: 0 }, 0.5), null);
});
