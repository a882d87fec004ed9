/** The figures that Dispa is to reach, on two cores, from the medians of one run. */
import type { Summary } from "./results.ts";

interface Goal {
  title: string;
  /** "most": the value may be `limit` at most; "least": at least. */
  bound: "most" | "least";
  limit: number;
  unit: string;
  /** From `figure(scenario, participant, column)`; NaN where one of them was not measured. */
  value(figure: (scenario: string, participant: string, key: string) => number): number;
}

function cpuRatio(peer: string, limit: number): Goal {
  return {
    title: `CPU per small request, as a share of ${peer}'s`,
    bound: "most",
    limit,
    unit: "",
    value: (figure) => figure("small", "dispa", "cpuUs") / figure("small", peer, "cpuUs"),
  };
}

function single(title: string, limit: number, unit: string, scenario: string, key: string): Goal {
  return { title, bound: "most", limit, unit, value: (figure) => figure(scenario, "dispa", key) };
}

const GOALS: Goal[] = [
  cpuRatio("caddy", 0.33),
  cpuRatio("nginx", 2.6),
  cpuRatio("bare-http1", 1.3),
  single("Added p99 at 1,000 requests a second", 1, "ms", "latency", "addedP99Ms"),
  {
    title: "Requests a second with two workers, as a multiple of one",
    bound: "least",
    limit: 1.6,
    unit: "",
    value: (figure) =>
      figure("small", "dispa-2w", "requestsPerSecond") / figure("small", "dispa", "requestsPerSecond"),
  },
  single("Resident memory, idle", 50, "MB", "idle", "rssMb"),
  single("Resident memory under load", 80, "MB", "small", "rssMb"),
  single("Memory per idle client connection", 20, "kB", "idle", "kbPerConnection"),
  single("Growth while a large body passes", 16, "MB", "slow", "growthMb"),
  single("Start to the first answer", 300, "ms", "idle", "startMs"),
];

/** Rows of the table: goal, wanted, measured, reached; goals of which something was not measured are left out. */
export function goalRows(summary: Summary): string[][] {
  const figure = (scenario: string, participant: string, key: string) =>
    summary[scenario]?.[participant]?.[key] ?? NaN;
  return GOALS.flatMap(({ title, bound, limit, unit, value }) => {
    const measured = value(figure);
    if (Number.isNaN(measured)) return [];
    const reached = bound === "most" ? measured <= limit : measured >= limit;
    const digits = Math.abs(measured) >= 100 ? 0 : Math.abs(measured) >= 10 ? 1 : 2;
    return [[
      title,
      `${bound === "most" ? "≤" : "≥"} ${limit} ${unit}`.trim(),
      `${measured.toFixed(digits)} ${unit}`.trim(),
      reached ? "yes" : "**no**",
    ]];
  });
}
