/** What becomes of a target's answer before the client gets it: what its routing rule changes, then plugins. */
import type { ResponseMessage } from "../http/message.ts";
import type { UpstreamResponse } from "../upstream/transport.ts";
import { hasNoBody } from "./answers.ts";
import type { Exchange } from "./exchange.ts";
import { dropBody } from "./forward.ts";
import { type Ending, pluginEnding } from "./steps.ts";

/** Whether anything changes this exchange's answer. */
export function changesResponse({ route, snapshot }: Exchange): boolean {
  return route !== null || snapshot.responseChain !== null;
}

/** Changes `upstream` in place. @returns what is sent instead of it, its body dropped; null: nothing */
export async function changeResponse(
  exchange: Exchange,
  upstream: UpstreamResponse,
): Promise<Ending | null> {
  const ending = await change(exchange, upstream);
  if (ending !== null || hasNoBody(upstream.status)) await dropBody(exchange, upstream);
  return ending;
}

async function change(exchange: Exchange, response: ResponseMessage): Promise<Ending | null> {
  const { route, snapshot, trace } = exchange;
  if (route !== null) {
    route.applyResponse(response);
    const { response: chain } = snapshot.routes.chainsOf(route);
    if (chain !== null) {
      const watch = trace?.pluginsOf("route_response_plugins");
      const ending = pluginEnding(await chain.runResponse(exchange, response, watch));
      if (ending !== null) return ending;
    }
  }
  const { responseChain } = snapshot;
  if (responseChain === null) return null;
  return pluginEnding(
    await responseChain.runResponse(exchange, response, trace?.pluginsOf("response_plugins")),
  );
}
