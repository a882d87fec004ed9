/** `[security.jwt]`: clients show a token that somebody has signed. */
import * as z from "zod";
import {
  choice,
  closedTable,
  field,
  flag,
  list,
  type Parsed,
  parsedText,
  seconds,
  toSeconds,
} from "../../fields.ts";
import type { ClaimHeader, JwtConfig } from "../../model.ts";
import { MASK } from "../../redact.ts";
import { isMasked, parseClientHeader } from "./auth.ts";
import { jwtKeys, jwtKeysToFile } from "./jwt_keys.ts";

const MAX_ENTRIES = 64;
const DEFAULT_LEEWAY_MS = 60_000;
const DEFAULT_JWKS_CACHE_MS = 600_000;
const DEFAULT_JWKS_STALE_MS = 3_600_000;

export const jwtSchema = closedTable({
  enabled: field(
    flag().optional(),
    "Whether clients must show a JSON web token as Authorization: Bearer TOKEN; without a valid one they get 401. " +
      "A token must have exp, which with nbf and iat is always checked, and at most 8192 characters.",
    { defaultNote: "true where secret, rs256_keys, es256_keys or jwks_url is set" },
  ),
  algorithm: field(
    choice("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256").optional(),
    "The one algorithm that tokens are signed with; tokens that name another one are refused. HS… takes secret, RS… " +
      "takes rs256_keys or jwks_url, ES256 takes es256_keys or jwks_url; keys of other kinds are not used.",
    { defaultNote: "HS256" },
  ),
  secret: field(
    parsedText("the secret in quotes", parseSecret).optional(),
    "Secret of HS256, HS384 and HS512, its bytes as UTF-8. It should be random and at least as long as the hash (32, " +
      "48 or 64 bytes): who guesses it can sign tokens. Write ${NAME} and set the variable.",
    { defaultNote: "none" },
  ),
  rs256_keys: field(
    jwtKeys("RSA").optional(),
    "Public keys of RS256, RS384 and RS512: a table of PEM texts by the kid that tokens name, or a list of tables with " +
      "kid and key (PEM), or with kid, n and e. A token without kid is taken if there is only one key in all.",
    { defaultNote: "none" },
  ),
  es256_keys: field(
    jwtKeys("EC").optional(),
    "Public keys of ES256: a table of PEM texts by the kid that tokens name, or a list of tables with kid and key " +
      "(PEM), or with kid, x and y.",
    { defaultNote: "none" },
  ),
  jwks_url: field(
    parsedText("an https:// URL in quotes", parseJwksUrl).optional(),
    "Where the signer publishes its public keys. They are fetched at the start and again in the background; redirects " +
      "are not followed. A kid that is not among them is looked for again, at most once in 30 seconds. Keys of " +
      "rs256_keys and es256_keys go first. Without audience every token of that signer is accepted, those for other " +
      "services too.",
    { defaultNote: "none" },
  ),
  jwks_cache_secs: field(
    seconds(1).optional(),
    "Seconds after which the keys of jwks_url are fetched again.",
    { defaultNote: `${toSeconds(DEFAULT_JWKS_CACHE_MS)}` },
  ),
  jwks_stale_secs: field(
    seconds(0).optional(),
    "Seconds that the keys are used beyond jwks_cache_secs while jwks_url cannot be fetched; then every client gets " +
      "503. A key that was withdrawn is accepted for so long at most.",
    { defaultNote: `${toSeconds(DEFAULT_JWKS_STALE_MS)}` },
  ),
  leeway_secs: field(
    seconds(0, 3600).optional(),
    "Seconds that clocks may differ when exp, nbf and iat are checked.",
    { defaultNote: `${toSeconds(DEFAULT_LEEWAY_MS)}` },
  ),
  issuer: field(
    oneOrMore("issuers").optional(),
    "Value, or list of values, of which the token's iss must be one.",
    { defaultNote: "any" },
  ),
  audience: field(
    oneOrMore("audiences").optional(),
    "Value, or list of values, of which one must be among the token's aud.",
    { defaultNote: "any" },
  ),
  cache_enabled: field(
    flag().optional(),
    "Whether a token that was found valid is taken again without verifying its signature, until it expires or the keys " +
      "or this configuration change. Every proxy thread remembers up to 10,000.",
    { defaultNote: "true" },
  ),
  claims_to_headers: field(
    claimHeaders().optional(),
    'Claims of the token that the target gets as headers, such as { sub = "x-user-id" }. What a client sends under ' +
      "these names is always removed, on exempt paths too. Texts, numbers, true and false are passed on, lists of them " +
      "joined by commas; other values, and those over 4096 characters, are left out. Bytes beyond visible ASCII and " +
      "percent signs, in lists commas too, are percent-encoded.",
    { defaultNote: "none" },
  ),
});

function parseSecret(text: string): Parsed<string> {
  if (isMasked(text)) {
    return { ok: false, wanted: `the secret itself: ${MASK} is what a masked one looks like` };
  }
  if (text !== "" && text.length <= 4096 && text.isWellFormed()) return { ok: true, value: text };
  return { ok: false, wanted: "1 to 4096 characters" };
}

function parseJwksUrl(text: string): Parsed<string> {
  const wanted = 'an https:// or http:// URL such as "https://login.example.com/.well-known/jwks.json"';
  // The URL parser would mend or drop what the second of these finds.
  if (!/^https?:\/\//i.test(text) || !/^[!-~]{1,2048}$/.test(text) || text.includes("\\")) {
    return { ok: false, wanted };
  }
  const url = URL.parse(text);
  if (url === null || url.hostname === "") return { ok: false, wanted };
  if (url.username !== "" || url.password !== "" || url.hash !== "") {
    return { ok: false, wanted: `${wanted}, without user name, password and fragment` };
  }
  return { ok: true, value: url.href };
}

function oneOrMore(noun: string) {
  const wanted = `a text in quotes or a list of ${noun}`;
  const text = parsedText(
    wanted,
    (text): Parsed<string> =>
      text !== "" && text.length <= 1024 && text.isWellFormed()
        ? { ok: true, value: text }
        : { ok: false, wanted: "1 to 1024 characters" },
  );
  const texts = list(text, MAX_ENTRIES, noun).min(1, { error: `at least one of the ${noun}` });
  return z.union([text.transform((one) => [one]), texts], { error: wanted });
}

function claimHeaders() {
  const header = parsedText("the name of a header in quotes", (text): Parsed<string> => {
    const parsed = parseClientHeader(text);
    if (!parsed.ok || !["authorization", "cookie"].includes(parsed.value)) return parsed;
    return { ok: false, wanted: `another header: targets read ${parsed.value} as what the client has sent` };
  });
  return z.record(z.string(), header, { error: "a table of headers by claim" }).transform(
    (table, context) => {
      const seen = new Set<string>();
      const entries = Object.entries(table).map(([claim, header]): ClaimHeader => ({ claim, header }));
      for (const { claim, header } of entries) {
        // As in the step that writes them: many servers read these alike.
        const name = header.replace(/[^a-z0-9]/g, "-");
        if (seen.has(name)) {
          const message = `every header once: ${header} is there already`;
          context.issues.push({ code: "custom", message, input: header, path: [claim] });
        }
        seen.add(name);
      }
      if (entries.length > MAX_ENTRIES) {
        context.issues.push({ code: "custom", message: `at most ${MAX_ENTRIES} claims`, input: table });
      }
      return entries;
    },
  );
}

/** @returns null: off */
export function jwtFromFile(file: z.output<typeof jwtSchema>): JwtConfig | null {
  const keys = [...file.rs256_keys ?? [], ...file.es256_keys ?? []];
  const hasKeys = file.secret !== undefined || keys.length > 0 || file.jwks_url !== undefined;
  // A cross-check has refused a table that is on and has no keys.
  if (file.enabled === false || !hasKeys) return null;
  return {
    algorithm: file.algorithm ?? "HS256",
    secret: file.secret ?? null,
    keys,
    jwksUrl: file.jwks_url ?? null,
    jwksCacheMs: file.jwks_cache_secs ?? DEFAULT_JWKS_CACHE_MS,
    jwksStaleMs: file.jwks_stale_secs ?? DEFAULT_JWKS_STALE_MS,
    leewayMs: file.leeway_secs ?? DEFAULT_LEEWAY_MS,
    issuers: file.issuer ?? [],
    audiences: file.audience ?? [],
    cacheEnabled: file.cache_enabled ?? true,
    claimHeaders: file.claims_to_headers ?? [],
  };
}

export function jwtToFile(jwt: JwtConfig | null): z.input<typeof jwtSchema> {
  if (jwt === null) return { enabled: false };
  const { jwksUrl } = jwt;
  return {
    enabled: true,
    algorithm: jwt.algorithm,
    secret: jwt.secret ?? undefined,
    rs256_keys: jwtKeysToFile(jwt.keys, "RSA"),
    es256_keys: jwtKeysToFile(jwt.keys, "EC"),
    jwks_url: jwksUrl ?? undefined,
    jwks_cache_secs: jwksUrl === null ? undefined : toSeconds(jwt.jwksCacheMs),
    jwks_stale_secs: jwksUrl === null ? undefined : toSeconds(jwt.jwksStaleMs),
    leeway_secs: toSeconds(jwt.leewayMs),
    issuer: jwt.issuers.length === 0 ? undefined : jwt.issuers,
    audience: jwt.audiences.length === 0 ? undefined : jwt.audiences,
    cache_enabled: jwt.cacheEnabled,
    claims_to_headers: jwt.claimHeaders.length === 0
      ? undefined
      : Object.fromEntries(jwt.claimHeaders.map(({ claim, header }) => [claim, header])),
  };
}
