/** Cross-checks of `[security.auth]`, `[security.jwt]` and `[security] exempt_paths`. */
import type * as z from "zod";
import type { Path } from "./problem.ts";
import { quote } from "./problem.ts";
import { authSchema } from "./sections/security/auth.ts";
import { jwtSchema } from "./sections/security/jwt.ts";
import { type Finding, isTable, type Table, valueAt } from "./tree.ts";

const AUTH: Path = ["security", "auth"];
const JWT: Path = ["security", "jwt"];

/** A shorter key can be guessed. */
const SHORTEST_GOOD_KEY = 16;

/** Looks at the tree, like the other cross-checks; what the schema refuses is passed over. */
export function authChecks(tree: Table): Finding[] {
  return [
    ...(isWanted(tree, AUTH) ? [...missingKeys(tree), ...shortKeys(tree), ...idleHeader(tree)] : []),
    ...(isWanted(tree, JWT)
      ? [
        ...missingJwtKey(tree),
        ...idleJwtKeys(tree),
        ...shortSecret(tree),
        ...openJwksUrl(tree),
        ...idleJwksTimes(tree),
      ]
      : []),
    ...bothInAuthorization(tree),
    ...exemptPaths(tree),
  ];
}

/** Whether something is asked for: an authentication asked for in part must not be off without a word. */
function isWanted(tree: Table, path: Path): boolean {
  const table = valueAt(tree, path);
  return isTable(table) && Object.keys(table).length > 0 && table.enabled !== false;
}

/** The checked value of a key; undefined if it is not there or the schema refuses it. */
function read<Schema extends z.ZodType>(tree: Table, schema: Schema, path: Path) {
  const outcome = schema.safeParse(valueAt(tree, path));
  return outcome.success ? outcome.data : undefined;
}

function finding(severity: Finding["severity"], path: Path, message: string): Finding {
  return { severity, path, at: "value", message };
}

function missing(path: Path, wanted: string): Finding {
  return { severity: "error", path, at: "key", message: `missing, wanted ${wanted}, or enabled = false` };
}

function missingKeys(tree: Table): Finding[] {
  const path = [...AUTH, "keys"];
  const keys = valueAt(tree, path);
  if (keys === undefined) return [missing(path, "a list of keys")];
  return Array.isArray(keys) && keys.length === 0
    ? [finding("error", path, "found an empty list, wanted at least one key, or enabled = false")]
    : [];
}

function shortKeys(tree: Table): Finding[] {
  const path = [...AUTH, "keys"];
  return (read(tree, authSchema.shape.keys, path) ?? []).flatMap((key, index) =>
    key.length >= SHORTEST_GOOD_KEY ? [] : [
      finding(
        "warning",
        [...path, index],
        `the key has ${key.length} characters and can be guessed, wanted at least ${SHORTEST_GOOD_KEY}`,
      ),
    ]
  );
}

function modeOf(tree: Table): "apikey" | "bearer" | undefined {
  const path = [...AUTH, "mode"];
  return valueAt(tree, path) === undefined ? "apikey" : read(tree, authSchema.shape.mode, path);
}

function idleHeader(tree: Table): Finding[] {
  const path = [...AUTH, "header_name"];
  const name = read(tree, authSchema.shape.header_name, path);
  if (name === undefined || name === "authorization" || modeOf(tree) !== "bearer") return [];
  return [finding("warning", path, "plays no part in mode bearer, which reads Authorization")];
}

/** Both would read the same field, and no value of it could please both. */
function bothInAuthorization(tree: Table): Finding[] {
  if (!isWanted(tree, AUTH) || !isWanted(tree, JWT)) return [];
  if (modeOf(tree) === "bearer") {
    return [
      finding(
        "error",
        [...AUTH, "mode"],
        'found "bearer", but security.jwt reads Authorization too, wanted "apikey", or one of the two with ' +
          "enabled = false",
      ),
    ];
  }
  const path = [...AUTH, "header_name"];
  if (read(tree, authSchema.shape.header_name, path) !== "authorization") return [];
  return [finding("error", path, 'found "authorization", which security.jwt reads, wanted another header')];
}

function algorithmOf(tree: Table) {
  const path = [...JWT, "algorithm"];
  return valueAt(tree, path) === undefined ? "HS256" : read(tree, jwtSchema.shape.algorithm, path);
}

function missingJwtKey(tree: Table): Finding[] {
  const algorithm = algorithmOf(tree);
  if (algorithm === undefined) return [];
  const names = algorithm.startsWith("HS")
    ? ["secret"]
    : [algorithm.startsWith("RS") ? "rs256_keys" : "es256_keys", "jwks_url"];
  if (names.some((name) => hasEntries(valueAt(tree, [...JWT, name])))) return [];
  const wanted = `${names.join(" or ")} for ${algorithm}`;
  const others = ["rs256_keys", "es256_keys", "jwks_url"].some((name) =>
    valueAt(tree, [...JWT, name]) !== undefined
  );
  const hint = algorithm.startsWith("HS") && others ? ' or algorithm = "RS256" or "ES256"' : "";
  return [missing([...JWT, names[0]], wanted + hint)];
}

function hasEntries(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return isTable(value) ? Object.keys(value).length > 0 : value !== undefined;
}

function idleJwtKeys(tree: Table): Finding[] {
  const algorithm = algorithmOf(tree);
  if (algorithm === undefined || !algorithm.startsWith("HS")) return [];
  return ["rs256_keys", "es256_keys", "jwks_url"].flatMap((name) => {
    const path = [...JWT, name];
    if (valueAt(tree, path) === undefined) return [];
    return [finding("warning", path, `plays no part, because algorithm is ${algorithm}`)];
  });
}

/** RFC 7518 section 3.2: a key at least as long as the hash. */
function shortSecret(tree: Table): Finding[] {
  const algorithm = algorithmOf(tree);
  const path = [...JWT, "secret"];
  const secret = read(tree, jwtSchema.shape.secret, path);
  if (secret === undefined || algorithm === undefined || !algorithm.startsWith("HS")) return [];
  const wanted = Number(algorithm.slice(2)) / 8;
  const bytes = new TextEncoder().encode(secret).length;
  if (bytes >= wanted) return [];
  const message =
    `the secret has ${bytes} bytes and may be guessed, wanted at least ${wanted} for ${algorithm}`;
  return [finding("warning", path, message)];
}

function openJwksUrl(tree: Table): Finding[] {
  const path = [...JWT, "jwks_url"];
  const url = URL.parse(read(tree, jwtSchema.shape.jwks_url, path) ?? "");
  if (url === null || url.protocol === "https:") return [];
  if (/^(?:localhost|127\..*|\[::1\])$/.test(url.hostname)) return [];
  return [
    finding(
      "warning",
      path,
      `the keys come over plain HTTP from ${quote(url.host)}: who can change them on the way can sign tokens`,
    ),
  ];
}

function idleJwksTimes(tree: Table): Finding[] {
  if (valueAt(tree, [...JWT, "jwks_url"]) !== undefined) return [];
  return ["jwks_cache_secs", "jwks_stale_secs"].flatMap((name) => {
    const path = [...JWT, name];
    return valueAt(tree, path) === undefined
      ? []
      : [finding("warning", path, "plays no part without jwks_url")];
  });
}

function exemptPaths(tree: Table): Finding[] {
  const path: Path = ["security", "exempt_paths"];
  const paths = valueAt(tree, path);
  if (!Array.isArray(paths) || paths.length === 0) return [];
  if (!isWanted(tree, AUTH) && !isWanted(tree, JWT)) {
    return [finding("warning", path, "plays no part, because neither auth nor jwt is on")];
  }
  const all = paths.indexOf("/");
  if (all === -1) return [];
  return [finding("warning", [...path, all], 'every path lies below "/": no client needs a key or token')];
}
