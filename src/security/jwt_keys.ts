/** Finds the key that a token must be verified with. */
import type * as Jose from "jose";
import type { JwtConfig, PublicJwk } from "../config/model.ts";
import type { RemoteKeys } from "./remote_keys.ts";

/** `unknown`: there is no such key. `unavailable`: there may be one, but it cannot be fetched now. */
export class NoKey extends Error {
  override name = "NoKey";
  constructor(readonly reason: "unknown" | "unavailable") {
    super(reason === "unknown" ? "no key for the token is known" : "the keys cannot be fetched");
  }
}

export interface FoundKey {
  key: CryptoKey;
  /** Of the keys among which it was found. */
  version: number;
}

export class JwtKeys {
  readonly #algorithm: JwtConfig["algorithm"];
  readonly #type: PublicJwk["kty"] | null;
  readonly #static: JwtConfig["keys"];
  readonly #secret: Promise<CryptoKey> | null;
  readonly #remote: RemoteKeys | null;
  readonly #importJwk: typeof Jose.importJWK;
  readonly #imported = new WeakMap<PublicJwk, Promise<CryptoKey>>();

  /** @param remote those of `jwks_url`; null: none, or of no use to the algorithm */
  constructor(config: JwtConfig, remote: RemoteKeys | null, jose: typeof Jose) {
    const { algorithm, secret } = config;
    this.#algorithm = algorithm;
    this.#type = keyTypeOf(algorithm);
    this.#static = config.keys.filter(({ jwk }) => jwk.kty === this.#type);
    // A public key is never taken for a secret, nor a secret for a public key: each has its own algorithms.
    this.#secret = this.#type === null && secret !== null ? importSecret(secret, algorithm) : null;
    this.#remote = remote;
    this.#importJwk = jose.importJWK;
  }

  /** Changes when keys that were good may be good no more. */
  get version(): number {
    return this.#remote?.version ?? 0;
  }

  /**
   * @param kid as the token names it; not yet trusted
   * @throws NoKey
   */
  async find(kid: string | undefined): Promise<FoundKey> {
    if (this.#secret !== null) return { key: await this.#secret, version: this.version };
    let jwk = this.#pick(kid);
    const remote = this.#remote;
    if (jwk === null && remote !== null) {
      if (remote.keys.length === 0) await remote.settled();
      else if (kid !== undefined) await remote.lookAgain();
      jwk = this.#pick(kid);
    }
    // Before the wait, in which the keys may change.
    const { version } = this;
    if (jwk !== null) return { key: await this.#import(jwk), version };
    const isBehind = remote !== null && (remote.isBehind || remote.keys.length === 0);
    throw new NoKey(isBehind ? "unavailable" : "unknown");
  }

  /** Without a `kid` only a key that is the only one: to try one after the other is work that anybody can ask for. */
  #pick(kid: string | undefined): PublicJwk | null {
    const remote = (this.#remote?.keys ?? []).filter(({ alg, jwk }) =>
      jwk.kty === this.#type && (alg === null || alg === this.#algorithm)
    );
    const all = [...this.#static, ...remote];
    if (kid === undefined) return all.length === 1 ? all[0].jwk : null;
    return all.find((key) => key.kid === kid)?.jwk ?? null;
  }

  #import(jwk: PublicJwk): Promise<CryptoKey> {
    let key = this.#imported.get(jwk);
    if (key === undefined) {
      key = this.#importJwk({ ...jwk }, this.#algorithm) as Promise<CryptoKey>;
      this.#imported.set(jwk, key);
    }
    return key;
  }
}

/** The type of public key that an algorithm takes (RFC 7518 section 3.1); null: it takes a secret. */
export function keyTypeOf(algorithm: JwtConfig["algorithm"]): PublicJwk["kty"] | null {
  if (algorithm.startsWith("HS")) return null;
  return algorithm.startsWith("RS") ? "RSA" : "EC";
}

function importSecret(secret: string, algorithm: JwtConfig["algorithm"]): Promise<CryptoKey> {
  const bytes = new TextEncoder().encode(secret);
  const hash = `SHA-${algorithm.slice(2)}`;
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash }, false, ["verify"]);
}
