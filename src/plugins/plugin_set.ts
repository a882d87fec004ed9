/** The plugins of one generation of the configuration in one thread, and the chains they make. */
import type { PluginConfig, PluginsConfig } from "../config/model.ts";
import type { PluginMetrics } from "../metrics/mod.ts";
import { Chain, type Step } from "./chain.ts";
import { FailureLog } from "./failure_log.ts";
import type { Plugin, PluginContext, PluginLog, Stage } from "./plugin.ts";
import { pluginType } from "./registry.ts";

/** What the plugins of a thread share. */
export interface PluginDeps {
  /** The memory that `sharedPluginBytes` asked for in this plugin's name; null where it asked for none. */
  shared(name: string): SharedArrayBuffer | null;
  log: PluginLog;
  metrics: PluginMetrics;
}

/**
 * How much shared memory each plugin wants, for those that want any. The control thread gives each name one
 * block of zeros, the same to all proxy threads.
 */
export function sharedPluginBytes(config: PluginsConfig, typeOf = pluginType): Map<string, number> {
  const bytes = new Map<string, number>();
  for (const { name, type, settings } of running(config)) {
    const wanted = typeOf(type).sharedBytes?.(settings) ?? 0;
    if (wanted > 0) bytes.set(name, wanted);
  }
  return bytes;
}

/**
 * Makes an instance of every plugin that is enabled.
 * @throws Error if one cannot be made; those that were made are disposed of again
 */
export async function buildPlugins(
  config: PluginsConfig,
  deps: PluginDeps,
  typeOf = pluginType,
): Promise<PluginSet> {
  const plugins = new Map<string, Plugin>();
  const wanted = running(config);
  // At the same time: a plugin may wait for a thread or a program of its own.
  const made = await Promise.allSettled(
    wanted.map(async ({ name, type, settings }) =>
      await typeOf(type).create(settings, contextOf(name, deps))
    ),
  );
  made.forEach((result, index) => {
    if (result.status === "fulfilled") plugins.set(wanted[index].name, result.value);
  });
  const failed = made.findIndex(({ status }) => status === "rejected");
  if (failed !== -1) {
    await disposeAll(plugins, deps.log);
    const { reason: fault } = made[failed] as PromiseRejectedResult;
    const { name, type } = wanted[failed];
    const reason = fault instanceof Error ? fault.message : String(fault);
    throw new Error(`cannot make the plugin "${name}" of the type ${type}: ${reason}`, { cause: fault });
  }
  return new PluginSet(config, plugins, deps);
}

export class PluginSet {
  /** The plugins that see every request, in declared order; null where there are none. */
  readonly requestChain: Chain | null;
  /** The plugins that see every answer, in declared order, too; null where there are none. */
  readonly responseChain: Chain | null;
  readonly #known: ReadonlySet<string>;
  readonly #steps: { readonly [S in Stage]: ReadonlyMap<string, Step> };
  readonly #plugins: ReadonlyMap<string, Plugin>;
  readonly #log: PluginLog;

  /** For `buildPlugins`. @param plugins those that are enabled, by name */
  constructor(config: PluginsConfig, plugins: ReadonlyMap<string, Plugin>, deps: PluginDeps) {
    this.#known = new Set(config.plugins.map(({ name }) => name));
    this.#plugins = plugins;
    this.#log = deps.log;
    this.#steps = {
      request: stepsOf("request", config, plugins, deps),
      response: stepsOf("response", config, plugins, deps),
    };
    const onlyRouted = new Set(
      config.plugins.filter(({ scope }) => scope === "routes").map(({ name }) => name),
    );
    const forAll = (stage: Stage) =>
      [...this.#steps[stage].values()].filter(({ name }) => !onlyRouted.has(name));
    this.requestChain = chain("request", forAll("request"));
    this.responseChain = chain("response", forAll("response"));
  }

  /**
   * The chain of a route that names its plugins: in the order of the names, each as often as it is named. Left
   * out is what is switched off, or does nothing at the stage. The same plugin here and in the chains for all
   * requests is one instance; `Chain.without` keeps it from running twice.
   * @returns null where no plugin is left
   * @throws TypeError for a name that no plugin of the configuration has
   */
  chainOf(names: readonly string[], stage: Stage): Chain | null {
    const steps = names.map((name) => {
      if (!this.#known.has(name)) throw new TypeError(`no plugin is called "${name}"`);
      return this.#steps[stage].get(name);
    });
    return chain(stage, steps.filter((step) => step !== undefined));
  }

  /** Ends what the plugins have started. To be called once, when no exchange uses them any more. Never rejects. */
  dispose(): Promise<void> {
    return disposeAll(this.#plugins, this.#log);
  }
}

function running({ enabled, plugins }: PluginsConfig): PluginConfig[] {
  return enabled ? plugins.filter((plugin) => plugin.enabled) : [];
}

function chain(stage: Stage, steps: readonly Step[]): Chain | null {
  return steps.length === 0 ? null : new Chain(stage, steps);
}

function stepsOf(
  stage: Stage,
  config: PluginsConfig,
  plugins: ReadonlyMap<string, Plugin>,
  { log, metrics }: PluginDeps,
): ReadonlyMap<string, Step> {
  const method = stage === "request" ? "onRequest" : "onResponse";
  const steps = new Map<string, Step>();
  for (const { name, type, stage: configured, errorStrategy } of running(config)) {
    const plugin = plugins.get(name);
    if (plugin?.[method] === undefined || (configured !== "both" && configured !== stage)) continue;
    const failsRequest = errorStrategy === "fail";
    steps.set(name, {
      name,
      type,
      plugin,
      failsRequest,
      metrics: metrics.stage(name, stage),
      failures: new FailureLog(
        (level, message, fields) => log(level, message, { plugin: name, stage, ...fields }),
        failsRequest ? "error" : "warn",
      ),
    });
  }
  return steps;
}

function contextOf(name: string, { shared, log, metrics }: PluginDeps): PluginContext {
  return {
    name,
    shared: shared(name),
    log: (level, message, fields) => log(level, message, { plugin: name, ...fields }),
    commandMetrics: metrics.command(name),
  };
}

async function disposeAll(plugins: ReadonlyMap<string, Plugin>, log: PluginLog): Promise<void> {
  const endings = [...plugins].map(async ([name, plugin]) => {
    try {
      await plugin.dispose?.();
    } catch (fault) {
      log("error", "cannot end a plugin", { plugin: name, error: String(fault) });
    }
  });
  await Promise.all(endings);
}
