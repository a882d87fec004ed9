/** What a proxy thread counts for WebSockets. A message costs two additions in shared memory. */
import type { MetricCells } from "./cells.ts";
import { FAMILIES } from "./families.ts";

export class WebSocketMetrics {
  readonly #cells: MetricCells;
  readonly #open: number;
  /** Made with the first WebSocket: a thread that has none announces nothing. */
  #passed: Record<"to_target" | "to_client", { messages: number; bytes: number }> | null = null;

  constructor(cells: MetricCells) {
    this.#cells = cells;
    this.#open = cells.gauge(FAMILIES.websocketConnections, []);
  }

  /** Each `opened` is followed by one `closed`. */
  opened(): void {
    this.#cells.add(this.#open, 1);
  }

  /** @param cause one of a fixed set */
  closed(cause: string): void {
    this.#cells.add(this.#open, -1);
    this.#cells.add(this.#cells.counter(FAMILIES.websocketClosed, [cause]), 1);
  }

  /** A message was passed on. @param bytes of its payload */
  message(direction: "to_target" | "to_client", bytes: number): void {
    const { messages, bytes: total } = (this.#passed ??= {
      to_target: this.#counters("to_target"),
      to_client: this.#counters("to_client"),
    })[direction];
    this.#cells.add(messages, 1);
    this.#cells.add(total, bytes);
  }

  #counters(direction: string): { messages: number; bytes: number } {
    return {
      messages: this.#cells.counter(FAMILIES.websocketMessages, [direction]),
      bytes: this.#cells.counter(FAMILIES.websocketBytes, [direction]),
    };
  }
}
