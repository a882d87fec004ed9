/** What the traffic writer counts, in the cells of its thread. */
import { FAMILIES, type HistogramCells, type MetricCells } from "../metrics/mod.ts";
import type { SinkName, WriterMetrics } from "../traffic/sink.ts";

export class CellWriterMetrics implements WriterMetrics {
  readonly #cells: MetricCells;
  readonly #durations = new Map<SinkName, HistogramCells>();

  constructor(cells: MetricCells) {
    this.#cells = cells;
  }

  observeWrite(sink: SinkName, durationMs: number): void {
    let cells = this.#durations.get(sink);
    if (cells === undefined) {
      cells = this.#cells.histogram(FAMILIES.logWriteDuration, [sink]);
      this.#durations.set(sink, cells);
    }
    cells.observe(durationMs);
  }

  countWrites(sink: SinkName, records: number): void {
    this.#cells.add(this.#cells.counter(FAMILIES.logWrites, [sink]), records);
  }

  countWriteErrors(sink: SinkName): void {
    this.#cells.add(this.#cells.counter(FAMILIES.logWriteErrors, [sink]), 1);
  }

  countDropped(records: number): void {
    this.#cells.add(this.#cells.counter(FAMILIES.logDropped, []), records);
  }
}
