/**
 * WebSocket proxying. After access, auth, plugins, routing and the choice of a target:
 *
 *     wantsWebSocket → upgradeRefusal → connectWebSocket ── no 101 ──▶ an ordinary answer
 *                                             │ UpstreamSocket
 *                                      openSession ──▶ the response for the listener, and the session
 */
export { connectWebSocket, type WebSocketRequest } from "./connect.ts";
export { type WebSocketLimits, webSocketLimits } from "./limits.ts";
export { openSession, type SessionOptions } from "./open_session.ts";
export {
  type Direction,
  type EndCause,
  type Passed,
  type SessionObserver,
  type SessionOutcome,
  WebSocketSession,
} from "./relay.ts";
export { connectionRelease } from "./runtime_hooks.ts";
export { WebSocketSessions } from "./sessions.ts";
export { upgradeRefusal, wantsWebSocket } from "./upgrade_request.ts";
export { UpstreamSocket } from "./upstream_socket.ts";
