/** Static keys of `[security.jwt]`: a table of PEM texts by `kid`, or a list of tables. */
import * as z from "zod";
import type { JwtKeyConfig, PublicJwk } from "../../model.ts";
import { KEY_WANTED, type KeyType, parsePublicPem, publicJwk } from "../../public_key.ts";

const MAX_KEYS = 100;

const MEMBERS: Record<KeyType, readonly [string, string]> = { RSA: ["n", "e"], EC: ["x", "y"] };

/** What is wrong with the value at `path`. */
type Refuse = (path: (string | number)[], wanted: string) => void;

export function jwtKeys(type: KeyType) {
  const [first, second] = MEMBERS[type];
  const wanted = `a table of keys in PEM by their kid, or a list of tables with kid and key, or with kid, ` +
    `${first} and ${second}`;
  const entry = z.record(z.string(), z.string());
  return z.union([entry, z.array(entry)], { error: wanted }).transform((keys, context) => {
    const refuse: Refuse = (path, wanted) =>
      context.issues.push({ code: "custom", message: wanted, input: keys, path });
    const read = Array.isArray(keys)
      ? keys.map((key, index) => ({ at: [index], kid: key.kid, jwk: keyOf(key, type, index, refuse) }))
      : Object.entries(keys).map(([kid, pem]) => ({
        at: [kid],
        kid,
        jwk: fromPem(pem, type, [kid], refuse),
      }));
    if (read.length > MAX_KEYS) refuse([], `at most ${MAX_KEYS} keys`);
    const known = new Map<string, JwtKeyConfig>();
    for (const { at, kid, jwk } of read) {
      if (jwk === null) continue;
      if (known.has(kid)) refuse([...at, "kid"], "every kid once");
      else if (!isKeyId(kid)) refuse(at, "a kid of 1 to 256 characters, none of them a control character");
      known.set(kid, { kid, jwk });
    }
    return [...known.values()];
  });
}

function isKeyId(kid: string): boolean {
  return kid !== "" && kid.length <= 256 && kid.isWellFormed() && !/\p{Cc}/u.test(kid);
}

function keyOf(
  key: Record<string, string>,
  type: KeyType,
  index: number,
  refuse: Refuse,
): PublicJwk | null {
  const [first, second] = MEMBERS[type];
  const names = Object.keys(key).sort().join(" ");
  if (names === "key kid") return fromPem(key.key, type, [index, "key"], refuse);
  if (names !== [first, second, "kid"].sort().join(" ")) {
    refuse([index], `a table with kid and key, or with kid, ${first} and ${second}`);
    return null;
  }
  const jwk = publicJwk(type, (name) => key[name]);
  if (jwk === null) refuse([index], `${KEY_WANTED[type]}, ${first} and ${second} in base64url`);
  return jwk;
}

function fromPem(
  pem: string,
  type: KeyType,
  path: (string | number)[],
  refuse: Refuse,
): PublicJwk | null {
  const parsed = parsePublicPem(pem, type);
  if (parsed.ok) return parsed.value;
  refuse(path, parsed.wanted);
  return null;
}

/** The list form of the keys of one type. */
export function jwtKeysToFile(
  keys: readonly JwtKeyConfig[],
  type: KeyType,
): Record<string, string>[] | undefined {
  const entries = keys.flatMap(({ kid, jwk }): Record<string, string>[] => {
    if (jwk.kty !== type) return [];
    return [jwk.kty === "RSA" ? { kid, n: jwk.n, e: jwk.e } : { kid, x: jwk.x, y: jwk.y }];
  });
  return entries.length === 0 ? undefined : entries;
}
