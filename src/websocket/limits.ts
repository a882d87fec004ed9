/** The bounds of one WebSocket, those of `[websocket]` and those that follow from them. */
import type { WebSocketConfig } from "../config/model.ts";

export interface WebSocketLimits {
  /** Longest message either side may send, in bytes of its payload. */
  maxMessageBytes: number;
  /** Bytes that may wait for the slower side in each direction before the faster one is held back. */
  maxBufferedBytes: number;
  /** Silence after which a side is pinged; after as long again it counts as dead. 0: no pings. */
  pingIntervalMs: number;
  /** A WebSocket on which no message passes for so long is closed. 0: never. */
  idleTimeoutMs: number;
  /** Longest wait between the 101 and the open WebSocket: of a client that leaves in between nothing is heard. */
  openTimeoutMs: number;
  /** Longest wait for the answer to a Close frame. */
  closeTimeoutMs: number;
  /** A client that takes nothing for so long, while messages wait for it, is given up. */
  stallTimeoutMs: number;
}

const OPEN_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5000;
const MIN_STALL_TIMEOUT_MS = 60_000;

export function webSocketLimits(config: WebSocketConfig): WebSocketLimits {
  return {
    maxMessageBytes: config.maxMessageBytes,
    maxBufferedBytes: config.maxBufferedBytes,
    pingIntervalMs: config.pingIntervalMs,
    idleTimeoutMs: config.idleTimeoutMs,
    openTimeoutMs: OPEN_TIMEOUT_MS,
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
    stallTimeoutMs: Math.max(MIN_STALL_TIMEOUT_MS, 2 * config.pingIntervalMs),
  };
}
