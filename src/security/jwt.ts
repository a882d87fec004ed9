/** `[security.jwt]`: verifies the token of a request (RFC 7519, RFC 8725) and passes its claims on. */
import type * as Jose from "jose";
import type { JwtConfig } from "../config/model.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { Refusal } from "../http/refusal.ts";
import { ClaimHeaders } from "./claim_headers.ts";
import { bearerToken, invalidToken, missingToken } from "./credentials.ts";
import { JwtKeys, keyTypeOf, NoKey } from "./jwt_keys.ts";
import type { RemoteKeySets, RemoteKeysSettings } from "./remote_keys.ts";
import { SecretDigests } from "./secret_digest.ts";
import { TokenCache, type VerifiedToken } from "./token_cache.ts";

/** Longer ones are refused unread: reading and hashing them is work that anybody can ask for. */
const LONGEST_TOKEN = 8192;

export interface JwtDeps {
  remoteKeys: RemoteKeySets;
  /** The time of day in milliseconds. */
  nowMs?: () => number;
}

/** How a token was found valid, for people and programs. */
export interface JwtFinding {
  algorithm: JwtConfig["algorithm"];
  /** Whether its signature was verified by an earlier request. */
  cached: boolean;
  /** Names of the fields that the upstream gets. */
  headers: string[];
}

export class JwtCheck {
  readonly #config: JwtConfig;
  readonly #jose: typeof Jose;
  readonly #keys: JwtKeys;
  readonly #claims: ClaimHeaders;
  readonly #cache: TokenCache | null;
  readonly #digests = new SecretDigests();
  readonly #nowMs: () => number;
  readonly #release: () => Promise<void>;
  #cachedVersion = 0;

  private constructor(config: JwtConfig, deps: JwtDeps, jose: typeof Jose) {
    const settings = remoteSettings(config);
    this.#config = config;
    this.#jose = jose;
    this.#keys = new JwtKeys(config, settings === null ? null : deps.remoteKeys.acquire(settings), jose);
    this.#claims = new ClaimHeaders(config.claimHeaders);
    this.#cache = config.cacheEnabled ? new TokenCache() : null;
    this.#nowMs = deps.nowMs ?? Date.now;
    this.#release = () => settings === null ? Promise.resolve() : deps.remoteKeys.release(settings);
  }

  /** Loads the library, which costs a thread memory: only who is asked to verify tokens has it. */
  static async create(config: JwtConfig, deps: JwtDeps): Promise<JwtCheck> {
    return new JwtCheck(config, deps, await import("jose"));
  }

  /**
   * Refuses, or changes the fields to those that the upstream gets. A promise only where a signature must be
   * verified.
   * @param passed told when the token is found valid
   */
  check(
    headers: FlatHeaders,
    passed?: (finding: JwtFinding) => void,
  ): Refusal | null | Promise<Refusal | null> {
    const token = bearerToken(headers);
    if (token === null) return missingToken();
    if (token.length > LONGEST_TOKEN) return invalid(`the token has more than ${LONGEST_TOKEN} characters`);
    const accept = (verified: VerifiedToken, cached: boolean): null => {
      this.#claims.strip(headers);
      headers.push(...verified.fields);
      passed?.({ algorithm: this.#config.algorithm, cached, headers: namesOf(verified.fields) });
      return null;
    };
    if (this.#cache === null) return this.#verify(token, accept);
    this.#forgetOldKeys(this.#cache);
    const digest = this.#digests.of(token);
    const known = this.#cache.get(digest, this.#nowMs());
    return known === null ? this.#verify(token, accept, digest) : accept(known, true);
  }

  /** For a request that needs no token: takes out the fields that only a token may set. */
  strip(headers: FlatHeaders): void {
    this.#claims.strip(headers);
  }

  dispose(): Promise<void> {
    return this.#release();
  }

  #forgetOldKeys(cache: TokenCache): void {
    const { version } = this.#keys;
    if (version === this.#cachedVersion) return;
    cache.clear();
    this.#cachedVersion = version;
  }

  async #verify(
    token: string,
    accept: (verified: VerifiedToken, cached: boolean) => null,
    digest?: string,
  ): Promise<Refusal | null> {
    const { algorithm, leewayMs, issuers, audiences } = this.#config;
    const nowMs = this.#nowMs();
    let version = 0;
    const keyFor = async ({ kid }: Jose.JWTHeaderParameters): Promise<CryptoKey> => {
      const found = await this.#keys.find(kid);
      version = found.version;
      return found.key;
    };
    try {
      const { payload } = await this.#jose.jwtVerify(token, keyFor, {
        algorithms: [algorithm],
        issuer: issuers.length === 0 ? undefined : issuers,
        audience: audiences.length === 0 ? undefined : audiences,
        requiredClaims: ["exp"],
        clockTolerance: leewayMs / 1000,
        currentDate: new Date(nowMs),
      });
      const { exp, iat } = payload;
      // JSON can say 1e999, which would be valid for ever.
      if (exp === undefined || !Number.isFinite(exp)) return invalid("the token's exp is no time");
      // The library looks at iat only where a greatest age is asked for.
      if (iat !== undefined && iat * 1000 > nowMs + leewayMs) {
        return invalid("the token's iat is in the future");
      }
      const verified: VerifiedToken = {
        expiresMs: exp * 1000 + leewayMs,
        fields: this.#claims.fieldsOf(payload),
      };
      if (this.#cache !== null && digest !== undefined) {
        this.#forgetOldKeys(this.#cache);
        // The key that it was verified with may have been withdrawn meanwhile.
        if (version === this.#cachedVersion) this.#cache.set(digest, verified);
      }
      return accept(verified, false);
    } catch (error) {
      if (error instanceof NoKey) {
        return error.reason === "unknown" ? invalid("the token names no known key") : unavailable();
      }
      if (error instanceof this.#jose.errors.JOSEError) return invalid(problemOf(error));
      throw error;
    }
  }
}

/** Null where no keys are to be fetched: none are published, or the algorithm takes a secret. */
function remoteSettings(
  { algorithm, jwksUrl, jwksCacheMs, jwksStaleMs }: JwtConfig,
): RemoteKeysSettings | null {
  if (jwksUrl === null || keyTypeOf(algorithm) === null) return null;
  return { url: jwksUrl, cacheMs: jwksCacheMs, staleMs: jwksStaleMs };
}

function namesOf(fields: FlatHeaders): string[] {
  return fields.filter((_, index) => index % 2 === 0);
}

function invalid(problem: string): Refusal {
  return invalidToken("jwt_invalid", problem);
}

/** The token may be right: a 401 would make its owner throw it away. */
function unavailable(): Refusal {
  return {
    code: "auth_unavailable",
    message: "Service unavailable: the token cannot be verified now, see jwks_url in the log",
    headers: ["retry-after", "5"],
    denial: "jwt_invalid",
  };
}

/** Nothing of the token or of the configuration is quoted: who asks has shown no right to know. */
function problemOf(error: Jose.errors.JOSEError): string {
  const claim = "claim" in error ? error.claim : null;
  switch (error.code) {
    case "ERR_JWT_EXPIRED":
      return "the token has expired";
    case "ERR_JOSE_ALG_NOT_ALLOWED":
      return "the token's algorithm is not accepted";
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
      return "the token's signature is wrong";
    case "ERR_JWT_CLAIM_VALIDATION_FAILED":
      if (claim === "nbf") return "the token is not valid yet";
      return claim === "iss" || claim === "aud" || claim === "exp" || claim === "iat"
        ? `the token's ${claim} is not accepted`
        : "the token's claims are not accepted";
    default:
      return "the token is malformed";
  }
}
