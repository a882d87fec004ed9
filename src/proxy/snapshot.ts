/** One generation of the configuration as a proxy thread uses it: never changed, only replaced. */
import type { BalancedTarget, Balancer } from "../balancing/balancer.ts";
import { BalancerSet, type Rotations } from "../balancing/groups.ts";
import type { ActiveCounts, TargetTable } from "../balancing/target_table.ts";
import type { Config } from "../config/model.ts";
import { CircuitBreaker, type CircuitChange } from "../health/circuit_breaker.ts";
import type { PluginMetrics } from "../metrics/mod.ts";
import { buildPlugins, type Chain, type PluginSet } from "../plugins/mod.ts";
import type { TransportSet } from "../upstream/transports.ts";
import { RetryBudget } from "../retry/budget.ts";
import { RetryPolicy } from "../retry/policy.ts";
import { RouteTable } from "../routing/mod.ts";
import { accessStep } from "../security/access.ts";
import { type AuthStep, authStep } from "../security/auth.ts";
import { TrustedPeers } from "../security/client_address.ts";
import type { RemoteKeySets } from "../security/remote_keys.ts";
import { type RateLimitStep as RateLimit, rateLimitStep } from "../security/rate_limit.ts";
import { DomainTable } from "./domains.ts";
import { ErrorPages } from "./error_pages.ts";
import type { Origin } from "./exchange.ts";
import type { RequestFields } from "./headers.ts";
import { RouteParts } from "./routes.ts";
import { AccessStep, AuthenticationStep, LimitsStep, RateLimitStep } from "./security_steps.ts";
import { DomainStep, PluginStep, RedirectStep, RoutePluginStep, RouteStep, type Step } from "./steps.ts";

/** What the control thread posts for a new generation: plain data. */
export interface SnapshotSpec {
  generation: number;
  config: Config;
  targets: BalancedTarget[];
  /** The turn counters of the balancers. */
  rotations: Rotations;
  /** Memory shared with the other proxy threads, by the part of the configuration that it belongs to. */
  shared: Readonly<Record<string, SharedArrayBuffer>>;
}

/** What a proxy thread builds its snapshots with. */
export interface SnapshotContext {
  table: TargetTable;
  counts: ActiveCounts;
  pluginMetrics: PluginMetrics;
  /** Keys that are fetched, shared by all generations. */
  remoteKeys: RemoteKeySets;
  /** A target's circuit has changed through a request of this thread. */
  circuitChanged: (change: CircuitChange) => void;
  log: (
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
}

export class Snapshot {
  readonly generation: number;
  readonly config: Config;
  readonly balancers: BalancerSet;
  /** Over all targets. */
  readonly balancer: Balancer;
  /** Null: targets are not judged by how their requests end. */
  readonly breaker: CircuitBreaker | null;
  readonly retry: RetryPolicy;
  /** Null without `[retry]`. */
  readonly retryBudget: RetryBudget | null;
  /** What a request goes through before it is forwarded. */
  readonly steps: readonly Step[];
  /** Plugins that see every answer of an upstream or a rule; null where there are none. */
  readonly responseChain: Chain | null;
  readonly routes: RouteParts;
  readonly errorPages: ErrorPages;
  readonly #plugins: PluginSet;
  readonly #rateLimit: RateLimit | null;
  readonly #auth: AuthStep | null;
  readonly #peers: TrustedPeers;
  #inFlight = 0;
  #retired: (() => void) | null = null;

  private constructor(
    spec: SnapshotSpec,
    context: SnapshotContext,
    readonly transports: TransportSet,
    { plugins, auth }: { plugins: PluginSet; auth: AuthStep | null },
  ) {
    const { config } = spec;
    this.generation = spec.generation;
    this.config = config;
    this.balancers = new BalancerSet({
      targets: spec.targets,
      config: config.targets,
      rotations: spec.rotations,
      table: context.table,
      own: context.counts,
    });
    this.balancer = this.balancers.all;
    const { circuitBreaker } = config.targets;
    this.breaker = circuitBreaker.enabled
      ? new CircuitBreaker({ table: context.table, config: circuitBreaker, changed: context.circuitChanged })
      : null;
    this.retry = new RetryPolicy(config.retry);
    const budget = spec.shared[RETRY_BUDGET_KEY];
    this.retryBudget = budget === undefined ? null : new RetryBudget(budget, config.retry.budget);
    this.#plugins = plugins;
    this.#auth = auth;
    this.responseChain = plugins.responseChain;
    this.errorPages = new ErrorPages(config.errorPages);
    const rateLimit = rateLimitStep(config.security, spec.shared[RATE_LIMIT_KEY] ?? null, context.log);
    this.#rateLimit = rateLimit;
    this.#peers = new TrustedPeers(config.security);
    const table = new RouteTable(config.routing, config.targets.targets);
    this.routes = new RouteParts(table, {
      balancers: this.balancers,
      plugins,
      log: (message, fields) => context.log("debug", message, fields),
    });
    this.steps = compileSteps(config, { plugins, rateLimit, auth, table, routes: this.routes });
  }

  /** @throws Error if a part of the configuration cannot be made, e.g. a plugin's module not be loaded */
  static async build(
    spec: SnapshotSpec,
    context: SnapshotContext,
    transports: TransportSet,
  ): Promise<Snapshot> {
    const plugins = await buildPlugins(spec.config.plugins, {
      shared: (name) => spec.shared[pluginKey(name)] ?? null,
      log: context.log,
      metrics: context.pluginMetrics,
    });
    try {
      const auth = await authStep(spec.config.security, { remoteKeys: context.remoteKeys });
      return new Snapshot(spec, context, transports, { plugins, auth });
    } catch (fault) {
      await plugins.dispose();
      throw fault;
    }
  }

  /** Where a request comes from, as far as this configuration believes it. */
  originOf(peerIp: string, scheme: Origin["scheme"], { forwardedFor }: RequestFields): Origin {
    const trusted = this.#peers.trusts(peerIp);
    const clientIp = forwardedFor === null ? peerIp : this.#peers.clientAddress(peerIp, forwardedFor);
    return { peerIp, clientIp, trusted, scheme };
  }

  /** An exchange uses this generation from now on. */
  begin(): void {
    this.#inFlight++;
  }

  /** That exchange has ended. */
  end(): void {
    if (--this.#inFlight === 0) this.#retired?.();
  }

  /** No new exchange comes: ends what this generation has started when the last one has ended. */
  async retire(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#inFlight === 0) resolve();
      else this.#retired = resolve;
    });
    await Promise.all([this.#plugins.dispose(), this.#rateLimit?.close(), this.#auth?.dispose()]);
  }
}

/** Name of a plugin's memory in `SnapshotSpec.shared`. */
export function pluginKey(name: string): string {
  return `plugin:${name}`;
}

/** Name of the retry budget's memory in `SnapshotSpec.shared`. */
export const RETRY_BUDGET_KEY = "retry_budget";

/** Name of the rate limit's memory in `SnapshotSpec.shared`. */
export const RATE_LIMIT_KEY = "rate_limit";

/** The way of a request (DESIGN 6): only what the configuration asks for. */
function compileSteps(
  config: Config,
  parts: {
    plugins: PluginSet;
    rateLimit: RateLimit | null;
    auth: AuthStep | null;
    table: RouteTable;
    routes: RouteParts;
  },
): Step[] {
  const access = accessStep(config.security);
  const { requestChain } = parts.plugins;
  const plugins = requestChain === null ? null : new PluginStep("plugins", requestChain);
  const { table, routes } = parts;
  const routed = table.routes.length > 0 || table.defaultTargets.names !== null;
  const isFirst = config.plugins.applyBeforeDomainMatch;
  const { security, tls } = config;
  return [
    security.enabled ? new LimitsStep(security.ddos) : null,
    access === null ? null : new AccessStep(access),
    parts.rateLimit === null ? null : new RateLimitStep(parts.rateLimit),
    // Before clients are asked for what must not go in the clear.
    tls.enabled && tls.redirectHttp ? new RedirectStep(tls.redirectPort) : null,
    parts.auth === null ? null : new AuthenticationStep(parts.auth),
    isFirst ? plugins : null,
    new DomainStep(new DomainTable(config.domains)),
    isFirst ? null : plugins,
    routed ? new RouteStep(table, routes) : null,
    routes.havePlugins ? new RoutePluginStep(routes) : null,
  ].filter((step) => step !== null);
}
