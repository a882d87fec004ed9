/** What the steps of an exchange decided and why: for `explain`, which runs the very steps of live traffic. */

/** How a step ended. */
export type StepOutcome = "passed" | "refused" | "answered" | "chose";

export interface TraceEntry {
  step: string;
  outcome: StepOutcome;
  /** One sentence for people. */
  summary: string;
  /** The same for programs: plain data, different for each step. No secrets. */
  details?: Record<string, unknown>;
}

export class Trace {
  readonly entries: TraceEntry[] = [];

  /** @param dry whether steps must leave no mark behind: no token taken, no program started, no turn used */
  constructor(readonly dry: boolean) {}

  add(step: string, outcome: StepOutcome, summary: string, details?: Record<string, unknown>): void {
    this.entries.push(
      details === undefined ? { step, outcome, summary } : { step, outcome, summary, details },
    );
  }
}
