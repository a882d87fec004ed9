/** Which values of the configuration are secrets, told by the names they stand under. */
import { type Path, pathKey } from "./problem.ts";

const SECRET_NAME =
  /passw(?:or)?d|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|authorization|^(?:set-)?cookie$/i;

/** Whole lists and tables of secrets, whatever their entries are called; `*` is any one name or position. */
const SECRET_PLACES: readonly Path[] = [
  ["security", "auth", "keys"],
  ["security", "auth", "valid_keys"],
  ["security", "auth", "valid_tokens"],
  ["plugins", "plugins", "*", "config", "env"],
];

/** A cookie's name is no secret, its value in a header is: `cookie` counts only among header fields. */
const HEADER_TABLE = /header/i;

/**
 * Whether the value at `path` is to be shown to nobody.
 * @param textAt the text at another path, for values whose name stands beside them
 */
export function isSecret(path: Path, textAt: (path: Path) => string | null): boolean {
  if (SECRET_PLACES.some((place) => startsWith(path, place))) return true;
  // Where a public key is wanted, somebody may put the other one.
  if (textAt(path)?.includes("PRIVATE KEY-----")) return true;
  if (path.some((segment, index) => typeof segment === "string" && isSecretName(segment, path, index))) {
    return true;
  }
  // `{ name = "authorization", value = "…" }`
  for (let length = path.length - 1; length > 0; length--) {
    const parent = path.slice(0, length);
    const name = path[length] === "name" ? null : textAt([...parent, "name"]);
    if (name !== null && isSecretName(name, [...parent, name], length)) return true;
    if (typeof parent.at(-1) === "number") break;
  }
  return false;
}

/** Whether a name alone, as in a comment, sounds like a secret's. */
export function soundsSecret(name: string): boolean {
  return SECRET_NAME.test(name);
}

function isSecretName(name: string, path: Path, index: number): boolean {
  if (!SECRET_NAME.test(name)) return false;
  if (!/^(?:set-)?cookie$/i.test(name)) return true;
  return path.slice(0, index).some((segment) => typeof segment === "string" && HEADER_TABLE.test(segment));
}

function startsWith(path: Path, place: Path): boolean {
  return path.length >= place.length &&
    place.every((segment, index) => segment === "*" || segment === path[index]);
}

/** Paths that differ only in positions in lists have the same shape. */
export function shapeOf(path: Path): string {
  return pathKey(path.map((segment) => typeof segment === "number" ? "*" : segment));
}
