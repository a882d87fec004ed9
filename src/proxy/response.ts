/** What becomes of an upstream's answer before the client gets it: route actions, then plugins. */
import type { UpstreamResponse } from "../upstream/transport.ts";
import { hasNoBody } from "./answers.ts";
import type { Exchange } from "./exchange.ts";
import { dropBody } from "./forward.ts";
import { type Ending, pluginEnding } from "./steps.ts";

/** Changes `upstream` in place. @returns what is sent instead of it; its body is dropped then; null: nothing */
export async function changeResponse(
  exchange: Exchange,
  upstream: UpstreamResponse,
): Promise<Ending | null> {
  const { responseChain } = exchange.snapshot;
  if (responseChain !== null) {
    const trace = exchange.trace?.pluginsOf("response_plugins");
    const ending = pluginEnding(await responseChain.runResponse(exchange, upstream, trace));
    if (ending !== null) {
      await dropBody(exchange, upstream);
      return ending;
    }
  }
  if (upstream.body !== null && hasNoBody(upstream.status)) await dropBody(exchange, upstream);
  return null;
}
