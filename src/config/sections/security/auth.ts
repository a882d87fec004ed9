/** `[security.auth]`: clients show a key that this file names. */
import type * as z from "zod";
import { choice, closedTable, field, flag, list, type Parsed, parsedText } from "../../fields.ts";
import { parseHeaderName } from "../../header_fields.ts";
import type { AuthConfig } from "../../model.ts";
import { MASK } from "../../redact.ts";

const DEFAULT_HEADER = "x-api-key";
const MAX_KEYS = 10_000;

export const authSchema = closedTable({
  enabled: field(
    flag().optional(),
    "Whether clients must show one of the keys; without it they get 401.",
    { defaultNote: "true where keys is set" },
  ),
  mode: field(
    choice("apikey", "bearer").optional(),
    "Where the key stands: apikey, in the header header_name; bearer, in Authorization as a bearer token. A key in " +
      "the query string is not accepted, because it would stand in logs and histories.",
    { defaultNote: "apikey" },
  ),
  header_name: field(
    parsedText("the name of a header in quotes", parseClientHeader).optional(),
    "Header that holds the key in mode apikey. It goes on to the target.",
    { defaultNote: DEFAULT_HEADER },
  ),
  keys: field(
    list(parsedText("a key in quotes", parseKey), MAX_KEYS, "keys").optional(),
    "Keys that let a client in, any one of them. Secret: write ${NAME} and set the variable; a key should be random " +
      "and have at least 16 characters.",
    { aliases: ["valid_keys", "valid_tokens"], defaultNote: "none: they must be set for this to be on" },
  ),
});

/** A field that clients send and the proxy does not write itself. */
export function parseClientHeader(text: string): Parsed<string> {
  const parsed = parseHeaderName(text);
  if (!parsed.ok) return parsed;
  const name = parsed.value;
  const isOurs = name === "host" || name === "forwarded" || name === "x-request-id" ||
    name.startsWith("x-forwarded-");
  return isOurs ? { ok: false, wanted: `another header: the proxy itself writes ${name}` } : parsed;
}

/** `validate --print` shows masks in the place of secrets: what it prints must not let in who sends a mask. */
export function isMasked(secret: string): boolean {
  return secret.startsWith(MASK);
}

function parseKey(text: string): Parsed<string> {
  if (isMasked(text)) return { ok: false, wanted: `the key itself: ${MASK} is what a masked one looks like` };
  if (/^[!-~]{1,4096}$/.test(text)) return { ok: true, value: text };
  return { ok: false, wanted: "1 to 4096 visible ASCII characters without spaces" };
}

/** @returns null: off */
export function authFromFile(file: z.output<typeof authSchema>): AuthConfig | null {
  // A cross-check has refused a table that is on and has no keys.
  if (file.enabled === false || file.keys === undefined) return null;
  const mode = file.mode ?? "apikey";
  return {
    mode,
    headerName: mode === "bearer" ? "authorization" : file.header_name ?? DEFAULT_HEADER,
    keys: file.keys,
  };
}

export function authToFile(auth: AuthConfig | null): z.input<typeof authSchema> {
  if (auth === null) return { enabled: false };
  return { enabled: true, mode: auth.mode, header_name: auth.headerName, keys: auth.keys };
}
