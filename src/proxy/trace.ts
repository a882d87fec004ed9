/** Collects what the steps of an exchange decide and why: for `explain`, which runs the steps of live traffic. */
import { shownValue, type StepOutcome, type TraceEntry } from "../http/explanation.ts";
import { isRefusal } from "../plugins/plugin.ts";
import type { MessageChange, PluginReport, PluginTrace } from "../plugins/mod.ts";

export class Trace {
  readonly entries: TraceEntry[] = [];

  /** @param dry whether steps must leave no mark behind: no token taken, no program started, no turn used */
  constructor(readonly dry: boolean) {}

  add(step: string, outcome: StepOutcome, summary: string, details?: Record<string, unknown>): void {
    this.entries.push(
      details === undefined ? { step, outcome, summary } : { step, outcome, summary, details },
    );
  }

  /** Watches a chain of plugins. @param step the name of the chain's step */
  pluginsOf(step: string): PluginTrace {
    return { dryRun: this.dry, plugin: (report) => this.#plugin(step, report) };
  }

  #plugin(step: string, { name, type, changes, result, text, error }: PluginReport): void {
    const details = {
      plugin: name,
      type,
      changes: changes.map(shownChange),
      ...(error !== null && { error }),
    };
    const which = `plugin "${name}" (${type})`;
    if (result !== null) {
      const [outcome, how] = isRefusal(result)
        ? ["refused", `refuses with ${result.code}: ${result.message}`] as const
        : ["answered", `answers with ${result.status}`] as const;
      this.add(step, outcome, `${which} ${how}`, details);
      return;
    }
    const did = error !== null
      ? `fails (${error.kind}: ${error.message}) and is passed over`
      : text ?? (changes.length === 0 ? "changes nothing" : changes.map(describeChange).join(", "));
    this.add(step, "passed", `${which}: ${did}`, details);
  }
}

function shownChange(change: MessageChange): MessageChange {
  if (change.what !== "header") return change;
  const show = (value: string) => shownValue(change.name, value);
  return { ...change, before: change.before.map(show), after: change.after.map(show) };
}

function describeChange(change: MessageChange): string {
  const { what, before, after } = shownChange(change);
  if (what !== "header") return `${what} ${before} becomes ${after}`;
  const { name } = change as Extract<MessageChange, { what: "header" }>;
  if (after.length === 0) return `removes ${name}`;
  return `sets ${name} to ${after.join(", ")}`;
}
