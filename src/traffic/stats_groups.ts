/** Figures gathered record by record, the same way for every kind of log. */

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

/** A group on its way from one thread to another. */
export interface GroupCounts {
  key: string;
  requests: number;
  errors: number;
  bytes: number;
  durations: Uint32Array;
}

export class StatsGroups {
  readonly #groups = new Map<string, Gathered>();

  /** The group to add to. */
  of(key: string): Gathered {
    const group = this.#groups.get(key);
    if (group !== undefined) return group;
    if (this.#groups.size >= MOST_GROUPS && key !== OTHER) return this.of(OTHER);
    const made = { requests: 0, errors: 0, bytes: 0, durations: new Distribution() };
    // A copy: the key may be a slice that keeps a mebibyte of the log in memory.
    this.#groups.set(structuredClone(key), made);
    return made;
  }

  /** @param durationUs a whole number of microseconds */
  add(key: string, isError: boolean, bytes: number, durationUs: number): void {
    const group = this.of(key);
    group.requests++;
    if (isError) group.errors++;
    group.bytes += bytes;
    group.durations.addMicroseconds(durationUs);
  }

  /** Everything gathered, for `merge` in another thread. */
  counts(): GroupCounts[] {
    return [...this.#groups].map(([key, group]) => ({ ...group, key, durations: group.durations.counts }));
  }

  /** Adds what another thread has gathered. */
  merge(others: GroupCounts[]): void {
    for (const other of others) {
      const group = this.of(other.key);
      group.requests += other.requests;
      group.errors += other.errors;
      group.bytes += other.bytes;
      group.durations.addCounts(other.durations);
    }
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
