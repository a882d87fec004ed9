/** Close codes and reasons (RFC 6455 section 7.4 and the registry it set up). */

/** The endpoint goes away: a shutdown, or a page that was left. */
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
/** Text that is no UTF-8. */
export const INVALID_PAYLOAD = 1007;
export const POLICY_VIOLATION = 1008;
export const MESSAGE_TOO_BIG = 1009;
/**
 * A gateway got nothing, or nothing valid, from the server behind it. Registered after RFC 6455. Clients that
 * tell codes apart take it as worth trying again, other than 1011.
 */
export const BAD_GATEWAY = 1014;
/** Never on the wire: a Close frame without a code came (section 7.1.5). */
export const NO_CODE = 1005;
/** Never on the wire: the connection ended without a Close frame. */
export const NO_CLOSE_FRAME = 1006;

/** Whether the code may stand in a Close frame (section 7.4.2); codes that nobody has registered may not. */
export function isWireCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== NO_CODE && code !== NO_CLOSE_FRAME;
}

/** Section 5.5: control frames hold 125 bytes, two of which are the code. */
export const MAX_REASON_BYTES = 123;

const encoder = new TextEncoder();

/** The longest beginning of `reason` that fits into a Close frame, no character cut in two. */
export function fittingReason(reason: string): string {
  const { read } = encoder.encodeInto(reason, new Uint8Array(MAX_REASON_BYTES));
  return reason.slice(0, read);
}
