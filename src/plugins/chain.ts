/**
 * Plugins one after the other at one stage of an exchange. A chain stays synchronous until a plugin returns a
 * promise: a request that meets only plugins that do not costs no turn of the event loop.
 */
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import type { Refusal } from "../http/refusal.ts";
import type { PluginStageMetrics } from "../metrics/mod.ts";
import { isRefusal, type Plugin, PluginError, type PluginResult, type Stage } from "./plugin.ts";
import { describe, type FailureLog } from "./failure_log.ts";
import { type PluginReport, type PluginTrace, Saved } from "./trace.ts";

/** Null: go on. All else is what the client gets, from the plugin of that name. */
export type PluginOutcome =
  | null
  | { kind: "answer"; plugin: string; answer: LocalAnswer }
  | { kind: "refuse"; plugin: string; refusal: Refusal };

/** A plugin at its place in chains of one stage. Chains share it. */
export interface Step {
  readonly name: string;
  readonly type: string;
  readonly plugin: Plugin;
  /** Whether its failure ends the request (`error_strategy = "fail"`). */
  readonly failsRequest: boolean;
  readonly metrics: PluginStageMetrics;
  readonly failures: FailureLog;
}

/** One call of a plugin: on what, and what is needed when it has ended. */
interface Call {
  readonly step: Step;
  /** Null where nothing will have to be undone or told. */
  readonly saved: Saved | null;
  readonly request: RequestMessage;
  readonly trace: PluginTrace | null;
}

export class Chain {
  readonly stage: Stage;
  readonly #steps: readonly Step[];

  /** @param steps at least one, each with a plugin that has the stage's method */
  constructor(stage: Stage, steps: readonly Step[]) {
    this.stage = stage;
    this.#steps = steps;
  }

  /** Names of the plugins in the order they run. */
  get names(): string[] {
    return this.#steps.map(({ name }) => name);
  }

  /** The chain with these plugins left out, for where they have already run; null if none is left. */
  without(names: readonly string[]): Chain | null {
    const steps = this.#steps.filter(({ name }) => !names.includes(name));
    return steps.length === 0 ? null : new Chain(this.stage, steps);
  }

  /**
   * Runs the plugins on a request, which they change in place. Never throws or rejects for what a plugin does.
   * For chains of the stage `request`.
   */
  runRequest(request: RequestMessage, trace?: PluginTrace): PluginOutcome | Promise<PluginOutcome> {
    return this.#run(0, request, null, trace ?? null);
  }

  /** As `runRequest`, on an answer. For chains of the stage `response`. */
  runResponse(
    request: RequestMessage,
    response: ResponseMessage,
    trace?: PluginTrace,
  ): PluginOutcome | Promise<PluginOutcome> {
    return this.#run(0, request, response, trace ?? null);
  }

  #run(
    first: number,
    request: RequestMessage,
    response: ResponseMessage | null,
    trace: PluginTrace | null,
  ): PluginOutcome | Promise<PluginOutcome> {
    const steps = this.#steps;
    // The end of one call is the start of the next: reading the clock is the dearest part of a header plugin.
    let startedMs = performance.now();
    for (let i = first; i < steps.length; i++) {
      const step = steps[i];
      // Where a failure ends the request there is nothing to go on with, so nothing to undo.
      const saved = step.failsRequest && trace === null ? null : new Saved(request, response);
      const call: Call = { step, saved, request, trace };
      let result: PluginResult | string | Promise<PluginResult>;
      let outcome: PluginOutcome;
      try {
        result = invoke(step.plugin, request, response, trace);
      } catch (fault) {
        const endedMs = performance.now();
        outcome = this.#failed(call, fault, endedMs - startedMs);
        if (outcome !== null) return outcome;
        startedMs = endedMs;
        continue;
      }
      if (result instanceof Promise) return this.#later(result, call, startedMs, i, response);
      const endedMs = performance.now();
      outcome = this.#ended(call, result, endedMs - startedMs);
      if (outcome !== null) return outcome;
      startedMs = endedMs;
    }
    return null;
  }

  async #later(
    pending: Promise<PluginResult>,
    call: Call,
    startedMs: number,
    index: number,
    response: ResponseMessage | null,
  ): Promise<PluginOutcome> {
    const outcome = await pending.then(
      (result) => this.#ended(call, result, performance.now() - startedMs),
      (fault) => this.#failed(call, fault, performance.now() - startedMs),
    );
    return outcome ?? this.#run(index + 1, call.request, response, call.trace);
  }

  #ended({ step, saved, trace }: Call, result: PluginResult | string, durationMs: number): PluginOutcome {
    const given = typeof result === "string" ? null : result;
    if (trace !== null) {
      const text = typeof result === "string" ? result : null;
      trace.plugin(this.#report(step, { changes: saved?.changes() ?? [], result: given, text }));
    }
    if (trace === null || !trace.dryRun) {
      step.metrics.called(durationMs);
      if (given !== null) step.metrics.shortCircuited();
    }
    if (given === null) return null;
    return isRefusal(given)
      ? { kind: "refuse", plugin: step.name, refusal: given }
      : { kind: "answer", plugin: step.name, answer: given };
  }

  #failed({ step, saved, request, trace }: Call, fault: unknown, durationMs: number): PluginOutcome {
    saved?.restore();
    const kind = fault instanceof PluginError ? fault.kind : "panic";
    const refusal = step.failsRequest ? FAILED : null;
    trace?.plugin(this.#report(step, { result: refusal, error: { kind, message: describe(fault) } }));
    if (trace === null || !trace.dryRun) {
      step.metrics.called(durationMs);
      step.metrics.failed(kind);
      step.failures.add(kind, describe(fault), request.requestId);
    }
    return refusal === null ? null : { kind: "refuse", plugin: step.name, refusal };
  }

  #report({ name, type }: Step, told: Partial<PluginReport>): PluginReport {
    return { name, type, stage: this.stage, changes: [], result: null, text: null, error: null, ...told };
  }
}

/** The log has the reason: it may name what a client must not know. */
const FAILED: Refusal = {
  code: "plugin_failed",
  message: "Internal error: a plugin failed, see the log for this request id",
};

function invoke(
  plugin: Plugin,
  request: RequestMessage,
  response: ResponseMessage | null,
  trace: PluginTrace | null,
): PluginResult | string | Promise<PluginResult> {
  if (trace?.dryRun && plugin.explain !== undefined) return plugin.explain(request, response);
  return response === null ? plugin.onRequest!(request) : plugin.onResponse!(request, response);
}
