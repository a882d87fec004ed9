/** What all plugins that run foreign code have in common: limit, input, output. */
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import { CallSlots } from "./call_slots.ts";
import type { Call } from "./lane.ts";
import { type Plugin, type PluginContext, PluginError, type PluginErrorKind, type Stage } from "./plugin.ts";
import { applyResult, type CallResult, parseOutput, requestInput, responseInput } from "./protocol.ts";

export interface ForeignCode {
  /** Which methods it has. */
  stages: readonly Stage[];
  /** Runs one call. @throws PluginError */
  run(call: Call): Promise<string>;
  /** What a call would do, for `explain`. */
  describe(stage: Stage): string;
  /** Told of each call that fails, whatever the reason. */
  failed?(kind: PluginErrorKind): void;
  /** Null: no limit beside those of `run`. */
  slots: CallSlots | null;
  dispose?(): Promise<void>;
}

/** A plugin of code that speaks the protocol. A call that fails has changed nothing. */
export function foreignPlugin(code: ForeignCode): Plugin {
  async function output(call: Call): Promise<string> {
    if (code.slots === null) return await code.run(call);
    const give = code.slots.take();
    if (give === null) throw new PluginError("concurrency", "max_concurrency calls are already under way");
    try {
      return await code.run(call);
    } finally {
      give();
    }
  }

  async function result(call: Call): Promise<CallResult> {
    try {
      return parseOutput(await output(call), call.stage);
    } catch (fault) {
      code.failed?.(fault instanceof PluginError ? fault.kind : "panic");
      throw fault;
    }
  }

  const onRequest = async (request: RequestMessage): Promise<LocalAnswer | null> =>
    applyResult(await result({ stage: "request", input: requestInput(request) }), request, null);
  const onResponse = async (
    request: RequestMessage,
    response: ResponseMessage,
  ): Promise<LocalAnswer | null> =>
    applyResult(
      await result({ stage: "response", input: responseInput(request, response) }),
      request,
      response,
    );
  return {
    ...(code.stages.includes("request") ? { onRequest } : {}),
    ...(code.stages.includes("response") ? { onResponse } : {}),
    explain: (_request: RequestMessage, response: ResponseMessage | null = null) =>
      code.describe(response === null ? "request" : "response"),
    ...(code.dispose === undefined ? {} : { dispose: code.dispose }),
  };
}

/** @param longestMs of a call; a slot that is held much longer was lost with its thread */
export function callSlots(
  { shared }: PluginContext,
  limit: number | undefined,
  longestMs: number,
): CallSlots | null {
  if (limit === undefined) return null;
  if (shared === null) throw new TypeError("the plugin was given no shared memory");
  return new CallSlots(shared, longestMs + LEASE_MARGIN_MS);
}

/** For the end of what ran, and for a machine that is busy. */
const LEASE_MARGIN_MS = 30_000;
