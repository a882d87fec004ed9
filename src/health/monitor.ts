/** Checks one target again and again and keeps its health. */
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { HealthCheckConfig } from "../config/model.ts";
import type { Clock } from "./clock.ts";
import type { Gate } from "./gate.ts";
import { Probe, type ProbeFetch } from "./probe.ts";
import { afterCheck, type CheckResult, newTargetHealth, type TargetHealth } from "./target_health.ts";

export interface MonitorContext {
  readonly clock: Clock;
  readonly gate: Gate;
  readonly fetch: ProbeFetch;
  readonly random: () => number;
  /** After each finished check that told something; not after `stop`. */
  readonly checked: (monitor: TargetMonitor, before: TargetHealth, result: CheckResult) => void;
}

export class TargetMonitor {
  readonly target: BalancedTarget;
  readonly #context: MonitorContext;
  #config: HealthCheckConfig;
  #probe: Probe;
  #health: TargetHealth;
  /** Monotonic; of the last check that began. */
  #lastStartMs: number | null = null;
  #callOff: (() => void) | null = null;
  #running: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  /** Nothing is checked before `start`. */
  constructor(target: BalancedTarget, config: HealthCheckConfig, context: MonitorContext) {
    this.target = target;
    this.#context = context;
    this.#config = config;
    this.#probe = new Probe(target.config, config.path, context.fetch);
    this.#health = newTargetHealth(target.config, context.clock.now());
  }

  get health(): TargetHealth {
    return this.#health;
  }

  start(delayMs: number): void {
    this.#callOff = this.#context.clock.after(delayMs, () => {
      this.#callOff = null;
      this.#running = this.#context.gate.run(() => this.#check());
    });
  }

  /** Goes by `config` from now on; state and streaks stay. */
  reconfigure(config: HealthCheckConfig): void {
    const before = this.#config;
    this.#config = config;
    if (config.path !== before.path) {
      this.#probe = new Probe(this.target.config, config.path, this.#context.fetch);
    }
    // The next check may be due sooner now, or later.
    if (this.#callOff !== null && this.#lastStartMs !== null) {
      this.#callOff();
      this.#startNext(this.#lastStartMs);
    }
  }

  /** Ends a check in progress. Resolves when nothing is left running. */
  stop(): Promise<void> {
    this.#stopping.abort(new Error("the health checks were stopped"));
    this.#callOff?.();
    this.#callOff = null;
    return this.#running;
  }

  async #check(): Promise<void> {
    const { clock } = this.#context;
    const stopping = this.#stopping.signal;
    if (stopping.aborted) return;
    const startMs = clock.monotonicMs();
    this.#lastStartMs = startMs;
    const { timeoutMs } = this.#config;
    const abort = new AbortController();
    const stopped = () => abort.abort(stopping.reason);
    stopping.addEventListener("abort", stopped);
    const callOffTimeout = clock.after(
      timeoutMs,
      () => abort.abort(new Error(`timed out after ${timeoutMs} ms`)),
    );
    const result = await this.#probe.check(abort.signal);
    callOffTimeout();
    stopping.removeEventListener("abort", stopped);
    if (stopping.aborted) return;

    this.#startNext(startMs);
    if (result.inconclusive) return;
    const before = this.#health;
    const durationMs = clock.monotonicMs() - startMs;
    this.#health = afterCheck(before, result, clock.now(), durationMs, this.#config);
    this.#context.checked(this, before, result);
  }

  /** The interval runs from start to start, 10 % more or less, so that checks do not fall into step. */
  #startNext(lastStartMs: number): void {
    const { clock, random } = this.#context;
    const intervalMs = this.#config.intervalMs * (0.9 + 0.2 * random());
    this.start(Math.max(0, lastStartMs + intervalMs - clock.monotonicMs()));
  }
}
