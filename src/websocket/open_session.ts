/** Upgrades the client once the upstream has agreed, and lets the two speak. */
import type { FlatHeaders } from "../http/flat_headers.ts";
import { acceptWebSocket } from "./client_socket.ts";
import type { WebSocketLimits } from "./limits.ts";
import { type SessionObserver, WebSocketSession } from "./relay.ts";
import type { UpstreamSocket } from "./upstream_socket.ts";

export interface SessionOptions {
  /** The same as for `connectWebSocket`. */
  limits: WebSocketLimits;
  /** Fields of the 101 beside the handshake's: `upstream.headers`, perhaps changed on their way. */
  headers: FlatHeaders;
  observer: SessionObserver | null;
  /** What `connectionRelease` gave for the request's connection; null where it came through `Deno.serve`. */
  onOpen: (() => void) | null;
}

/**
 * @param request the client's, which passed `upgradeRefusal` and has not been answered
 * @param upstream the session's from now on, also if this throws
 * @returns the response that the listener must be given at once, as it is
 * @throws TypeError or Deno.errors.Http if the client cannot be upgraded any more
 */
export function openSession(
  request: Request,
  upstream: UpstreamSocket,
  { limits, headers, observer, onOpen }: SessionOptions,
): { response: Response; session: WebSocketSession } {
  try {
    const { response, client } = acceptWebSocket(request, {
      protocol: upstream.protocol,
      headers,
      limits,
      onOpen,
    });
    return { response, session: new WebSocketSession(client, upstream, limits, observer) };
  } catch (fault) {
    upstream.drop();
    throw fault;
  }
}
