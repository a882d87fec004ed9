/** The traffic record of an exchange that has ended. */
import type { TrafficRecord } from "../traffic/record.ts";
import type { Exchange } from "./exchange.ts";

/** @param worker index of the proxy thread */
export function recordOf(exchange: Exchange, durationMs: number, worker: number): TrafficRecord {
  const { receivedTarget } = exchange;
  const query = exchange.snapshot.config.logging.recordQuery ? -1 : receivedTarget.indexOf("?");
  return {
    id: exchange.id,
    timestampMs: exchange.timestampMs,
    requestId: exchange.requestId,
    clientIp: exchange.clientIp,
    host: exchange.host,
    method: exchange.method,
    path: query === -1 ? receivedTarget : receivedTarget.slice(0, query),
    target: exchange.targetName,
    statusCode: exchange.status,
    durationMs,
    requestSize: exchange.requestSize,
    responseSize: exchange.responseSize,
    userAgent: exchange.fields.userAgent,
    errorMessage: exchange.errorMessage,
    route: exchange.route?.name ?? exchange.domain,
    upstreamMs: exchange.upstreamMs,
    retries: exchange.retries,
    protocol: exchange.isWebSocket && exchange.status === 101
      ? "websocket"
      : exchange.isHttp2
      ? "h2"
      : "http/1.1",
    worker,
  };
}
