/** All measurements of a run, and their medians. */
import type { Figures } from "./scenario.ts";

/** Medians by scenario and participant. */
export type Summary = Record<string, Record<string, Figures>>;

export class Results {
  /** By scenario and participant, in the order of the rounds. */
  readonly measurements: Record<string, Record<string, Figures[]>> = {};
  /** What went wrong; a run with a failure is no result. */
  readonly failures: string[] = [];
  /** Participants that cannot run here, and why. */
  readonly leftOut = new Map<string, string>();

  add(scenario: string, participant: string, figures: Figures): void {
    ((this.measurements[scenario] ??= {})[participant] ??= []).push(figures);
  }

  summary(): Summary {
    const summary: Summary = {};
    for (const [scenario, participants] of Object.entries(this.measurements)) {
      summary[scenario] = {};
      for (const [participant, rounds] of Object.entries(participants)) {
        summary[scenario][participant] = medians(rounds);
      }
    }
    return summary;
  }
}

function medians(rounds: Figures[]): Figures {
  return Object.fromEntries(
    Object.keys(rounds[0]).map((key) => [key, median(rounds.map((figures) => figures[key]))]),
  );
}

/** The middle value, of an even number the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
