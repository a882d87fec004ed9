/**
 * Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
 */
import type { FamilySnapshot, HistogramSeries } from "./registry.ts";

export const EXPOSITION_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The body of `/metrics`: the families and series in the order given. */
export function exposition(snapshots: readonly FamilySnapshot[]): string {
  const lines: string[] = [];
  for (const snapshot of snapshots) {
    const { name, help, type, labels: labelNames } = snapshot.family;
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    if (snapshot.kind === "histogram") {
      for (const series of snapshot.series) histogramLines(lines, name, labelNames, series);
    } else {
      for (const { labels, value } of snapshot.series) {
        lines.push(`${name}${braced(labelPairs(labelNames, labels))} ${number(value)}`);
      }
    }
  }
  return lines.map((line) => `${line}\n`).join("");
}

function histogramLines(
  lines: string[],
  name: string,
  labelNames: readonly string[],
  { labels, bounds, counts, count, sum }: HistogramSeries,
): void {
  const pairs = labelPairs(labelNames, labels);
  let cumulative = 0;
  bounds.forEach((bound, bucket) => {
    cumulative += counts[bucket];
    lines.push(`${name}_bucket${braced([...pairs, `le="${number(bound)}"`])} ${number(cumulative)}`);
  });
  lines.push(
    `${name}_bucket${braced([...pairs, 'le="+Inf"'])} ${number(count)}`,
    `${name}_sum${braced(pairs)} ${number(sum)}`,
    `${name}_count${braced(pairs)} ${number(count)}`,
  );
}

function labelPairs(names: readonly string[], values: readonly string[]): string[] {
  return names.map((name, index) => `${name}="${escapeLabelValue(values[index])}"`);
}

function braced(pairs: readonly string[]): string {
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabelValue(value: string): string {
  return escapeHelp(value).replaceAll('"', '\\"');
}

function number(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}
