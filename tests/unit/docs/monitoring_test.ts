/** What is shipped for Prometheus and Grafana fits the metrics that Dispa really exports. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ALL_FAMILIES } from "../../../src/metrics/families.ts";
import { requires } from "../../support/skip.ts";

interface Panel {
  type: string;
  title: string;
  targets?: { expr: string }[];
}

interface Dashboard {
  panels: Panel[];
  annotations: { list: { expr: string }[] };
}

const root = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const read = (path: string) => Deno.readTextFileSync(root(path));
const dashboard: Dashboard = JSON.parse(read("docs/grafana/dispa.json"));

/** Every series name and the labels that a family gives it. */
const SERIES = new Map(
  ALL_FAMILIES.flatMap((family): [string, readonly string[]][] =>
    family.type === "histogram"
      ? [
        [`${family.name}_bucket`, [...family.labels, "le"]],
        [`${family.name}_sum`, family.labels],
        [`${family.name}_count`, family.labels],
      ]
      : [[family.name, family.labels]]
  ),
);

function seriesOf(text: string): string[] {
  return [...new Set(text.match(/\b(?:dispa|process)_[a-z_]+\b(?=[{[\s)]|$)/gm) ?? [])];
}

/** Names that no family exports. */
function unknownSeries(text: string): string[] {
  return seriesOf(text).filter((name) => !SERIES.has(name));
}

const expressions = dashboard.panels.flatMap((panel) => panel.targets ?? []).map(({ expr }) => expr);

Deno.test("the Grafana dashboard asks only for series that Dispa exports", () => {
  ok(expressions.length >= 30);
  for (const expr of [...expressions, ...dashboard.annotations.list.map(({ expr }) => expr)]) {
    ok(seriesOf(expr).length > 0, `no series found in: ${expr}`);
    deepEqual(unknownSeries(expr), [], expr);
  }
});

Deno.test("the Grafana dashboard groups each series only by labels that it has", () => {
  for (const expr of expressions) {
    const labels = seriesOf(expr).flatMap((name) => SERIES.get(name) ?? []);
    for (const [, by] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
      for (const label of by.split(",").map((name) => name.trim())) {
        ok(["job", "instance", ...labels].includes(label), `${label} is no label of: ${expr}`);
      }
    }
  }
});

Deno.test("the Grafana dashboard shows every family that Dispa counts itself", () => {
  const shown = new Set(expressions.flatMap(seriesOf));
  for (const { name, type } of ALL_FAMILIES.filter(({ name }) => name.startsWith("dispa_"))) {
    ok(shown.has(type === "histogram" ? `${name}_bucket` : name), `${name} is on no panel`);
  }
});

Deno.test("the Grafana dashboard has rates, errors, a latency heat map, targets, the log writer, plugins, workers and WebSockets", () => {
  const rows = dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title);
  deepEqual(rows, [
    "Overview",
    "Rates and errors",
    "Latency",
    "Targets",
    "Connections and process",
    "Workers and configuration",
    "Log writer",
    "Plugins and security",
    "WebSockets",
  ]);
  const heatMaps = dashboard.panels.filter(({ type }) => type === "heatmap");
  deepEqual(heatMaps.map(({ targets }) => targets?.flatMap(({ expr }) => seriesOf(expr))), [[
    "dispa_request_duration_seconds_bucket",
  ]]);
});

Deno.test("the alerts ask only for series that Dispa exports", () => {
  const expressions = read("docs/alerts.yml").split("\n").filter((line) =>
    !/summary:|description:|^\s*#/.test(line)
  ).join("\n");
  ok(seriesOf(expressions).length >= 10);
  deepEqual(unknownSeries(expressions), []);
});

for (
  const [what, args] of [
    ["the alerts", ["check", "rules", root("docs/alerts.yml")]],
    ["prometheus.yml", ["check", "config", root("docs/prometheus.yml")]],
  ] as const
) {
  Deno.test({
    name: `promtool has nothing to say of ${what}`,
    ...requires("promtool", "/usr/bin/promtool", "/usr/local/bin/promtool"),
    fn: async () => {
      const { code, stdout, stderr } = await new Deno.Command("promtool", { args: [...args] }).output();
      const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      equal(code, 0, output);
      ok(!/warn/i.test(output), output);
    },
  });
}
