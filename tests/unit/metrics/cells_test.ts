import { deepEqual, equal, throws } from "node:assert/strict";
import { bucketBounds } from "../../../src/metrics/buckets.ts";
import { MetricCells, type SeriesAnnouncement } from "../../../src/metrics/cells.ts";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { bytesFor, Metrics } from "./support.ts";

const { logWriteDuration, requestDuration, requests, securityDenied, targetHealthCheckDuration } = FAMILIES;

Deno.test("MetricCells announces a series once, and gives the same cell for the same labels", () => {
  const announced: SeriesAnnouncement[] = [];
  const cells = new Metrics().thread(1, { announce: (series) => announced.push(series) });
  const first = cells.counter(requests, ["a", "GET", "200"]);
  equal(cells.counter(requests, ["a", "GET", "200"]), first);
  deepEqual(announced, [
    { family: "dispa_requests_total", labels: ["a", "GET", "200"], offset: first, bounds: null },
  ]);
});

Deno.test("MetricCells keeps label sets apart whose values run together to the same text", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1);
  cells.add(cells.counter(FAMILIES.targetErrors, ["a", "bc"]), 1);
  cells.add(cells.counter(FAMILIES.targetErrors, ["ab", "c"]), 2);
  cells.add(cells.counter(FAMILIES.targetErrors, ['a","b', "c"]), 4);
  deepEqual(metrics.scalars(FAMILIES.targetErrors), { "a,bc": 1, "ab,c": 2, 'a","b,c': 4 });
});

Deno.test("MetricCells counts label sets beyond the cap as `other`, with nothing lost", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1, { maxLabelSets: 3 });
  for (let n = 0; n < 10; n++) cells.add(cells.counter(requests, [`d${n}`, "GET", "200"]), 1);
  for (let n = 0; n < 10; n++) cells.histogram(logWriteDuration, [`s${n}`]).observe(n);
  deepEqual(metrics.scalars(requests), {
    "d0,GET,200": 1,
    "d1,GET,200": 1,
    "d2,GET,200": 1,
    "other,other,other": 7,
  });
  deepEqual(
    metrics.histograms(logWriteDuration).map(({ labels, count, sum }) => [...labels, count, sum]),
    [["other", 7, 42], ["s0", 1, 0], ["s1", 1, 1], ["s2", 1, 2]],
  );
});

Deno.test("a label set written `other` is the one that overflow goes to, not a second one of that name", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1, { maxLabelSets: 1 });
  cells.add(cells.counter(securityDenied, ["other"]), 1);
  cells.add(cells.counter(securityDenied, ["rate_limit"]), 2);
  cells.add(cells.counter(securityDenied, ["denied_ip"]), 4);
  deepEqual(metrics.scalars(securityDenied), { other: 5, rate_limit: 2 });
});

Deno.test("a full block counts everything new as `other` and goes on with what it had", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1, { bytes: bytesFor(2) });
  const first = cells.counter(securityDenied, ["a"]);
  cells.counter(securityDenied, ["b"]);
  cells.add(cells.counter(securityDenied, ["c"]), 1);
  cells.add(cells.counter(requests, ["d", "GET", "200"]), 1);
  cells.histogram(logWriteDuration, ["file"]).observe(3);
  cells.histogram(requestDuration, []).observe(0.5);
  cells.add(first, 5);
  deepEqual(metrics.scalars(securityDenied), { a: 5, b: 0, other: 1 });
  deepEqual(metrics.scalars(requests), { "other,other,other": 1 });
  deepEqual(metrics.histograms(logWriteDuration).map(({ labels, count }) => [...labels, count]), [
    ["other", 1],
  ]);
  equal(metrics.histograms(requestDuration)[0].sum, 0.5);
});

Deno.test("MetricCells refuses a block too small for the reserved series and says how much is wanted", () => {
  const wanted = bytesFor(0);
  const make = (bytes: number) =>
    new MetricCells({ buffer: new SharedArrayBuffer(bytes), announce: () => {}, buckets: bucketBounds() });
  make(wanted);
  throws(
    () => make(wanted - 8),
    new RangeError(`cannot lay out metrics in ${wanted - 8} bytes: at least ${wanted} are wanted`),
  );
});

Deno.test("observe counts a value in the first bucket whose bound is not below it", () => {
  const metrics = new Metrics({ dispa_log_write_duration_ms: [1, 2, 4] });
  const histogram = metrics.thread(1).histogram(logWriteDuration, ["file"]);
  for (const value of [0, 0.5, 1, 1.001, 2, 3, 4, 4.001, 1e9]) histogram.observe(value);
  const [{ counts, count, bounds }] = metrics.histograms(logWriteDuration);
  deepEqual([counts, count, bounds], [[3, 2, 2, 2], 9, [1, 2, 4]]);
});

Deno.test("observe takes a negative time as 0 and leaves out what is not a finite number", () => {
  const metrics = new Metrics();
  const histogram = metrics.thread(1).histogram(logWriteDuration, ["file"]);
  for (const value of [-5, NaN, Infinity, 2]) histogram.observe(value);
  const [{ count, sum }] = metrics.histograms(logWriteDuration);
  deepEqual([count, sum], [2, 2]);
});

Deno.test("new buckets restart the histograms they change, also for who holds them, and nothing else", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1);
  const write = cells.histogram(logWriteDuration, ["file"]);
  const request = cells.histogram(requestDuration, []);
  const check = cells.histogram(targetHealthCheckDuration, ["t"]);
  const denied = cells.counter(securityDenied, ["a"]);
  write.observe(3);
  request.observe(3);
  check.observe(3);
  cells.add(denied, 3);

  const buckets = bucketBounds({
    dispa_log_write_duration_ms: [1, 2, 4],
    dispa_request_duration_seconds: [2000, 4000],
  });
  metrics.registry.setBuckets(buckets);
  deepEqual(metrics.histograms(logWriteDuration), [], "not read under the bounds it does not have yet");
  deepEqual(metrics.histograms(requestDuration)[0].counts, [0, 0, 0]);
  cells.setBuckets(buckets);
  write.observe(4);
  request.observe(5);
  check.observe(5);
  cells.add(denied, 5);

  deepEqual(metrics.histograms(logWriteDuration), [
    { labels: ["file"], bounds: [1, 2, 4], counts: [0, 0, 1, 0], count: 1, sum: 4 },
  ]);
  deepEqual(metrics.histograms(requestDuration), [
    { labels: [], bounds: [2, 4], counts: [0, 0, 1], count: 1, sum: 5 },
  ]);
  deepEqual(metrics.histograms(targetHealthCheckDuration)[0].sum, 8);
  deepEqual(metrics.scalars(securityDenied), { a: 8 });
});

Deno.test("buckets may change any number of times without using up the block", () => {
  const metrics = new Metrics();
  const cells = metrics.thread(1, { bytes: bytesFor(200) });
  const sinks = ["a", "b", "c"].map((sink) => cells.histogram(logWriteDuration, [sink]));
  const request = cells.histogram(requestDuration, []);
  for (let round = 1; round <= 100; round++) {
    const boundsMs = round % 2 ? [1, 2, 3, 4] : [5, 6];
    const buckets = bucketBounds({
      dispa_log_write_duration_ms: boundsMs,
      dispa_request_duration_seconds: boundsMs,
    });
    metrics.registry.setBuckets(buckets);
    cells.setBuckets(buckets);
    sinks.forEach((sink, index) => sink.observe(index + round));
    request.observe(round);
    deepEqual(
      metrics.histograms(logWriteDuration).map(({ labels, count, sum }) => [...labels, count, sum]),
      [["a", 1, round], ["b", 1, 1 + round], ["c", 1, 2 + round]],
    );
    deepEqual(metrics.histograms(requestDuration).map(({ count, sum }) => [count, sum]), [[1, round]]);
  }
});

Deno.test("a histogram that finds no place for its new buckets counts as `other` until it finds one", () => {
  const metrics = new Metrics({ dispa_log_write_duration_ms: [1] });
  const cells = metrics.thread(1, { bytes: bytesFor(6) });
  const sinks = ["a", "b"].map((sink) => cells.histogram(logWriteDuration, [sink]));
  const change = (boundsMs: number[]) => {
    const buckets = bucketBounds({ dispa_log_write_duration_ms: boundsMs });
    metrics.registry.setBuckets(buckets);
    cells.setBuckets(buckets);
    sinks.forEach((sink, index) => sink.observe(index + 1));
    return metrics.histograms(logWriteDuration).map(({ labels, sum }) => [...labels, sum]);
  };
  deepEqual(change([1, 2]), [["other", 3]]);
  deepEqual(change([3]), [["a", 1], ["b", 2], ["other", 0]]);
  deepEqual(change([1]), [["other", 3]], "the places are taken until the next change");
  deepEqual(change([4]), [["a", 1], ["b", 2], ["other", 0]]);
});
