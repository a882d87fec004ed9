/** WebSockets of one proxy thread: which requests ask for one, and what becomes of those that a target agrees to. */
import type { TargetConfig } from "../config/model.ts";
import type { Refusal } from "../http/refusal.ts";
import type { WebSocketMetrics } from "../metrics/mod.ts";
import {
  openSession,
  type SessionOutcome,
  upgradeRefusal,
  wantsWebSocket,
  webSocketLimits,
  type WebSocketSession,
  WebSocketSessions,
} from "../websocket/mod.ts";
import type { DomainTable } from "./domains.ts";
import type { Exchange } from "./exchange.ts";
import type { Forwarded } from "./forward.ts";

/** Notes that the client asks for a WebSocket. @returns why it cannot have one; null: it may, or asks for none */
export function readUpgrade(exchange: Exchange): Refusal | null {
  const { request, fields, snapshot } = exchange;
  if (fields.upgrade === null || !snapshot.config.websocket.enabled || !wantsWebSocket(request.headers)) {
    return null;
  }
  exchange.isWebSocket = true;
  return upgradeRefusal(exchange.method, request.headers);
}

/** RFC 6455 section 7.4.1. */
const GOING_AWAY = [1001, "the proxy is going away"] as const;
const NO_WAY = [1001, "the proxy does not serve this any more"] as const;

/** WebSockets that have no way any more, those that are alike together. */
interface Unrouted {
  host: string;
  target: string;
  why: string;
  count: number;
}

export class Upgrades {
  readonly #sessions = new WebSocketSessions();
  /** Where each open one came from and goes to. */
  readonly #ways = new Map<WebSocketSession, { host: string; target: TargetConfig }>();
  readonly #metrics: WebSocketMetrics;
  #isClosing = false;

  constructor(metrics: WebSocketMetrics) {
    this.#metrics = metrics;
  }

  /**
   * Upgrades the client to the socket that the target has agreed to.
   * @param ended told once, when the WebSocket has ended
   * @returns the response that the listener must be given at once
   * @throws TypeError or Deno.errors.Http if the client cannot be upgraded any more
   */
  open(
    exchange: Exchange,
    request: Request,
    { socket, headers }: Forwarded & { socket: NonNullable<Forwarded["socket"]> },
    ended: (outcome: SessionOutcome) => void,
  ): Response {
    const { connection, snapshot } = exchange;
    // The signal of an upgraded request tells of the end of its HTTP, not of its client's leaving.
    exchange.watched = true;
    const { response, session } = openSession(request, socket, {
      limits: webSocketLimits(snapshot.config.websocket),
      headers,
      observer: this.#metrics,
      onOpen: connection === null ? null : () => connection.upgraded(),
    });
    this.#sessions.add(session);
    const { host, upstream } = exchange;
    if (upstream !== null) this.#ways.set(session, { host, target: upstream.config });
    this.#metrics.opened();
    if (this.#isClosing) session.close(...GOING_AWAY);
    session.ended.then((outcome) => {
      this.#ways.delete(session);
      this.#metrics.closed(outcome.cause);
      ended(outcome);
    });
    return response;
  }

  /** Which WebSockets have a domain or a target that is not among these; `close` closes them with 1001. */
  unrouted(
    domains: DomainTable,
    targets: readonly TargetConfig[],
  ): { list: Iterable<Unrouted>; close: () => void } {
    const known = new Set(targets.map(({ name, url }) => `${url}\n${name}`));
    const sessions: WebSocketSession[] = [];
    const groups = new Map<string, Unrouted>();
    for (const [session, { host, target: { name, url } }] of this.#ways) {
      const why = domains.match(host) === null
        ? "its domain is not intercepted any more"
        : known.has(`${url}\n${name}`)
        ? null
        : "its target is not there any more";
      if (why === null) continue;
      sessions.push(session);
      const key = `${host}\n${name}\n${why}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { host, target: name, why, count: 1 });
      else group.count++;
    }
    return {
      list: groups.values(),
      close: () => sessions.forEach((session) => session.close(...NO_WAY)),
    };
  }

  /** Closes every WebSocket, also those still to come, with 1001; resolves when those open now have ended. */
  closeAll(): Promise<void> {
    this.#isClosing = true;
    return this.#sessions.closeAll(...GOING_AWAY);
  }
}
