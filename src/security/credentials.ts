/** What clients show to be let in, and what they are told when it does not do. */
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { DenialKind, Refusal } from "../http/refusal.ts";

/** Every value of a field joined as RFC 9110 section 5.2 has it, so that two of them are never one that is right. */
export function wholeField(headers: FlatHeaders, name: string): string | null {
  let whole: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue;
    whole = whole === null ? headers[i + 1] : `${whole}, ${headers[i + 1]}`;
  }
  return whole;
}

/** RFC 6750 section 2.1, but for the characters: what opaque tokens are made of, their issuers decide. */
const BEARER = /^Bearer +([!-~]+)$/i;

/** The bearer token; null if none was sent, "" for a field that holds no single one. */
export function bearerToken(headers: FlatHeaders): string | null {
  const field = wholeField(headers, "authorization");
  if (field === null) return null;
  const parts = BEARER.exec(field);
  if (parts !== null) return parts[1];
  return /^Bearer(?: |$)/i.test(field) ? "" : null;
}

const REALM = 'realm="dispa"';

/** @param message what is wrong and how to do it right */
export function missingKey(headerName: string, message: string): Refusal {
  return unauthorized("auth_missing", message, apiKeyChallenge(headerName));
}

export function wrongKey(headerName: string, message: string): Refusal {
  return unauthorized("auth_apikey", message, apiKeyChallenge(headerName));
}

/** RFC 6750 section 3.1: no error code where no token was sent. */
export function missingToken(): Refusal {
  const message = "a token is required, send Authorization: Bearer TOKEN";
  return unauthorized("auth_missing", message, `Bearer ${REALM}`);
}

/** @param problem goes to the client: fixed text without quotation marks or backslashes */
export function invalidToken(denial: DenialKind, problem: string): Refusal {
  const challenge = `Bearer ${REALM}, error="invalid_token", error_description="${problem}"`;
  return unauthorized(denial, problem, challenge);
}

/** There is no registered scheme for keys; RFC 9110 section 11.6.1 wants a challenge all the same. */
function apiKeyChallenge(headerName: string): string {
  return `ApiKey ${REALM}, header="${headerName}"`;
}

function unauthorized(denial: DenialKind, message: string, challenge: string): Refusal {
  return {
    code: "unauthorized",
    message: `Unauthorized: ${message}`,
    headers: ["www-authenticate", challenge],
    denial,
  };
}
