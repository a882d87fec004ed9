/**
 * Who may do what on the admin API. A caller is known by a token in a header or by the login cookie; without
 * any token configured, a client on this machine may look at everything and change nothing.
 */
import type { Context, MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import { CSRF_HEADER, type Role, ROLES, SESSION_COOKIE } from "./api.ts";
import { Attempts } from "./attempts.ts";
import { AdminFailure } from "./failure.ts";
import { type LoginSession, Sessions } from "./sessions.ts";
import { type Identity, TOKEN_VARIABLES, Tokens } from "./tokens.ts";

/** What the server tells of a request beside the request itself. */
export interface AdminBindings {
  info: { remoteAddr: { hostname: string } };
}

export interface AdminEnv {
  Bindings: AdminBindings;
  Variables: { caller: Caller };
}

export type Caller =
  | { kind: "nobody" }
  /** No token is configured and the client is on this machine. */
  | { kind: "local" }
  | { kind: "token"; identity: Identity }
  | { kind: "session"; identity: Identity; id: string; session: LoginSession };

export interface AccessOptions {
  tokens: Tokens;
  /** The address that the admin listener is bound to. */
  bindHostname: () => string;
  /** A token that is not one of ours was shown. */
  onFailedAttempt: () => void;
  nowMs?: () => number;
}

const READ_ONLY_HINT =
  `set ${TOKEN_VARIABLES.admin} (or ${TOKEN_VARIABLES.editor}, ${TOKEN_VARIABLES.viewer}) ` +
  "in the environment of Dispa and start it again";

export class Access {
  readonly sessions: Sessions;
  readonly tokens: Tokens;
  readonly #attempts: Attempts;
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.tokens = options.tokens;
    this.sessions = new Sessions(options.nowMs);
    this.#attempts = new Attempts(options.nowMs);
  }

  get readOnly(): boolean {
    return this.tokens.roles.length === 0;
  }

  /** Keeps everybody out who is not on this machine, while no token tells friend from foe. */
  readonly localOnly: MiddlewareHandler<AdminEnv> = async (c, next) => {
    if (this.readOnly) {
      const peer = peerOf(c);
      if (!isLoopback(peer)) {
        throw new AdminFailure(
          "forbidden",
          `without an admin token only clients on this machine may see this, you come from ${peer}: ${READ_ONLY_HINT}`,
        );
      }
      // A web page that lets its own name resolve to 127.0.0.1 would otherwise read all this in a browser here.
      const host = hostOf(c);
      if (!isLocalName(host, this.#options.bindHostname())) {
        throw new AdminFailure(
          "forbidden",
          `without an admin token this is served as localhost, 127.0.0.1 or [::1] only, not as ${
            JSON.stringify(host.slice(0, 100))
          }: ${READ_ONLY_HINT}`,
        );
      }
    }
    await next();
  };

  /** Finds out who calls; a wrong token is refused, none is `nobody`. */
  readonly identify: MiddlewareHandler<AdminEnv> = async (c, next) => {
    c.set("caller", await this.#callerOf(c));
    await next();
  };

  /** Lets those pass whose role is at least `role`; a change by cookie must come from our own page. */
  atLeast(role: Role): MiddlewareHandler<AdminEnv> {
    return async (c, next) => {
      const caller = c.get("caller");
      if (caller.kind === "nobody") {
        throw new AdminFailure(
          "unauthorized",
          "a token is needed, as authorization: Bearer TOKEN or x-admin-token: TOKEN, or a login at /admin",
          { headers: { "www-authenticate": 'Bearer realm="dispa admin"' } },
        );
      }
      if (caller.kind === "local") {
        if (role !== "viewer") {
          throw new AdminFailure(
            "forbidden",
            `without an admin token nothing can be changed: ${READ_ONLY_HINT}`,
          );
        }
      } else if (ROLES.indexOf(caller.identity.role) < ROLES.indexOf(role)) {
        throw new AdminFailure("forbidden", `your role is ${caller.identity.role}, wanted is ${role}`);
      }
      if (caller.kind === "session" && isChange(c.req.method)) requireOwnPage(c);
      await next();
    };
  }

  /** Whose token it is. Throws `AdminFailure` for a wrong one and for an address that has tried too often. */
  async attempt(peer: string, token: string): Promise<Identity> {
    const waitMs = this.#attempts.waitMs(peer);
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000);
      throw new AdminFailure(
        "too_many_attempts",
        `too many wrong tokens from ${peer}, the next one is looked at in ${seconds} s`,
        { headers: { "retry-after": `${seconds}` } },
      );
    }
    const identity = await this.tokens.identify(token);
    if (identity === null) {
      this.#attempts.failed(peer);
      this.#options.onFailedAttempt();
      throw new AdminFailure("unauthorized", "the token is not one of those configured", {
        headers: { "www-authenticate": 'Bearer realm="dispa admin", error="invalid_token"' },
      });
    }
    this.#attempts.succeeded(peer);
    return identity;
  }

  /** Whether what was allowed when a long answer began still is. */
  stillAllowed(caller: Caller): boolean {
    return caller.kind !== "session" || this.sessions.find(caller.id) !== null;
  }

  async #callerOf(c: Context<AdminEnv>): Promise<Caller> {
    if (this.readOnly) return { kind: "local" };
    const token = tokenOf(c);
    if (token !== null) return { kind: "token", identity: await this.attempt(peerOf(c), token) };
    const id = getCookie(c, SESSION_COOKIE);
    const session = id === undefined ? null : this.sessions.find(id);
    if (id === undefined || session === null) return { kind: "nobody" };
    return { kind: "session", identity: session.identity, id, session };
  }
}

export function peerOf(c: Context<AdminEnv>): string {
  return c.env.info.remoteAddr.hostname;
}

/** For the audit log: role and token fingerprint. */
export function nameOf(caller: Caller | undefined): string {
  if (caller === undefined || caller.kind === "nobody") return "anonymous";
  return caller.kind === "local" ? "local" : caller.identity.name;
}

/** The role that a caller has; null for nobody. */
export function roleOf(caller: Caller): Role | null {
  if (caller.kind === "nobody") return null;
  return caller.kind === "local" ? "viewer" : caller.identity.role;
}

function tokenOf(c: Context<AdminEnv>): string | null {
  const bearer = /^bearer +(.+)$/i.exec(c.req.header("authorization") ?? "");
  return bearer?.[1] ?? c.req.header("x-admin-token") ?? null;
}

export function isChange(method: string): boolean {
  return method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
}

/**
 * A browser sends the cookie along with whatever some other page makes it send. Ours alone can set a field of
 * its own without a preflight, and the browser itself says where a request comes from.
 */
export function requireOwnPage(c: Context<AdminEnv>): void {
  refuseOtherPages(c);
  if (c.req.header("origin") === undefined && c.req.header("sec-fetch-site") === undefined) {
    throw new AdminFailure(
      "cross_site",
      "a change by login cookie must say where it comes from by origin or sec-fetch-site, " +
        "as browsers do; programs send the token in a header instead",
    );
  }
  if (c.req.header(CSRF_HEADER) === undefined) {
    throw new AdminFailure("cross_site", `a change by login cookie needs the header ${CSRF_HEADER}: 1`);
  }
}

/** Throws `AdminFailure` if the browser says that another site's page is behind the request. */
export function refuseOtherPages(c: Context<AdminEnv>): void {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    throw new AdminFailure("cross_site", `the request comes from another site (sec-fetch-site: ${site})`);
  }
  const origin = c.req.header("origin");
  if (origin === undefined) return;
  const host = c.req.header("host") ?? "";
  if (!URL.canParse(origin) || new URL(origin).host !== host.toLowerCase()) {
    throw new AdminFailure(
      "cross_site",
      `the request comes from ${
        JSON.stringify(origin.slice(0, 100))
      }, which is not the host it was sent to; ` +
        "a proxy before the console must pass the Host field on as it is",
    );
  }
}

function hostOf(c: Context<AdminEnv>): string {
  return c.req.header("host") ?? "";
}

function isLocalName(host: string, bindHostname: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase().replace(/^\[(.*)\]$/, "$1");
  return ["localhost", "127.0.0.1", "::1"].includes(name) ||
    (name === bindHostname.toLowerCase() && name !== "");
}

function isLoopback(address: string): boolean {
  const plain = address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "");
  return plain === "::1" || /^127\.\d+\.\d+\.\d+$/.test(plain);
}
