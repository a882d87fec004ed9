/**
 * Active health checks. They run on the control thread, each target on a timer of its own, and write what they
 * find into the target table, where every proxy thread sees it with its next request.
 */
import type { BalancedTarget } from "../balancing/balancer.ts";
import { TargetState, type TargetTable } from "../balancing/target_table.ts";
import type { HealthCheckConfig, LogLevel } from "../config/model.ts";
import { probe } from "./probe.ts";

export interface TargetHealth {
  name: string;
  url: string;
  state: "unknown" | "healthy" | "unhealthy";
  /** When the state became what it is; null while unknown. */
  since: Date | null;
  lastCheckAt: Date | null;
  lastDurationMs: number | null;
  /** Why the last check failed; null if it did not. */
  lastError: string | null;
  consecutiveSuccesses: number;
  consecutiveFailures: number;
}

export interface HealthCheckerOptions {
  table: TargetTable;
  log: (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;
  /** Value of the checks' User-Agent field. */
  userAgent: string;
  observe: { checkDuration(target: string, durationMs: number): void };
}

/** Checks under way at once, over all targets. */
const MAX_CONCURRENT_CHECKS = 64;
/** Intervals vary by this share, so that many targets (and many proxies) do not check in step. */
const JITTER = 0.1;
/** First checks are spread over this time, or over the interval if that is shorter. */
const FIRST_CHECK_SPREAD_MS = 250;

export class HealthChecker {
  readonly #options: HealthCheckerOptions;
  readonly #gate = new Gate(MAX_CONCURRENT_CHECKS);
  readonly #client = Deno.createHttpClient({ poolMaxIdlePerHost: 1, allowHost: true });
  #checks = new Map<string, TargetCheck>();

  constructor(options: HealthCheckerOptions) {
    this.#options = options;
  }

  /**
   * Checks exactly these targets from now on. One that was checked before keeps its state and its streaks.
   * With checks switched off all targets count as usable.
   */
  apply(targets: readonly BalancedTarget[], config: HealthCheckConfig): void {
    const before = this.#checks;
    this.#checks = new Map();
    for (const target of targets) {
      const key = `${target.slot} ${target.config.url} ${target.config.name}`;
      const check = before.get(key) ?? new TargetCheck(target, this.#options, this.#gate, this.#client);
      before.delete(key);
      this.#checks.set(key, check);
      check.apply(config);
    }
    for (const gone of before.values()) gone.stop();
  }

  /** In the order of the last `apply`. */
  status(): TargetHealth[] {
    return Array.from(this.#checks.values(), (check) => ({ ...check.health }));
  }

  /** Ends all checks, also those under way; none writes anything afterwards. */
  async stop(): Promise<void> {
    const ended = Array.from(this.#checks.values(), (check) => check.stop());
    this.#checks.clear();
    await Promise.all(ended);
    this.#client.close();
  }
}

/** The checks of one target: timer, streaks, state. */
class TargetCheck {
  readonly health: TargetHealth;
  readonly #target: BalancedTarget;
  readonly #options: HealthCheckerOptions;
  readonly #gate: Gate;
  readonly #client: Deno.HttpClient;
  #config: HealthCheckConfig | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: { controller: AbortController; ended: Promise<void> } | null = null;
  /** Of the usual paths, the one that answered last. */
  #usualPath = 0;

  constructor(target: BalancedTarget, options: HealthCheckerOptions, gate: Gate, client: Deno.HttpClient) {
    this.#target = target;
    this.#options = options;
    this.#gate = gate;
    this.#client = client;
    this.health = {
      name: target.config.name,
      url: target.config.url,
      state: "unknown",
      since: null,
      lastCheckAt: null,
      lastDurationMs: null,
      lastError: null,
      consecutiveSuccesses: 0,
      consecutiveFailures: 0,
    };
  }

  apply(config: HealthCheckConfig): void {
    const changed = JSON.stringify(config) !== JSON.stringify(this.#config);
    this.#config = config;
    if (!changed) return;
    this.#cancel();
    if (config.enabled) {
      this.#schedule(Math.random() * Math.min(FIRST_CHECK_SPREAD_MS, config.intervalMs));
    } else {
      this.#options.table.setState(this.#target.slot, TargetState.Unknown);
      Object.assign(this.health, {
        state: "unknown",
        since: null,
        consecutiveSuccesses: 0,
        consecutiveFailures: 0,
      });
    }
  }

  /** Resolves when a check under way has ended. */
  stop(): Promise<void> {
    const ended = this.#running?.ended ?? Promise.resolve();
    this.#cancel();
    this.#config = null;
    return ended;
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#running?.controller.abort();
    this.#running = null;
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => {
      const controller = new AbortController();
      const running = { controller, ended: this.#run(controller.signal) };
      this.#running = running;
    }, delayMs);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const config = this.#config!;
    const leave = await this.#gate.enter(signal);
    if (leave === null) return;
    const startedMs = performance.now();
    let result;
    try {
      result = await probe({
        target: this.#target.config,
        path: config.path,
        firstUsualPath: this.#usualPath,
        timeoutMs: config.timeoutMs,
        userAgent: this.#options.userAgent,
        client: this.#client,
        signal,
      });
    } finally {
      leave();
    }
    if (signal.aborted) return;
    this.#running = null;
    this.#usualPath = result.usualPath;
    this.#record(result.error, performance.now() - startedMs, config);
    const jitter = 1 - JITTER + 2 * JITTER * Math.random();
    this.#schedule(config.intervalMs * jitter);
  }

  #record(error: string | null, durationMs: number, config: HealthCheckConfig): void {
    const { health } = this;
    this.#options.observe.checkDuration(health.name, durationMs);
    health.lastCheckAt = new Date();
    health.lastDurationMs = Math.round(durationMs * 1000) / 1000;
    health.lastError = error;
    if (error === null) {
      health.consecutiveSuccesses++;
      health.consecutiveFailures = 0;
      // Nothing speaks against an unknown target that answers: it is used already.
      const enough = health.state === "unknown" || health.consecutiveSuccesses >= config.healthyThreshold;
      if (enough && health.state !== "healthy") this.#become("healthy", "the health check succeeds");
    } else {
      health.consecutiveFailures++;
      health.consecutiveSuccesses = 0;
      const enough = health.consecutiveFailures >= config.unhealthyThreshold;
      if (enough && health.state !== "unhealthy") this.#become("unhealthy", error);
    }
  }

  #become(state: "healthy" | "unhealthy", reason: string): void {
    const { health } = this;
    const before = health.state;
    health.state = state;
    health.since = new Date();
    const healthy = state === "healthy";
    this.#options.table.setState(this.#target.slot, healthy ? TargetState.Healthy : TargetState.Unhealthy);
    this.#options.log(healthy ? "info" : "warn", `target ${health.name} is ${state}: ${reason}`, {
      target: health.name,
      url: health.url,
      before,
      after_checks: healthy ? health.consecutiveSuccesses : health.consecutiveFailures,
    });
  }
}

/** Lets at most `size` pass at once; the others wait in line. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  /** @returns what to call when leaving; null if `signal` was aborted while waiting */
  async enter(signal: AbortSignal): Promise<(() => void) | null> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const leave = () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
    if (!signal.aborted) return leave;
    leave();
    return null;
  }
}
