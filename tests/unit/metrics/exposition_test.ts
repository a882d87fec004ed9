import { deepEqual, equal } from "node:assert/strict";
import { exposition, EXPOSITION_CONTENT_TYPE } from "../../../src/metrics/exposition.ts";
import { ALL_FAMILIES, FAMILIES, type MetricFamily } from "../../../src/metrics/families.ts";
import type { FamilySnapshot } from "../../../src/metrics/registry.ts";
import { collectProcess } from "../../../src/metrics/process.ts";
import { Metrics } from "./support.ts";

Deno.test("exposition writes counters, gauges and histograms as text format 0.0.4 has them", () => {
  const metrics = new Metrics({ dispa_log_write_duration_ms: [0.5, 10] });
  const cells = metrics.thread(1);
  cells.add(cells.counter(FAMILIES.requests, ["*.example.com", "GET", "200"]), 12);
  cells.set(cells.gauge(FAMILIES.activeConnections, []), 3);
  const histogram = cells.histogram(FAMILIES.logWriteDuration, ["file"]);
  for (const value of [0.25, 0.5, 7, 11]) histogram.observe(value);
  const wanted = new Set(["dispa_requests_total", "dispa_active_connections", "dispa_log_write_duration_ms"]);
  const snapshots = metrics.registry.gather().filter(({ family }) => wanted.has(family.name));
  equal(
    exposition(snapshots),
    `# HELP dispa_active_connections Client connections open now.
# TYPE dispa_active_connections gauge
dispa_active_connections 3
# HELP dispa_log_write_duration_ms Time of one batch written to a sink of the traffic log, in milliseconds.
# TYPE dispa_log_write_duration_ms histogram
dispa_log_write_duration_ms_bucket{sink="file",le="0.5"} 2
dispa_log_write_duration_ms_bucket{sink="file",le="10"} 3
dispa_log_write_duration_ms_bucket{sink="file",le="+Inf"} 4
dispa_log_write_duration_ms_sum{sink="file"} 18.75
dispa_log_write_duration_ms_count{sink="file"} 4
# HELP dispa_requests_total Requests answered, by the domain rule that matched, method and status sent to the client.
# TYPE dispa_requests_total counter
dispa_requests_total{domain="*.example.com",method="GET",status="200"} 12
`,
  );
});

Deno.test("exposition escapes label values and help texts, and writes numbers that are not finite", () => {
  const family = { type: "gauge", name: "x", help: 'a "b" \\ c\nd', labels: ["l"], unit: "none" } as const;
  const series = [
    { labels: ['q" b\\ n\n 中文 {}=,'], value: Infinity },
    { labels: ["\\n"], value: -Infinity },
    { labels: [""], value: NaN },
  ];
  const snapshots: FamilySnapshot[] = [{ kind: "scalar", family, series }];
  equal(
    exposition(snapshots),
    '# HELP x a "b" \\\\ c\\nd\n# TYPE x gauge\n' +
      'x{l="q\\" b\\\\ n\\n 中文 {}=,"} +Inf\nx{l="\\\\n"} -Inf\nx{l=""} NaN\n',
  );
});

Deno.test("the content type is that of text format 0.0.4", () => {
  equal(EXPOSITION_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
});

/** A registry in which every family of Dispa has series, among them label values that need escapes. */
function everything(): Metrics {
  const metrics = new Metrics();
  for (const id of [1, 2]) {
    const cells = metrics.thread(id);
    for (const family of ALL_FAMILIES) {
      if (family.name.startsWith("process_")) continue;
      for (const value of family.labels.length === 0 ? [""] : ["plain", 'q"u\\o\nte 中']) {
        const labels = family.labels.map(() => value);
        if (family.type === "histogram") cells.histogram(family, labels).observe(0.75);
        else if (family.type === "counter") cells.add(cells.counter(family, labels), 2);
        else cells.set(cells.gauge(family, labels), 1);
      }
    }
  }
  collectProcess(metrics.registry, "1.2.3");
  return metrics;
}

async function promtoolRemarks(text: string): Promise<{ code: number; remarks: string[] }> {
  const promtool = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = promtool.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout, stderr } = await promtool.output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return { code, remarks: output.split("\n").filter((line) => line !== "") };
}

function hasPromtool(): boolean {
  try {
    return new Deno.Command("promtool", { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const ignore = !hasPromtool();
if (ignore) console.log("SKIP exposition tests: promtool (Debian package prometheus) is not installed");

const inMilliseconds = (family: MetricFamily) => family.name.endsWith("_ms");

Deno.test({
  name:
    "promtool has nothing to say of a full export but that the contract's names in `_ms` abbreviate a unit",
  ignore,
  fn: async () => {
    const snapshots = everything().registry.gather();
    deepEqual(snapshots.map(({ family }) => family.name), ALL_FAMILIES.map(({ name }) => name));
    const all = await promtoolRemarks(exposition(snapshots));
    deepEqual(
      all.remarks.sort(),
      ALL_FAMILIES.filter(inMilliseconds)
        .map(({ name }) => `${name} metric names should not contain abbreviated units`),
    );
    const rest = await promtoolRemarks(exposition(snapshots.filter(({ family }) => !inMilliseconds(family))));
    deepEqual(rest, { code: 0, remarks: [] });
  },
});
