/**
 * The map of all memory that threads share. Each block is one SharedArrayBuffer with one view class that
 * alone knows its words; nothing else reads or writes it.
 *
 * | block      | view                             | one for       | writer                          | readers          | unit |
 * |------------|----------------------------------|---------------|---------------------------------|------------------|------|
 * | targets    | `balancing/target_table.ts`      | the process   | control: state, weight, flags; proxies: active, turns; all: circuits (atomic) | all | see there |
 * | counts     | `balancing/target_table.ts` ActiveCounts | a proxy thread | that thread                 | control, when the thread has died | requests in flight by target slot, requests that wait |
 * | cells      | `metrics/cells.ts`               | every thread  | that thread, plain stores       | control (exporter) | Float64, by metric |
 * | queue      | `traffic/gauge.ts` QueueGauge    | the process   | proxies add, writer subtracts (atomic) | all       | bytes, records |
 * | connections | `proxy/connection_counts.ts` ConnectionCounts | the process | proxies (atomic, or under a lock) | proxies; control (exporter) | connections, in all and by address |
 * | ownConnections | `proxy/connection_counts.ts` OwnConnections | a proxy thread | that thread | control, when the thread has died | connections by slot |
 * | heartbeats | here                             | the process   | proxy thread i: word i          | control          | ticks, wraps |
 */
import { ACTIVE_COUNTS_BYTES, TargetTable } from "../balancing/target_table.ts";
import { MetricCells } from "../metrics/mod.ts";
import { ConnectionCounts } from "../proxy/connection_counts.ts";
import { QueueGauge } from "../traffic/gauge.ts";

/** Proxy threads at the most; `server.workers` is checked against it. */
const MAX_PROXY_THREADS = 256;

export interface ProcessBlocks {
  targets: SharedArrayBuffer;
  queue: SharedArrayBuffer;
  heartbeats: SharedArrayBuffer;
  connections: SharedArrayBuffer;
}

export interface ProxyBlocks extends ProcessBlocks {
  counts: SharedArrayBuffer;
  ownConnections: SharedArrayBuffer;
  cells: SharedArrayBuffer;
}

export function allocateProcessBlocks(): ProcessBlocks {
  return {
    targets: new SharedArrayBuffer(TargetTable.BYTES),
    queue: new SharedArrayBuffer(QueueGauge.BYTES),
    heartbeats: new SharedArrayBuffer(MAX_PROXY_THREADS * Int32Array.BYTES_PER_ELEMENT),
    connections: new SharedArrayBuffer(ConnectionCounts.BYTES),
  };
}

export function allocateProxyBlocks(process: ProcessBlocks): ProxyBlocks {
  return {
    ...process,
    counts: new SharedArrayBuffer(ACTIVE_COUNTS_BYTES),
    ownConnections: new SharedArrayBuffer(ConnectionCounts.OWN_BYTES),
    cells: new SharedArrayBuffer(MetricCells.BYTES),
  };
}

/** A proxy thread that stops ticking hangs; the control thread reports it. */
export class Heartbeats {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  tick(thread: number): void {
    Atomics.add(this.#words, thread, 1);
  }

  read(thread: number): number {
    return Atomics.load(this.#words, thread);
  }
}
