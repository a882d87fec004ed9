import { deepEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { MetricCells, type SeriesAnnouncement } from "../../../src/metrics/cells.ts";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { Metrics } from "./support.ts";

const { activeRequests, logDropped, logWriteDuration, requestDuration, requests, securityDenied, uptime } =
  FAMILIES;

const word = fc.constantFrom("", "a", "b", "*.example.com", 'quo"te', "back\\slash", "new\nline", "0");
const step = fc.record({
  thread: fc.nat(3),
  labels: fc.tuple(word, word, word),
  add: fc.nat(1000),
  observe: fc.integer({ min: 0, max: 6_000_000 }).map((n) => n / 1024),
  retire: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
});

Deno.test("gather gives exactly the sum of what all threads counted, the dead ones included", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const metrics = new Metrics();
      let nextId = 4;
      const threads = [0, 1, 2, 3].map((id) => ({ id, cells: metrics.thread(id) }));
      const counts: Record<string, number> = {};
      const observed: number[] = [];
      for (const { thread, labels, add, observe, retire } of steps) {
        const { id, cells } = threads[thread];
        cells.add(cells.counter(requests, labels), add);
        cells.histogram(requestDuration, []).observe(observe);
        counts[labels.join()] = (counts[labels.join()] ?? 0) + add;
        observed.push(observe);
        if (retire) {
          metrics.registry.retire(id);
          threads[thread] = { id: nextId, cells: metrics.thread(nextId++) };
        }
      }
      deepEqual(sortKeys(metrics.scalars(requests)), sortKeys(counts));
      const [{ bounds, counts: buckets, count, sum }] = metrics.histograms(requestDuration);
      equal(count, observed.length);
      // Multiples of 1/1024 below 2^53: the sum is exact in any order.
      equal(sum, observed.reduce((total, value) => total + value, 0));
      let cumulative = 0;
      bounds.forEach((bound, index) => {
        cumulative += buckets[index];
        equal(cumulative, observed.filter((value) => value <= bound).length, `up to ${bound}`);
      });
    }),
    { numRuns: 100 },
  );
});

function sortKeys(record: Record<string, number>): [string, number][] {
  return Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1);
}

Deno.test("retire keeps the counters and histograms of a dead thread, and drops its gauges", () => {
  const metrics = new Metrics();
  const [dying, living] = [metrics.thread(1), metrics.thread(2)];
  for (const cells of [dying, living]) {
    cells.add(cells.counter(securityDenied, ["rate_limit"]), 3);
    cells.add(cells.gauge(activeRequests, []), 5);
    cells.histogram(logWriteDuration, ["file"]).observe(7);
  }
  metrics.registry.retire(1);
  metrics.registry.retire(1);
  deepEqual(metrics.scalars(securityDenied), { rate_limit: 6 });
  deepEqual(metrics.scalars(activeRequests), { "": 5 });
  for (const scrape of ["first", "second"]) {
    const [{ counts, count, sum }] = metrics.histograms(logWriteDuration);
    deepEqual([counts.filter((n) => n > 0), count, sum], [[2], 2, 14], `${scrape} scrape`);
  }
});

Deno.test("a counter never goes down while threads die and others take their place", () => {
  const metrics = new Metrics();
  let last = 0;
  for (let id = 0; id < 20; id++) {
    const cells = metrics.thread(id);
    cells.add(cells.counter(securityDenied, ["rate_limit"]), 1);
    const before = metrics.scalars(securityDenied)["rate_limit"];
    metrics.registry.retire(id);
    const after = metrics.scalars(securityDenied)["rate_limit"];
    deepEqual([before, after], [last + 1, last + 1]);
    last = after;
  }
});

Deno.test("what is remembered of dead threads is bounded, with nothing lost", () => {
  const metrics = new Metrics();
  for (let id = 0; id < 3; id++) {
    const cells = metrics.thread(id);
    for (let n = 0; n < 600; n++) cells.add(cells.counter(requests, [`${id}-${n}`, "GET", "200"]), 1);
    metrics.registry.retire(id);
  }
  const kept = metrics.scalars(requests);
  equal(Object.keys(kept).length, 1001);
  equal(kept["other,other,other"], 800);
});

Deno.test("an announcement that arrives after its thread was retired changes nothing", () => {
  const metrics = new Metrics();
  const late: SeriesAnnouncement[] = [];
  const cells = metrics.thread(1, { announce: (series) => late.push(series) });
  cells.add(cells.counter(securityDenied, ["rate_limit"]), 3);
  metrics.registry.retire(1);
  for (const series of late) metrics.registry.announce(1, series);
  deepEqual(metrics.scalars(securityDenied), {});
});

Deno.test("attach refuses a thread that is attached already", () => {
  const metrics = new Metrics();
  metrics.thread(7);
  throws(
    () => metrics.registry.attach(7, new SharedArrayBuffer(MetricCells.BYTES)),
    new Error("cannot attach the metrics of thread 7: it is attached already"),
  );
});

Deno.test("collect asks at every scrape and adds to what the threads counted", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1);
  cells.add(cells.counter(securityDenied, ["rate_limit"]), 1);
  let value = 10;
  metrics.registry.collect(securityDenied, () => [{ labels: ["rate_limit"], value: value++ }]);
  metrics.registry.collect(uptime, () => [{ labels: [], value: 1.5 }]);
  deepEqual(metrics.scalars(securityDenied), { rate_limit: 11 });
  deepEqual(metrics.scalars(securityDenied), { rate_limit: 12 });
  deepEqual(metrics.scalars(uptime), { "": 1.5 });
});

Deno.test("gather leaves out families without a series, and has Dispa's own totals from zero", () => {
  const { registry } = new Metrics();
  const names = registry.gather().map(({ family }) => family.name);
  deepEqual(names, [
    "dispa_accept_errors_total",
    "dispa_active_requests",
    "dispa_log_dropped_total",
    "dispa_request_duration_seconds",
    "dispa_websocket_connections",
    "dispa_worker_restarts_total",
  ]);
});

Deno.test("gather gives families by name and series by their labels, whatever the order they came in", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(2);
  for (const labels of [["b", "GET", "200"], ["a", "POST", "200"], ["a", "GET", "404"]] as const) {
    cells.counter(requests, labels);
  }
  const other = metrics.thread(1);
  for (const labels of [["a", "GET", "200"], ["b", "GET", "200"]] as const) other.counter(requests, labels);
  other.counter(logDropped, []);
  const snapshots = metrics.registry.gather();
  const names = snapshots.map(({ family }) => family.name);
  deepEqual(names, [...names].sort());
  deepEqual(Object.keys(metrics.scalars(requests)), ["a,GET,200", "a,GET,404", "a,POST,200", "b,GET,200"]);
});
