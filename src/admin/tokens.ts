/** The tokens of the three roles, from the environment. They are compared in constant time and never shown. */
import type { Environment } from "../config/environment.ts";
import { type Role, ROLES } from "./api.ts";

/** The variable that holds each role's token. */
export const TOKEN_VARIABLES: Record<Role, string> = {
  viewer: "DISPA_VIEWER_TOKEN",
  editor: "DISPA_EDITOR_TOKEN",
  admin: "DISPA_ADMIN_TOKEN",
};

/** A shorter token can be guessed: a warning says so at the start. */
const SHORTEST_GOOD_TOKEN = 16;

export interface Identity {
  role: Role;
  /** Tells tokens apart in the audit log: `editor 1f3a9c02`. */
  name: string;
}

export class Tokens {
  readonly #tokens: { role: Role; token: string }[] = [];
  #known: Promise<{ identity: Identity; digest: Uint8Array }[]> | null = null;

  constructor(environment: Environment) {
    for (const role of ROLES) {
      const token = environment.get(TOKEN_VARIABLES[role])?.trim() ?? "";
      if (token !== "") this.#tokens.push({ role, token });
    }
  }

  /** The roles that have a token, in ascending order. */
  get roles(): Role[] {
    return this.#tokens.map(({ role }) => role);
  }

  /** The token of a role, to be compared with, never to be shown; null: it has none. */
  of(role: Role): string | null {
    return this.#tokens.find((known) => known.role === role)?.token ?? null;
  }

  /** What an operator should know about the tokens; none of them is quoted. */
  warnings(): string[] {
    const warnings = this.#tokens.filter(({ token }) => token.length < SHORTEST_GOOD_TOKEN).map(({ role }) =>
      `${TOKEN_VARIABLES[role]} is shorter than ${SHORTEST_GOOD_TOKEN} characters and can be guessed`
    );
    if (new Set(this.#tokens.map(({ token }) => token)).size < this.#tokens.length) {
      warnings.push("two admin roles have the same token: whoever has it gets the higher role");
    }
    return warnings;
  }

  /** Whose token this is; null if nobody's. Takes as long for a wrong token as for a right one. */
  async identify(token: string): Promise<Identity | null> {
    this.#known ??= this.#digests();
    const known = await this.#known;
    const given = await digest(token.trim());
    let found: Identity | null = null;
    // Ascending, so that of two roles with one token the higher one is found.
    for (const { identity, digest } of known) if (sameBytes(digest, given)) found = identity;
    return found;
  }

  #digests(): Promise<{ identity: Identity; digest: Uint8Array }[]> {
    return Promise.all(this.#tokens.map(async ({ role, token }) => {
      const bytes = await digest(token);
      // Of a second hash, so that the log holds no part of what is compared.
      const print = await crypto.subtle.digest("SHA-256", bytes);
      return { identity: { role, name: `${role} ${hex(new Uint8Array(print, 0, 4))}` }, digest: bytes };
    }));
  }
}

/** Hashes have one length: what comparing them takes tells nothing about the tokens. */
async function digest(token: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index] ^ b[index];
  return difference === 0;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
