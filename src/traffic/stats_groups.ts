/** Figures gathered record by record, for logs that cannot do it themselves. */

import { Distribution } from "./distribution.ts";
import type { StatsGroup } from "./reader.ts";

/** More groups than this are counted together, so that a scan of hosts cannot use up the memory. */
const MOST_GROUPS = 10_000;
export const OTHER = "(other)";

interface Gathered {
  requests: number;
  errors: number;
  bytes: number;
  durations: Distribution;
}

export class StatsGroups {
  readonly #groups = new Map<string, Gathered>();

  /** The group to add to. */
  of(key: string): Gathered {
    let group = this.#groups.get(key);
    if (group === undefined) {
      if (this.#groups.size >= MOST_GROUPS && key !== OTHER) return this.of(OTHER);
      group = { requests: 0, errors: 0, bytes: 0, durations: new Distribution() };
      this.#groups.set(key, group);
    }
    return group;
  }

  add(key: string, isError: boolean, bytes: number, durationMs: number): void {
    const group = this.of(key);
    group.requests++;
    if (isError) group.errors++;
    group.bytes += bytes;
    group.durations.addMs(durationMs);
  }

  result(): StatsGroup[] {
    return [...this.#groups].map(([key, { requests, errors, bytes, durations }]) => ({
      key,
      requests,
      errors,
      bytes,
      p50Ms: durations.percentileMs(0.5) ?? 0,
      p95Ms: durations.percentileMs(0.95) ?? 0,
      p99Ms: durations.percentileMs(0.99) ?? 0,
    }));
  }
}
