/**
 * Public keys that tokens are verified with, from PEM text or the members of a JSON web key. Without the schema
 * library, because proxy threads read the keys of key servers by it too.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject } from "node:crypto";
import type { Parsed } from "./fields.ts";
import type { PublicJwk } from "./model.ts";

/** RFC 7518 section 3.3. */
const LEAST_RSA_BITS = 2048;
/** What a verification takes grows with the square of it. */
const MOST_RSA_BITS = 8192;

export type KeyType = PublicJwk["kty"];

export const KEY_WANTED: Record<KeyType, string> = {
  RSA: `an RSA public key of ${LEAST_RSA_BITS} to ${MOST_RSA_BITS} bits`,
  EC: "an elliptic-curve public key on P-256",
};

/** A key in PEM, as SubjectPublicKeyInfo or PKCS #1. */
export function parsePublicPem(text: string, type: KeyType): Parsed<PublicJwk> {
  const wanted = `${KEY_WANTED[type]} in PEM, which begins with -----BEGIN PUBLIC KEY-----`;
  // A public key can be made of it, but a proxy must not have it.
  if (text.includes("PRIVATE KEY")) return { ok: false, wanted: `${wanted}; this is a private key` };
  const jwk = usable(() => createPublicKey(text), type);
  return jwk === null ? { ok: false, wanted } : { ok: true, value: jwk };
}

/**
 * A key by the members of its JSON web key (RFC 7518 section 6): `n` and `e`, or `x` and `y`.
 * @returns only the public members; null if they are no key that we verify with
 */
export function publicJwk(type: KeyType, member: (name: string) => unknown): PublicJwk | null {
  const text = (name: string): string => {
    const value = member(name);
    return typeof value === "string" && /^[A-Za-z0-9_-]{1,2048}$/.test(value) ? value : "";
  };
  const jwk = type === "RSA"
    ? { kty: type, n: text("n"), e: text("e") }
    : { kty: type, crv: "P-256", x: text("x"), y: text("y") };
  if (Object.values(jwk).includes("")) return null;
  return usable(() => createPublicKey({ key: jwk, format: "jwk" }), type);
}

function usable(read: () => KeyObject, type: KeyType): PublicJwk | null {
  let key: KeyObject;
  try {
    key = read();
  } catch (_error) {
    // Its messages differ between versions of the runtime and say no more than that it is no key.
    return null;
  }
  if (key.asymmetricKeyType !== type.toLowerCase()) return null;
  const jwk = key.export({ format: "jwk" });
  if (type === "EC") {
    return jwk.crv === "P-256" ? { kty: "EC", crv: "P-256", x: String(jwk.x), y: String(jwk.y) } : null;
  }
  const [n, e] = [String(jwk.n), String(jwk.e)];
  const bits = bitLength(n);
  // With the exponent 1 every number is its own signature.
  const exponent = bitLength(e);
  return bits >= LEAST_RSA_BITS && bits <= MOST_RSA_BITS && exponent > 1 && exponent <= 64
    ? { kty: "RSA", n, e }
    : null;
}

function bitLength(base64url: string): number {
  const bytes = Buffer.from(base64url, "base64url");
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first - 1) * 8 + (32 - Math.clz32(bytes[first]));
}
