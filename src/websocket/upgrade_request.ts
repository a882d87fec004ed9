/** Which requests ask for a WebSocket, and which of them are refused (RFC 6455 section 4.2.1). */
import type { Refusal } from "../http/refusal.ts";

/** Base64 of 16 bytes. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const VERSION = "13";

/**
 * Whether the client asks to switch to WebSocket. Without `upgrade` in `Connection` the `Upgrade` field is
 * not for us (RFC 9110 section 7.8): such a request is an ordinary one.
 */
export function wantsWebSocket(headers: Headers): boolean {
  const upgrade = headers.get("upgrade");
  return upgrade !== null && hasToken(upgrade, "websocket") && hasToken(headers.get("connection"), "upgrade");
}

/** Why a request that `wantsWebSocket` cannot have one; null if it can. */
export function upgradeRefusal(method: string, headers: Headers): Refusal | null {
  if (method !== "GET") {
    return badRequest(`a WebSocket is asked for with GET, not with ${method}`);
  }
  const version = headers.get("sec-websocket-version");
  if (version !== VERSION) {
    const found = version === null ? "is missing" : "has another version";
    return {
      code: "upgrade_required",
      message: `Upgrade required: Sec-WebSocket-Version ${found}, wanted ${VERSION}`,
      // RFC 6455 section 4.4 and RFC 9110 section 15.5.22.
      headers: ["sec-websocket-version", VERSION, "upgrade", "websocket", "connection", "upgrade"],
    };
  }
  const key = headers.get("sec-websocket-key");
  if (key === null || !KEY.test(key)) {
    const found = key === null ? "is missing" : "is wrong";
    return badRequest(`Sec-WebSocket-Key ${found}, wanted 16 bytes in base64`);
  }
  return null;
}

function badRequest(message: string): Refusal {
  return { code: "bad_request", message: `Bad request: ${message}` };
}

/** Whether a comma-separated list holds `token` (given in lower case), in any case. */
export function hasToken(list: string | null, token: string): boolean {
  return list !== null && list.split(",").some((entry) => entry.trim().toLowerCase() === token);
}
