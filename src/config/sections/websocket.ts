/** `[websocket]`: what becomes of requests that ask to switch to WebSocket. */
import type * as z from "zod";
import { byteCount, field, flag, seconds, table, toSeconds } from "../fields.ts";
import type { WebSocketConfig } from "../model.ts";

/** The runtime takes no larger frame from a client. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export const websocketSchema = table({
  enabled: field(
    flag().prefault(true),
    "Whether WebSockets are passed on. If not, a request for one is forwarded as an ordinary request.",
  ),
  idle_timeout: field(
    seconds(0).prefault(0),
    "Seconds after which a WebSocket is closed on which no message passed in either direction; 0 never does. " +
      "Pings do not count. A peer that has vanished is found by ping_interval, not by this.",
  ),
  max_message_bytes: field(
    byteCount(1, MAX_MESSAGE_BYTES).prefault(MAX_MESSAGE_BYTES),
    "Longest message in bytes, its fragments added up; a longer one closes the WebSocket with code 1009. " +
      "A message is held in memory until it is whole. A client's message is measured when it is whole: " +
      "a frame above 64 MiB is refused at once, but the fragments of one message are not bounded before.",
  ),
  ping_interval: field(
    seconds(0).prefault(30),
    "Seconds of silence after which a side is sent a ping; without an answer for as long again it counts as gone " +
      "and the WebSocket ends. 0 sends none: then peers that vanish are noticed only by idle_timeout.",
  ),
  max_buffered_bytes: field(
    byteCount(1024, 1024 * 1024 * 1024).prefault(1024 * 1024),
    "Bytes that may wait for the slower side, in each direction of each WebSocket, before the faster side is " +
      "held back. One message more may wait beside them.",
  ),
});

export function websocketFromFile(file: z.output<typeof websocketSchema>): WebSocketConfig {
  return {
    enabled: file.enabled,
    idleTimeoutMs: file.idle_timeout,
    maxMessageBytes: file.max_message_bytes,
    pingIntervalMs: file.ping_interval,
    maxBufferedBytes: file.max_buffered_bytes,
  };
}

export function websocketToFile(websocket: WebSocketConfig): z.input<typeof websocketSchema> {
  return {
    enabled: websocket.enabled,
    idle_timeout: toSeconds(websocket.idleTimeoutMs),
    max_message_bytes: websocket.maxMessageBytes,
    ping_interval: toSeconds(websocket.pingIntervalMs),
    max_buffered_bytes: websocket.maxBufferedBytes,
  };
}
