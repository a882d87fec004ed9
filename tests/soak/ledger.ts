/** What was asked, what came of it, and whether that may be; at the end, whether the traffic log says the same. */
import type { TrafficRow } from "../../src/traffic/record.ts";

/** How many records a request has: `maybe` where its client left so early that it may not have been seen. */
export type Recorded = "one" | "maybe";

interface Entry {
  kind: string;
  recorded: Recorded;
  /** As the client has seen it; null: it did not see any. */
  status: number | null;
  /** Bytes of the body that the client has read to its end; null: it has not. */
  size: number | null;
}

const MOST_FAULTS = 20;

export class Ledger {
  /** What must not be, in words; of very many the first ones. */
  readonly faults: string[] = [];
  faultCount = 0;
  /** Connections that were reset before they were accepted. */
  unaccepted = 0;
  /** How often each kind of request ended in which way. */
  readonly outcomes = new Map<string, number>();
  readonly #entries = new Map<number, Entry>();
  #last = 0;

  /** @param surroundings what is shown with each fault */
  constructor(readonly surroundings: () => string) {}

  get asked(): number {
    return this.#entries.size;
  }

  /** A new request. @returns its number, which stands in its path */
  begin(kind: string): number {
    const number = ++this.#last;
    this.#entries.set(number, { kind, recorded: "maybe", status: null, size: null });
    return number;
  }

  /** The request with this number has ended as it may. */
  end(number: number, outcome: string, seen: Partial<Omit<Entry, "kind">> = {}): void {
    const entry = this.#entries.get(number)!;
    Object.assign(entry, seen);
    const name = `${entry.kind}: ${outcome}`;
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
  }

  fault(text: string): void {
    this.faultCount++;
    if (this.faults.length >= MOST_FAULTS) return;
    this.faults.push(`${new Date().toISOString()} ${text}\n    ${this.surroundings()}`);
  }

  /** Compares the traffic log with what was asked. @returns how many records there are */
  compare(records: readonly TrafficRow[]): number {
    const counts = new Map<number, number>();
    for (const record of records) {
      const number = Number(/^\/[a-z-]+\/(\d+)$/.exec(record.path)?.[1]);
      const entry = this.#entries.get(number);
      if (entry === undefined) {
        this.fault(`a record of what nobody asked for: ${JSON.stringify(record)}`);
        continue;
      }
      counts.set(number, (counts.get(number) ?? 0) + 1);
      const wanted = [entry.status ?? record.status_code, entry.size ?? record.response_size].join();
      if ([record.status_code, record.response_size].join() !== wanted) {
        this.fault(
          `${record.path}: the client has seen status, bytes ${wanted}, recorded is ${
            JSON.stringify(record)
          }`,
        );
      }
      if (record.request_id !== String(number)) {
        this.fault(`${record.path} is recorded with the request id "${record.request_id}"`);
      }
    }
    for (const [number, { kind, recorded }] of this.#entries) {
      const count = counts.get(number) ?? 0;
      if (count > 1) this.fault(`/${kind}/${number} has ${count} records`);
      if (count === 0 && recorded === "one") this.fault(`/${kind}/${number} has no record`);
    }
    return records.length;
  }
}
