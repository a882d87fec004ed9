/** The answer to plain HTTP where `tls.redirect_http` asks for HTTPS. */
import type { LocalAnswer } from "../http/message.ts";

/** What of a request the redirect is made of. */
export interface RedirectedRequest {
  readonly scheme: "http" | "https";
  /** Host as the client wrote it, checked, with its port. */
  readonly authority: string;
  /** Path and query, one character a byte. */
  readonly target: string;
}

const HTTPS_PORT = 443;

/**
 * Where a request over plain HTTP is to go instead; null for one over HTTPS. The status is 308, which unlike
 * 301 keeps method and body (RFC 9110 section 15.4.9).
 * @param port that clients reach HTTPS at
 */
export function httpsRedirect(request: RedirectedRequest, port: number): LocalAnswer | null {
  if (request.scheme === "https") return null;
  const host = request.authority.replace(/:\d*$/, "");
  const origin = `https://${host}${port === HTTPS_PORT ? "" : `:${port}`}`;
  // "OPTIONS *" has no path; bytes beyond ASCII have no place in a URL as they are.
  const path = request.target.startsWith("/") ? request.target : "/";
  const location = origin + path.replace(/[^\x21-\x7e]/g, percentEncoded);
  return {
    status: 308,
    headers: ["location", location, "content-type", "text/plain; charset=utf-8"],
    body: `Moved to ${location}\n`,
  };
}

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}
