/** The step that lets in only clients who show a key (`[security.auth]`), a token (`[security.jwt]`), or both. */
import type { SecurityConfig } from "../config/model.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { Refusal } from "../http/refusal.ts";
import { AuthKeys } from "./auth_keys.ts";
import { ExemptPaths } from "./exempt_paths.ts";
import { JwtCheck, type JwtDeps } from "./jwt.ts";

/** What the step reads of a request; `headers` are changed in place. */
export interface AuthRequest {
  readonly target: string;
  readonly path: string;
  readonly headers: FlatHeaders;
}

/** Told why a request passes: a sentence for people, the same for programs, no secrets. */
export type Passed = (summary: string, details: Record<string, unknown>) => void;

export type AuthDeps = JwtDeps;

export class AuthStep {
  readonly #exempt: ExemptPaths;
  readonly #keys: AuthKeys | null;
  readonly #jwt: JwtCheck | null;

  constructor(exemptPaths: readonly string[], keys: AuthKeys | null, jwt: JwtCheck | null) {
    this.#exempt = new ExemptPaths(exemptPaths);
    this.#keys = keys;
    this.#jwt = jwt;
  }

  /**
   * A refusal, or null: let it pass. A promise only where a token's signature must be verified; it waits for keys
   * as long as one fetch of them may take. Counts nothing, so that `explain` runs it as it is.
   */
  check(request: AuthRequest, passed?: Passed): Refusal | null | Promise<Refusal | null> {
    const { headers } = request;
    if (this.#exempt.match(request)) {
      this.#jwt?.strip(headers);
      passed?.("the path needs no authentication", { exempt: true });
      return null;
    }
    const refusal = this.#keys?.check(headers) ?? null;
    if (refusal !== null) return refusal;
    const place = this.#keys?.place;
    if (this.#jwt === null) {
      passed?.(`the ${place} is valid`, { key: place });
      return null;
    }
    return this.#jwt.check(
      headers,
      passed === undefined ? undefined : (finding) => {
        const how = finding.cached ? "verified before" : "verified now";
        const token = `the ${finding.algorithm} token, ${how},`;
        if (place === undefined) passed(`${token} is valid`, { ...finding });
        else passed(`${token} and the ${place} are valid`, { key: place, ...finding });
      },
    );
  }

  /** Ends timers and fetches. Called once, after the last request of a configuration's generation. */
  async dispose(): Promise<void> {
    await this.#jwt?.dispose();
  }
}

/**
 * @returns null if the configuration asks for no authentication; the caller disposes of it
 */
export async function authStep(
  { enabled, exemptPaths, auth, jwt }: Pick<SecurityConfig, "enabled" | "exemptPaths" | "auth" | "jwt">,
  deps: AuthDeps,
): Promise<AuthStep | null> {
  if (!enabled || (auth === null && jwt === null)) return null;
  const keys = auth === null ? null : new AuthKeys(auth);
  return new AuthStep(exemptPaths, keys, jwt === null ? null : await JwtCheck.create(jwt, deps));
}
