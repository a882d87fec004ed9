/** Logins by cookie: random ids in memory, gone when the program ends. */
import type { Identity } from "./tokens.ts";

const SESSION_MS = 12 * 3_600_000;
/** The oldest login ends when one more would exceed this. */
const MAX_SESSIONS = 256;
const ID_BYTES = 32;

export interface LoginSession {
  identity: Identity;
  expiresAtMs: number;
}

export class Sessions {
  readonly #sessions = new Map<string, LoginSession>();
  readonly #nowMs: () => number;

  /** @param nowMs milliseconds since the epoch */
  constructor(nowMs: () => number = () => Date.now()) {
    this.#nowMs = nowMs;
  }

  open(identity: Identity): { id: string; session: LoginSession } {
    const id = base64Url(crypto.getRandomValues(new Uint8Array(ID_BYTES)));
    const session = { identity, expiresAtMs: this.#nowMs() + SESSION_MS };
    this.#sessions.set(id, session);
    if (this.#sessions.size > MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    return { id, session };
  }

  find(id: string): LoginSession | null {
    const session = this.#sessions.get(id);
    if (session === undefined) return null;
    if (session.expiresAtMs > this.#nowMs()) return session;
    this.#sessions.delete(id);
    return null;
  }

  end(id: string): void {
    this.#sessions.delete(id);
  }
}

/** Seconds a login cookie lives. */
export const SESSION_SECONDS = SESSION_MS / 1000;

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
