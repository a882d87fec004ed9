/** What a proxy thread counts for each plugin. Cells are looked up once a generation, not at each call. */
import type { MetricCells } from "./cells.ts";
import { FAMILIES } from "./families.ts";
import type { HistogramCells } from "./histogram_cells.ts";

export class PluginMetrics {
  readonly #cells: MetricCells;

  constructor(cells: MetricCells) {
    this.#cells = cells;
  }

  /** The counters of a plugin at a stage; the same cells each time it is asked for. */
  stage(plugin: string, stage: "request" | "response"): PluginStageMetrics {
    return new PluginStageMetrics(this.#cells, plugin, stage);
  }

  /** The counters of a plugin's program. Nothing of them is exported before something was counted. */
  command(plugin: string): PluginCommandMetrics {
    return new PluginCommandMetrics(this.#cells, plugin);
  }
}

/** Counters of one plugin at one stage; those of calls are exported as 0 from the start. */
export class PluginStageMetrics {
  readonly #cells: MetricCells;
  readonly #labels: readonly [plugin: string, stage: string];
  readonly #invocations: number;
  readonly #shortCircuits: number;
  readonly #duration: HistogramCells;

  constructor(cells: MetricCells, plugin: string, stage: string) {
    this.#cells = cells;
    this.#labels = [plugin, stage];
    this.#invocations = cells.counter(FAMILIES.pluginInvocations, this.#labels);
    this.#shortCircuits = cells.counter(FAMILIES.pluginShortCircuits, this.#labels);
    this.#duration = cells.histogram(FAMILIES.pluginDuration, this.#labels);
  }

  /** Counts a call that has ended, however it did. */
  called(durationMs: number): void {
    this.#cells.add(this.#invocations, 1);
    this.#duration.observe(durationMs);
  }

  /** Counts an answer that the plugin gave in place of an upstream's. */
  shortCircuited(): void {
    this.#cells.add(this.#shortCircuits, 1);
  }

  /** Counts a failed call. @param kind one of a fixed set: `PluginErrorKind` */
  failed(kind: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.pluginErrors, [...this.#labels, kind]), 1);
  }
}

class PluginCommandMetrics {
  readonly #cells: MetricCells;
  readonly #plugin: string;

  constructor(cells: MetricCells, plugin: string) {
    this.#cells = cells;
    this.#plugin = plugin;
  }

  /** Counts a run of the program. */
  ran(durationMs: number): void {
    this.#cells.histogram(FAMILIES.pluginCommandDuration, [this.#plugin]).observe(durationMs);
  }

  /** Counts a failed run. @param kind one of a fixed set: `PluginErrorKind`; `timeout` counts as a time-out too */
  failed(kind: string): void {
    this.#cells.add(this.#cells.counter(FAMILIES.pluginCommandErrors, [this.#plugin, kind]), 1);
    if (kind === "timeout") {
      this.#cells.add(this.#cells.counter(FAMILIES.pluginCommandTimeouts, [this.#plugin]), 1);
    }
  }
}
