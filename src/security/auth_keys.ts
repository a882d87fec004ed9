/** `[security.auth]`: a key, or an opaque bearer token, that the configuration names. */
import type { AuthConfig } from "../config/model.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { Refusal } from "../http/refusal.ts";
import { bearerToken, invalidToken, missingKey, missingToken, wholeField, wrongKey } from "./credentials.ts";
import { SecretDigests } from "./secret_digest.ts";

export class AuthKeys {
  readonly #mode: AuthConfig["mode"];
  readonly #headerName: string;
  readonly #digests = new SecretDigests();
  readonly #known: ReadonlySet<string>;

  constructor({ mode, headerName, keys }: AuthConfig) {
    this.#mode = mode;
    this.#headerName = headerName;
    this.#known = new Set(keys.map((key) => this.#digests.of(key)));
  }

  /** Where the key is read, for people. */
  get place(): string {
    return this.#mode === "bearer" ? "bearer token" : `key in ${this.#headerName}`;
  }

  check(headers: FlatHeaders): Refusal | null {
    return this.#mode === "bearer" ? this.#checkBearer(headers) : this.#checkKey(headers);
  }

  #checkKey(headers: FlatHeaders): Refusal | null {
    const name = this.#headerName;
    const key = wholeField(headers, name);
    if (key === null || key === "") return missingKey(name, `a key is required, send it in ${name}`);
    return this.#known.has(this.#digests.of(key)) ? null : wrongKey(name, `the key in ${name} is not valid`);
  }

  #checkBearer(headers: FlatHeaders): Refusal | null {
    const token = bearerToken(headers);
    if (token === null) return missingToken();
    return this.#known.has(this.#digests.of(token))
      ? null
      : invalidToken("auth_bearer", "the token is not valid");
  }
}
