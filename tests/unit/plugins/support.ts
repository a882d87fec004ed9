/** What the tests of plugins share. */
import assert from "node:assert/strict";
import { FAMILIES, type MetricFamily, PluginMetrics } from "../../../src/metrics/mod.ts";
import { Chain, type Step } from "../../../src/plugins/chain.ts";
import { FailureLog } from "../../../src/plugins/failure_log.ts";
import { buildPlugins, type PluginOutcome, type PluginSet } from "../../../src/plugins/mod.ts";
import type { Plugin, PluginLog, Stage } from "../../../src/plugins/plugin.ts";
import { accepted, ONE_TARGET } from "../config/support.ts";
import { Metrics } from "../metrics/support.ts";

export type LogLine = [level: string, message: string, fields: Record<string, unknown> | undefined];

/** Log and metrics that tests can look into. */
export class Observed {
  readonly lines: LogLine[] = [];
  readonly #registered = new Metrics();
  readonly metrics = new PluginMetrics(this.#registered.thread(1));
  readonly log: PluginLog = (level, message, fields) => this.lines.push([level, message, fields]);
  readonly shared = (): null => null;

  /** Values by label values, those that are 0 left out. */
  counts(family: MetricFamily): Record<string, number> {
    const all = Object.entries(this.#registered.scalars(family));
    return Object.fromEntries(all.filter(([, value]) => value !== 0));
  }

  /** How many durations were observed, by label values, those without any left out. */
  durations(): Record<string, number> {
    const counts = this.#registered.histograms(FAMILIES.pluginDuration)
      .map(({ labels, count }) => [labels.join(), count] as const);
    return Object.fromEntries(counts.filter(([, count]) => count !== 0));
  }

  /** A chain of plugins that need no configuration. `named` gives them names, in their order. */
  chain(stage: Stage, named: Record<string, Plugin>, errorStrategy: "continue" | "fail" = "continue"): Chain {
    const steps = Object.entries(named).map(([name, plugin]): Step => ({
      name,
      type: "test",
      plugin,
      failsRequest: errorStrategy === "fail",
      metrics: this.metrics.stage(name, stage),
      failures: new FailureLog(this.log, errorStrategy === "fail" ? "error" : "warn"),
    }));
    return new Chain(stage, steps);
  }
}

/** The plugins of a configuration's text, which must have neither errors nor warnings. */
export async function pluginsOf(toml: string, observed = new Observed()): Promise<PluginSet> {
  const config = await accepted(`${toml}\n${ONE_TARGET}`);
  return await buildPlugins(config.plugins, observed);
}

/** The one plugin of a type, with its settings as TOML, at both stages unless `more` says otherwise. */
export function onePlugin(type: string, config: string, more = 'stage = "both"'): Promise<PluginSet> {
  return pluginsOf(
    `[plugins]\nenabled = true\n[[plugins.plugins]]\nname = "p"\ntype = "${type}"\nconfig = ${config}\n${more}`,
  );
}

/** An outcome that was there at once. */
export function now(outcome: PluginOutcome | Promise<PluginOutcome>): PluginOutcome {
  assert.ok(!(outcome instanceof Promise), "the chain did not stay synchronous");
  return outcome;
}
