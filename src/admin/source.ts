/** What the admin API reads and does of the rest of the program; the supervisor provides it. */
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { LoadOptions } from "../config/load.ts";
import type { Config, LoggingConfig, LogLevel } from "../config/model.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import type { FamilySnapshot } from "../metrics/mod.ts";
import type { TrafficFilter } from "../traffic/filter.ts";
import type { StatsGroup, StatsKey, TrafficSource } from "../traffic/reader.ts";
import type { TrafficRow } from "../traffic/record.ts";
import type { HealthSource } from "./health_app.ts";
import type { TargetOverrides } from "./target_overrides.ts";

export interface AdminSource {
  log(level: LogLevel, message: string, fields?: Record<string, unknown>): void;
  health: HealthSource;
  startedAt: Date;
  /** The configuration in use, and the text it was made of. */
  config(): Config;
  configText(): string;
  load: LoadOptions;
  reload(occasion: string): Promise<{ ok: true; generation: number } | { ok: false; problems: string[] }>;
  /** Of the configuration in use, in its order. */
  targets(): readonly BalancedTarget[];
  overrides: TargetOverrides;
  /** All metrics at this moment. */
  metrics(): FamilySnapshot[];
  workers(): { configured: number; running: number };
  /** Bytes of traffic records on their way to the log. */
  queuedBytes(): number;
  /** A token that nobody has was shown. */
  countFailedAttempt(): void;
  askTraffic(logging: LoggingConfig, question: TrafficQuestion): Promise<TrafficAnswer>;
  /** What would become of a request under the configuration in use. @throws Error if no proxy thread can say */
  explain(question: ExplainQuestion): Promise<Explanation>;
  /** Sends records as they are written, or some of them; null: none. There is one listener at a time. */
  tapTraffic(listener: TrafficListener | null): void;
}

export type TrafficQuestion =
  & { filter: TrafficFilter; source: TrafficSource | null }
  & (
    | { kind: "records"; limit: number; order: "newest" | "slowest" }
    | { kind: "stats"; by: StatsKey | null }
  );

export type TrafficAnswer =
  | { kind: "records"; records: TrafficRow[] }
  | { kind: "stats"; groups: StatsGroup[] }
  /** The log is not there, or cannot be read. */
  | { kind: "unreadable"; message: string }
  /** Others are asking, or it took too long. */
  | { kind: "busy"; message: string };

/** @param lines whole NDJSON lines @param skipped records since the last call that are not among them */
export type TrafficListener = (lines: string, skipped: number) => void;
