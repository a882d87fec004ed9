/** Fetches the public keys that a signer publishes (RFC 7517 section 5). */
import type { PublicJwk } from "../config/model.ts";
import { publicJwk } from "../config/public_key.ts";

export interface RemoteKey {
  /** Null: the set does not name it. */
  kid: string | null;
  /** The only algorithm it is for; null: not told. */
  alg: string | null;
  jwk: PublicJwk;
}

export interface FetchLimits {
  /** For the whole exchange, the body included. */
  timeoutMs: number;
  maxBytes: number;
}

export const FETCH_LIMITS: FetchLimits = { timeoutMs: 5000, maxBytes: 1024 * 1024 };

const MAX_KEYS = 200;

/**
 * The keys at `url` that a token may be verified with; others of the set are passed over.
 * @throws Error that says in one line why there are none; `signal`'s reason when that ends it
 */
export async function fetchKeys(
  url: string,
  signal: AbortSignal,
  { timeoutMs, maxBytes }: FetchLimits = FETCH_LIMITS,
): Promise<RemoteKey[]> {
  // Not AbortSignal.timeout: its timer would outlive the fetch.
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new Error(`no whole answer within ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  try {
    const response = await fetch(url, {
      headers: { accept: "application/jwk-set+json, application/json" },
      // Where the keys come from is for the configuration to say, not for an answer.
      redirect: "manual",
      signal: AbortSignal.any([signal, timeout.signal]),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(refusedAnswer(response));
    }
    return readKeys(await readText(response, maxBytes));
  } finally {
    clearTimeout(timer);
  }
}

function refusedAnswer({ status, headers }: Response): string {
  if (status < 300 || status > 399) return `the answer has status ${status}, wanted 200`;
  const origin = URL.parse(headers.get("location") ?? "")?.origin ?? "another path";
  return `the answer is a redirect to ${origin}, which is not followed: set jwks_url to the final address`;
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  // Leaving the loop by an error cancels the body.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`the answer has more than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function readKeys(text: string): RemoteKey[] {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch (cause) {
    throw new Error("the answer is no JSON", { cause });
  }
  const entries = isObject(set) ? set.keys : null;
  if (!Array.isArray(entries)) throw new Error('the answer is no key set: it has no list "keys"');
  if (entries.length > MAX_KEYS) throw new Error(`the key set has more than ${MAX_KEYS} keys`);
  const keys = entries.map(remoteKey).filter((key) => key !== null);
  if (keys.length === 0) throw new Error("the key set has no RSA key of 2048 bits or more and no P-256 key");
  return keys;
}

function remoteKey(entry: unknown): RemoteKey | null {
  if (!isObject(entry)) return null;
  const { kty, use, key_ops: operations, kid, alg } = entry;
  if (kty !== "RSA" && kty !== "EC") return null;
  if (use !== undefined && use !== "sig") return null;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return null;
  if (kty === "EC" && entry.crv !== "P-256") return null;
  const jwk = publicJwk(kty, (name) => entry[name]);
  if (jwk === null) return null;
  return { kid: typeof kid === "string" ? kid : null, alg: typeof alg === "string" ? alg : null, jwk };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
