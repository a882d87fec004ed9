import { deepEqual, equal } from "node:assert/strict";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { RequestMetrics } from "../../../src/metrics/request_metrics.ts";
import { Metrics } from "./support.ts";

Deno.test("requestFinished counts by rule, method and status, and observes the duration in seconds", () => {
  const metrics = new Metrics();
  const [one, two] = [new RequestMetrics(metrics.thread(1)), new RequestMetrics(metrics.thread(2))];
  one.requestFinished("*.example.com", "GET", 200, 2.5);
  one.requestFinished("*.example.com", "GET", 200, 2.51);
  one.requestFinished("*.example.com", "GET", 404, 1);
  one.requestFinished("*.example.com", "POST", 200, 1);
  two.requestFinished("*.example.com", "GET", 200, 20_000);
  two.requestFinished("", "GET", 404, 1);
  deepEqual(metrics.scalars(FAMILIES.requests), {
    ",GET,404": 1,
    "*.example.com,GET,200": 3,
    "*.example.com,GET,404": 1,
    "*.example.com,POST,200": 1,
  });
  const [{ counts, count }] = metrics.histograms(FAMILIES.requestDuration);
  deepEqual([counts, count], [[3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 6]);
});

Deno.test("requestFinished counts methods that a client made up, and impossible statuses, as `other`", () => {
  const metrics = new Metrics();
  const requests = new RequestMetrics(metrics.thread(1));
  for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]) {
    requests.requestFinished("a", method, 200, 1);
  }
  for (const method of ["get", "PROPFIND", "x".repeat(1000), "constructor"]) {
    requests.requestFinished("a", method, 200, 1);
  }
  for (const status of [99, 600, 1200, -1, NaN]) requests.requestFinished("a", "GET", status, 1);
  deepEqual(metrics.scalars(FAMILIES.requests), {
    "a,CONNECT,200": 1,
    "a,DELETE,200": 1,
    "a,GET,200": 1,
    "a,GET,other": 5,
    "a,HEAD,200": 1,
    "a,OPTIONS,200": 1,
    "a,PATCH,200": 1,
    "a,POST,200": 1,
    "a,PUT,200": 1,
    "a,TRACE,200": 1,
    "a,other,200": 4,
  });
});

Deno.test("requestFinished goes on with `other` when rules never end", () => {
  const metrics = new Metrics();
  const requests = new RequestMetrics(metrics.thread(1));
  for (let n = 0; n < 3000; n++) requests.requestFinished(`d${n}`, "GET", 200, 1);
  for (let n = 0; n < 3000; n++) requests.requestFinished(`d${n}`, "GET", 200, 1);
  const counted = metrics.scalars(FAMILIES.requests);
  equal(Object.keys(counted).length, 1001);
  equal(counted["d0,GET,200"], 2);
  equal(counted["other,other,other"], 4000);
});

Deno.test("begin and end count the requests in flight over all threads", () => {
  const metrics = new Metrics();
  const [one, two] = [new RequestMetrics(metrics.thread(1)), new RequestMetrics(metrics.thread(2))];
  one.begin();
  one.begin();
  two.begin();
  equal(metrics.scalars(FAMILIES.activeRequests)[""], 3);
  one.end();
  two.end();
  equal(metrics.scalars(FAMILIES.activeRequests)[""], 1);
});

Deno.test("active connections are exported once a thread has said how many it has", () => {
  const metrics = new Metrics();
  const [one, two] = [new RequestMetrics(metrics.thread(1)), new RequestMetrics(metrics.thread(2))];
  deepEqual(metrics.scalars(FAMILIES.activeConnections), {});
  one.setActiveConnections(5);
  two.setActiveConnections(3);
  one.setActiveConnections(4);
  deepEqual(metrics.scalars(FAMILIES.activeConnections), { "": 7 });
});

Deno.test("target counts answers by status and failed attempts by kind", () => {
  const metrics = new Metrics();
  const requests = new RequestMetrics(metrics.thread(1));
  const target = requests.target("b1");
  equal(requests.target("b1"), target);
  target.finished(200);
  target.finished(200);
  target.finished(999);
  requests.target("b2").finished(503);
  target.error("connect_refused");
  target.error("connect_refused");
  requests.target("b2").error("upstream_timeout");
  deepEqual(metrics.scalars(FAMILIES.targetRequests), { "b1,200": 2, "b1,other": 1, "b2,503": 1 });
  deepEqual(metrics.scalars(FAMILIES.targetErrors), { "b1,connect_refused": 2, "b2,upstream_timeout": 1 });
});

Deno.test("targets beyond the bound share the counters of `other`", () => {
  const metrics = new Metrics();
  const requests = new RequestMetrics(metrics.thread(1));
  for (let n = 0; n < 1000; n++) requests.target(`t${n}`);
  requests.target("one too many").finished(200);
  requests.target("two too many").finished(200);
  deepEqual(metrics.scalars(FAMILIES.targetRequests), { "other,200": 2 });
});
