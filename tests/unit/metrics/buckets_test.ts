import { deepEqual, throws } from "node:assert/strict";
import { bucketBounds, MAX_BOUNDS, unknownHistograms } from "../../../src/metrics/buckets.ts";

Deno.test("bucketBounds without the operator's own gives the documented defaults in the metric's unit", () => {
  const bounds = bucketBounds();
  deepEqual(bounds["dispa_log_write_duration_ms"], [
    ...[0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000],
  ]);
  deepEqual(bounds["dispa_target_health_check_duration_ms"], [
    ...[1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000],
  ]);
  deepEqual(bounds["dispa_request_duration_seconds"], [
    ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  ]);
});

Deno.test("bucketBounds takes milliseconds and divides those of a metric in seconds by 1000", () => {
  const bounds = bucketBounds({
    dispa_log_write_duration_ms: [0.5, 1, 200],
    dispa_request_duration_seconds: [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000],
  });
  deepEqual(bounds["dispa_log_write_duration_ms"], [0.5, 1, 200]);
  deepEqual(bounds["dispa_request_duration_seconds"], [
    ...[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  ]);
});

Deno.test("bucketBounds refuses bounds that cannot be buckets and names the metric and the bounds", () => {
  const tooMany = Array.from({ length: MAX_BOUNDS + 1 }, (_, index) => index + 1);
  for (const bad of [[], [0, 1], [-1, 1], [1, 1], [2, 1], [1, NaN], [1, Infinity], tooMany]) {
    throws(() => bucketBounds({ dispa_plugin_duration_ms: bad }), (error: Error) => {
      return error instanceof RangeError && error.message.includes('"dispa_plugin_duration_ms"') &&
        error.message.includes(JSON.stringify(bad));
    }, JSON.stringify(bad));
  }
});

Deno.test("unknownHistograms names what is no histogram: a misspelt name, a counter, a property of Object", () => {
  const customMs = {
    dispa_request_duration_seconds: [1],
    dispa_request_duration_ms: [1],
    dispa_requests_total: [1],
    toString: [1],
  };
  deepEqual(unknownHistograms(customMs), ["dispa_request_duration_ms", "dispa_requests_total", "toString"]);
});
