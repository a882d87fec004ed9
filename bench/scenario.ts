/** What every scenario tells the bench. */
import type { Surroundings } from "./peer.ts";

/** Figures of one measurement, by the key of their column. */
export type Figures = Record<string, number>;

export interface Column {
  key: string;
  title: string;
  digits: number;
}

export interface Scenario {
  /** What `--scenario` calls it. */
  name: string;
  title: string;
  columns: Column[];
  /** Who takes part unless `--only` says otherwise. */
  participants: string[];
  /** Further rounds would tell nothing new, or take too long. */
  onlyOneRound: boolean;
  /** Whether a participant of that name makes sense here. */
  accepts(participant: string): boolean;
  /** Why that participant cannot take part on this machine; null if it can. */
  missing(participant: string): string | null;
  /** One measurement. Throws where anything goes wrong: a figure with errors in it is none. */
  run(participant: string, surroundings: Surroundings, seconds: number): Promise<Figures>;
}
