/** Keys, tokens and steps for the tests of authentication. */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import * as jose from "jose";
import type { AuthConfig, JwtAlgorithm, JwtConfig, PublicJwk } from "../../../src/config/model.ts";
import { publicJwk } from "../../../src/config/public_key.ts";
import type { FlatHeaders } from "../../../src/http/flat_headers.ts";
import type { Refusal } from "../../../src/http/refusal.ts";
import { type AuthStep, authStep } from "../../../src/security/auth.ts";
import { RemoteKeySets } from "../../../src/security/remote_keys.ts";
import { requestMessage } from "../../support/messages.ts";

/** The time of every test's clock at its start, in milliseconds. */
export const NOW_MS = 1_800_000_000_000;
export const NOW = NOW_MS / 1000;
export const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

export interface Pair {
  kid: string;
  algorithm: JwtAlgorithm;
  jwk: PublicJwk;
  privateKey: jose.CryptoKey;
}

export async function pair(algorithm: JwtAlgorithm, kid: string): Promise<Pair> {
  const { publicKey, privateKey } = await jose.generateKeyPair(algorithm, { extractable: true });
  const members = await jose.exportJWK(publicKey);
  const jwk = publicJwk(
    algorithm === "ES256" ? "EC" : "RSA",
    (name) => members[name as keyof typeof members],
  );
  if (jwk === null) throw new TypeError(`the new ${algorithm} key is not accepted`);
  return { kid, algorithm, jwk, privateKey };
}

/** A member of a published key set. */
export function published({ kid, jwk, algorithm }: Pair): Record<string, unknown> {
  return { ...jwk, kid, alg: algorithm, use: "sig" };
}

/** Claims beside `exp`, which is an hour away unless told; undefined leaves it out. */
export type Claims = Record<string, unknown>;

export function signed(
  { kid, algorithm, privateKey }: Pair,
  claims: Claims = {},
  header = {},
): Promise<string> {
  return new jose.SignJWT({ exp: NOW + 3600, ...claims }).setProtectedHeader({
    alg: algorithm,
    kid,
    ...header,
  })
    .sign(privateKey);
}

/** A token with an HMAC over whatever header and payload, by whatever key. */
export function hmacToken(
  claims: Claims | string = {},
  { secret = SECRET, header = { alg: "HS256" } as Record<string, unknown> } = {},
): string {
  const payload = typeof claims === "string" ? claims : JSON.stringify({ exp: NOW + 3600, ...claims });
  const parts = [JSON.stringify(header), payload].map((part) => Buffer.from(part).toString("base64url")).join(
    ".",
  );
  const hash = `sha${String(header.alg).slice(2)}`;
  const hasHash = ["sha256", "sha384", "sha512"].includes(hash);
  const signature = createHmac(hasHash ? hash : "sha256", secret).update(parts).digest("base64url");
  return `${parts}.${signature}`;
}

export function jwtConfig(config: Partial<JwtConfig> = {}): JwtConfig {
  return {
    algorithm: "HS256",
    secret: null,
    keys: [],
    jwksUrl: null,
    jwksCacheMs: 600_000,
    jwksStaleMs: 3_600_000,
    leewayMs: 0,
    issuers: [],
    audiences: [],
    cacheEnabled: true,
    claimHeaders: [],
    ...config,
  };
}

export interface StepParts {
  auth?: AuthConfig;
  jwt?: Partial<JwtConfig>;
  exemptPaths?: string[];
  nowMs?: () => number;
  remoteKeys?: RemoteKeySets;
}

export function noRemoteKeys(): RemoteKeySets {
  return new RemoteKeySets({
    log: (_level, message) => {
      throw new Error(`no line is expected in the log, but there is: ${message}`);
    },
  });
}

export async function step(parts: StepParts): Promise<AuthStep> {
  const { auth = null, jwt, exemptPaths = [], nowMs = () => NOW_MS, remoteKeys = noRemoteKeys() } = parts;
  const security = { enabled: true, auth, exemptPaths, jwt: jwt === undefined ? null : jwtConfig(jwt) };
  const built = await authStep(security, { remoteKeys, nowMs });
  if (built === null) throw new TypeError("the parts ask for no step");
  return built;
}

export const bearer = (token: string): FlatHeaders => ["authorization", `Bearer ${token}`];

/** What a request with these fields gets: the refusal, or the fields that go on. */
export async function outcome(
  step: AuthStep,
  headers: FlatHeaders,
  target = "/",
): Promise<{ refusal: Refusal | null; headers: FlatHeaders }> {
  const request = requestMessage({ headers, target });
  const refusal = await step.check(request);
  return { refusal, headers: request.headers };
}

/** The denial's kind and message without its beginning; null: it passes. */
export async function verdict(step: AuthStep, headers: FlatHeaders, target = "/"): Promise<string | null> {
  const { refusal } = await outcome(step, headers, target);
  return refusal === null ? null : `${refusal.denial}: ${refusal.message.replace("Unauthorized: ", "")}`;
}
