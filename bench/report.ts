/** The report in Markdown: on the terminal, and in a document between two marks. */
import { goalRows } from "./goals.ts";
import type { Machine } from "./machine.ts";
import { peerNamed } from "./peers.ts";
import type { Results, Summary } from "./results.ts";
import type { Scenario } from "./scenario.ts";

export const BEGIN_MARK = "<!-- bench:begin -->";
export const END_MARK = "<!-- bench:end -->";

/** Processor time is compared with that of these peers, where they took part. */
const COMPARED_WITH = ["nginx", "caddy"];

export interface Run {
  command: string;
  rounds: number;
  seconds: number;
  machine: Machine;
  scenarios: Scenario[];
  results: Results;
}

export function markdownReport({ command, rounds, seconds, machine, scenarios, results }: Run): string {
  const summary = results.summary();
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const parts = [
    `\`${command}\` at commit ${machine.commit} on ${machine.date}: medians of ${rounds} round${
      rounds === 1 ? "" : "s"
    } of ${seconds} s.`,
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, Linux ${machine.kernel}, load average ` +
    `${machine.loadAverage.toFixed(1)} before the run. Versions: ${versions}.`,
  ];
  for (const [name, reason] of results.leftOut) parts.push(`Left out: ${name} (${reason}).`);
  const goals = goalRows(summary);
  if (goals.length > 0) {
    parts.push("### Goals", table(["goal", "wanted", "measured", "reached"], goals));
  }
  for (const scenario of scenarios) {
    if (!(scenario.name in summary)) continue;
    parts.push(`### ${scenario.title}`, scenarioTable(scenario, summary));
  }
  parts.push(legend(summary));
  return parts.join("\n\n") + "\n";
}

function scenarioTable(scenario: Scenario, summary: Summary): string {
  const participants = summary[scenario.name];
  const reference = scenario.columns.some((column) => column.key === "cpuUs")
    ? COMPARED_WITH.filter((name) => name in participants)
    : [];
  const header = [
    `\`${scenario.name}\``,
    ...scenario.columns.map((column) => column.title),
    ...reference.map((name) => `CPU ÷ ${name}`),
  ];
  const rows = Object.entries(participants).map(([name, figures]) => [
    name,
    ...scenario.columns.map(({ key, digits }) => key in figures ? number(figures[key], digits) : ""),
    ...reference.map((other) => number(figures.cpuUs / participants[other].cpuUs, 2)),
  ]);
  return table(header, rows);
}

/** What the names in the tables stand for. */
function legend(summary: Summary): string {
  const names = new Set(Object.values(summary).flatMap((participants) => Object.keys(participants)));
  const lines = [...names].flatMap((name) => {
    const peer = peerNamed(name);
    return peer === null ? [] : [`- ${name}: ${peer.description}`];
  });
  return lines.join("\n");
}

function number(value: number, digits: number): string {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function table(header: string[], rows: string[][]): string {
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column].length)));
  const line = (cells: string[]) =>
    `| ${
      cells.map((cell, column) => column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))
        .join(" | ")
    } |`;
  const rule = `| ${
    widths.map((width, column) => column === 0 ? "-".repeat(width) : "-".repeat(width - 1) + ":").join(" | ")
  } |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

/** The document with `report` in place of what stood between the marks. Throws where they are not there once each. */
export function replaceReport(document: string, report: string): string {
  const begin = document.indexOf(BEGIN_MARK);
  const end = document.indexOf(END_MARK);
  if (
    begin === -1 || end < begin || document.lastIndexOf(BEGIN_MARK) !== begin ||
    document.lastIndexOf(END_MARK) !== end
  ) {
    throw new Error(
      `the document holds no one place for the report, wanted are ${BEGIN_MARK} and then ${END_MARK}`,
    );
  }
  return `${document.slice(0, begin + BEGIN_MARK.length)}\n\n${report}\n${document.slice(end)}`;
}
