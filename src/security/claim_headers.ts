/** Claims of a token as header fields for the upstream. */
import type { ClaimHeader } from "../config/model.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";

/** A longer value is left out: half a list of roles is worse than none. */
const LONGEST_VALUE = 4096;

export class ClaimHeaders {
  readonly #entries: readonly ClaimHeader[];
  /** Names as `plainName` has them. */
  readonly #names: ReadonlySet<string>;

  constructor(entries: readonly ClaimHeader[]) {
    this.#entries = entries;
    this.#names = new Set(entries.map(({ header }) => plainName(header)));
  }

  /** Takes out what a client has sent under the names of these fields, so that no upstream believes it. */
  strip(headers: FlatHeaders): void {
    if (this.#names.size === 0) return;
    let kept = 0;
    for (let i = 0; i < headers.length; i += 2) {
      if (this.#names.has(plainName(headers[i]))) continue;
      if (kept !== i) {
        headers[kept] = headers[i];
        headers[kept + 1] = headers[i + 1];
      }
      kept += 2;
    }
    headers.length = kept;
  }

  /** The fields of verified claims; those that cannot be told as text are left out. */
  fieldsOf(claims: Readonly<Record<string, unknown>>): FlatHeaders {
    const fields: FlatHeaders = [];
    for (const { claim, header } of this.#entries) {
      const value = Object.hasOwn(claims, claim) ? fieldValue(claims[claim]) : "";
      if (value !== "" && value.length <= LONGEST_VALUE) fields.push(header, value);
    }
    return fields;
  }
}

const UNUSUAL = /[^a-z0-9-]/;

/** Programs behind CGI-like interfaces read `x_user_id`, `x.user.id` and `x-user-id` as one name. */
function plainName(name: string): string {
  return UNUSUAL.test(name) ? name.replace(/[^a-z0-9-]/g, "-") : name;
}

/** "" for what is no text. */
function fieldValue(claim: unknown): string {
  if (Array.isArray(claim)) {
    const entries = claim.map(scalar);
    return entries.includes(null)
      ? ""
      : entries.map((entry) => encoded(entry ?? "", /[^ -$&-+\--~]/gu)).join(",");
  }
  const text = scalar(claim);
  return text === null ? "" : encoded(text, /[^ -$&-~]/gu);
}

function scalar(value: unknown): string | null {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : null;
}

/** Percent-encodes what `wild` finds, and spaces at the ends, which parsers drop. */
function encoded(text: string, wild: RegExp): string {
  return text.toWellFormed().replace(wild, encodeURIComponent).replace(
    /^ +| +$/g,
    (spaces) => "%20".repeat(spaces.length),
  );
}
