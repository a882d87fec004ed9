/**
 * Active health checks of all targets (control thread). The result goes into the target table, where the
 * balancers of all threads see it with the next request.
 */
import { isDeepStrictEqual } from "node:util";
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { TargetTable } from "../balancing/target_table.ts";
import type { HealthCheckConfig } from "../config/model.ts";
import type { UpstreamTls } from "../upstream/tls_files.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Gate } from "./gate.ts";
import { type MonitorContext, TargetMonitor } from "./monitor.ts";
import { type CheckResult, tableState, type TargetHealth } from "./target_health.ts";

export type { HealthState, TargetHealth } from "./target_health.ts";

/** Checks under way at the same time; the others wait for their turn. */
const MAX_CONCURRENT_CHECKS = 64;

/** First checks of many targets are spread over this time, and at most this much each. */
const MAX_FIRST_SPREAD_MS = 1000;
const FIRST_SPREAD_PER_TARGET_MS = 10;

export interface HealthLog {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

export interface HealthObserver {
  /** After each finished check, successful or not; the table has its result already. */
  checkDuration(targetName: string, durationMs: number): void;
  /** After each change of state, when the table has it. */
  stateChanged(health: TargetHealth): void;
}

/** What the checks need of `fetch`. */
export type HealthFetch = (
  url: string,
  init: {
    client: Deno.HttpClient;
    redirect: "manual";
    headers: Record<string, string>;
    signal: AbortSignal;
  },
) => Promise<Response>;

export interface HealthCheckerOptions {
  /** Where results go. */
  readonly table: Pick<TargetTable, "setState">;
  readonly log: HealthLog;
  readonly observe: HealthObserver;
  /** Value of the checks' `user-agent`, e.g. `dispa-health/1.0.0`. */
  readonly userAgent: string;
  readonly clock?: Clock;
  /** Default: the platform's. */
  readonly fetch?: HealthFetch;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

export class HealthChecker {
  readonly #table: HealthCheckerOptions["table"];
  readonly #log: HealthLog;
  readonly #observe: HealthObserver;
  readonly #context: MonitorContext;
  /** Keeps no idle connection: each check shows that a new one can be opened, and none is found stale. */
  #client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  #tls: UpstreamTls = { caCerts: [], clientPair: null };
  /** By slot, in the order of the configuration. */
  #monitors = new Map<number, TargetMonitor>();
  #checking = false;
  #stopping: Promise<void> | null = null;
  readonly #endings = new Set<Promise<void>>();

  constructor(options: HealthCheckerOptions) {
    const { table, log, observe, userAgent, clock = systemClock, random = Math.random } = options;
    const send: HealthFetch = options.fetch ?? fetch;
    this.#table = table;
    this.#log = log;
    this.#observe = observe;
    this.#context = {
      clock,
      random,
      gate: new Gate(MAX_CONCURRENT_CHECKS),
      fetch: (url, signal) =>
        send(url, {
          client: this.#client,
          redirect: "manual",
          headers: { "user-agent": userAgent, "accept": "*/*", "accept-encoding": "identity" },
          signal,
        }),
      checked: (monitor, before, result) => this.#checked(monitor, before, result),
    };
  }

  /**
   * Checks these targets by this configuration from now on. A target that was there before keeps its state
   * and its streaks. One that is new is unknown, that is in use, until checks have told. With checks off all
   * are unknown.
   */
  apply(targets: readonly BalancedTarget[], config: HealthCheckConfig): void {
    if (this.#stopping) throw new Error("cannot apply targets to a health checker that was stopped");
    const before = this.#monitors;
    const toggled = config.enabled !== this.#checking;
    this.#checking = config.enabled;
    this.#monitors = new Map();
    const added: TargetMonitor[] = [];
    for (const target of targets) {
      const known = before.get(target.slot);
      if (known && !toggled && sameTarget(known.target, target)) {
        before.delete(target.slot);
        known.reconfigure(config);
        this.#monitors.set(target.slot, known);
        continue;
      }
      const monitor = new TargetMonitor(target, config, this.#context);
      this.#table.setState(target.slot, tableState("unknown"));
      this.#monitors.set(target.slot, monitor);
      added.push(monitor);
      if (known && sameTarget(known.target, target) && known.health.state !== "unknown") {
        this.#announce(known.health, monitor.health, "health checks were turned off");
      }
    }
    for (const gone of before.values()) this.#end(gone);
    if (config.enabled) this.#start(added, config.intervalMs);
  }

  /** Meets https targets as requests do, from the next check on. */
  useTls(tls: UpstreamTls): void {
    if (isDeepStrictEqual(tls, this.#tls)) return;
    this.#tls = tls;
    const { caCerts, clientPair } = tls;
    this.#client.close();
    this.#client = Deno.createHttpClient({ poolMaxIdlePerHost: 0, caCerts, ...clientPair });
  }

  /** In the order of the configuration. */
  status(): TargetHealth[] {
    return Array.from(this.#monitors.values(), (monitor) => monitor.health);
  }

  /** Ends all checks, those in progress too, for good; the states stay. Resolves when nothing is left open. */
  stop(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  async #stop(): Promise<void> {
    for (const monitor of this.#monitors.values()) this.#end(monitor);
    await Promise.all(this.#endings);
    this.#client.close();
  }

  /** A single target is checked at once; many are not all asked, and logged, in the same moment. */
  #start(monitors: readonly TargetMonitor[], intervalMs: number): void {
    const spreadMs = Math.min(
      (monitors.length - 1) * FIRST_SPREAD_PER_TARGET_MS,
      intervalMs / 10,
      MAX_FIRST_SPREAD_MS,
    );
    for (const monitor of monitors) monitor.start(this.#context.random() * spreadMs);
  }

  #end(monitor: TargetMonitor): void {
    const ending = monitor.stop();
    this.#endings.add(ending);
    ending.finally(() => this.#endings.delete(ending));
  }

  #checked({ target, health }: TargetMonitor, before: TargetHealth, result: CheckResult): void {
    if (health.state !== before.state) {
      this.#table.setState(target.slot, tableState(health.state));
      this.#announce(before, health, result.detail);
    } else if (before.lastCheckAt === null && !result.ok) {
      // Otherwise a target that was never there is first heard of after `unhealthy_threshold` intervals.
      const message =
        `target "${health.name}" fails its first check, and is in use until more of them have: ` +
        result.detail;
      this.#log.warn({ target: health.name, url: health.url, reason: result.detail }, message);
    }
    this.#observe.checkDuration(health.name, health.lastDurationMs!);
  }

  #announce(before: TargetHealth, health: TargetHealth, reason: string): void {
    const fields = { target: health.name, url: health.url, from: before.state, to: health.state, reason };
    const message = `target "${health.name}" is ${health.state}: ${reason}`;
    if (health.state === "unhealthy") this.#log.warn(fields, message);
    else this.#log.info(fields, message);
    this.#observe.stateChanged(health);
  }
}

function sameTarget(a: BalancedTarget, b: BalancedTarget): boolean {
  return a.config.name === b.config.name && a.config.url === b.config.url;
}
